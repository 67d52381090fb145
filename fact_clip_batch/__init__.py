"""Many videos."""
