"""The web page: drop a video, type names, correct what is wrong, use the correction."""
