"""Action names to sentences: prompts, verb forms, the grammar of HA-ViD."""
