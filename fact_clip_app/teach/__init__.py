"""Training on labels."""
