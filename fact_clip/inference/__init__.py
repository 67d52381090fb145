"""The front door: features or videos in, segmentations out."""
