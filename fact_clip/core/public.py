"""To be removed."""

from typing import Any

from fact_clip.core.arguments import checked as public

__all__ = ["public", "public_class"]


def public_class(cls: Any) -> Any:
    """To be removed."""
    return cls


def make_public(room: Any) -> None:
    """To be removed."""
