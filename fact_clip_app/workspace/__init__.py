"""An open project: its models, uploads and work."""
