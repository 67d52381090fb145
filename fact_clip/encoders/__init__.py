"""Pictures and sentences to vectors."""
