"""Video files to pictures and features, and videos with their labels burned in."""
