"""What is hidden from training: chosen, masked, and judged by its own figures (README.md)."""
