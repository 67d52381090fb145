"""Data sets in the common layout (DATASETS.md): what is known of them, their files, and batches for training."""
