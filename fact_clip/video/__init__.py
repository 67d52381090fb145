"""Video files to features: decoding by time, frame encoders, extraction; and videos with their labels burned in."""
