"""Action names to sentences."""

from fact_clip.text.forms import article, gerund, third_person

__all__ = ["article", "gerund", "third_person"]
