"""Data sets in the common layout (docs/datasets.md): what is known of them, their files, and batches for training."""
