"""Action names as sentences, and the parts of names."""

from fact_clip.text.forms import article, gerund, third_person

__all__ = ["article", "gerund", "third_person"]
