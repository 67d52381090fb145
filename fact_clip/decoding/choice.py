"""Decoding settings that were chosen on validation videos (docs/method.md, 'Chosen settings')."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

Value = Annotated[float, Field(ge=0, le=1e6)]
DecodeValues = dict[Annotated[str, Field(pattern="^[a-z_]+$")], Value]
"""Values by key of the group ``decode``."""


@dataclass(frozen=True)
class DecodingChoice:
    """Settings of the group ``decode`` and the evidence for them.

    Attributes:
        recipe: the values of the recipe.
        settings: the values in use, of the same keys.
        videos: number of validation videos that were decoded, each by members that had not trained
            on it.
        gain: mean gain of the best values that were tried, which need not be in use, in points.
        error: standard error of the gain over the videos.
        reason: why these values are in use, in words.
    """

    recipe: DecodeValues
    settings: DecodeValues
    videos: Annotated[int, Field(ge=0)]
    gain: float
    error: float
    reason: str

    @property
    def overrides(self) -> list[str]:
        """Return the chosen settings as overrides of a configuration."""
        return [f"decode.{key}={value}" for key, value in self.settings.items()]

    def __str__(self) -> str:
        """Return the choice in words."""
        words = []
        for key, value in self.settings.items():
            change = "" if value == self.recipe[key] else f" (the recipe has {self.recipe[key]:g})"
            words.append(f"{key} {value:g}{change}")
        return f"decoding with {', '.join(words)}: {self.reason}"
