"""CPU versions of the operations that take most of the model's time."""
