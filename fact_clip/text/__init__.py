"""Action names to sentences."""
