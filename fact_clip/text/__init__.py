"""Action names -> sentences -> vectors: prompts, the HA-ViD grammar, text encoders and their cache."""
