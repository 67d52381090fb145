"""Results of labels."""
