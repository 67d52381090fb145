"""Decoding settings for users. The module is small, because --help imports it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fact_clip.core.errors import InputError
from fact_clip.core.messages import pydantic_problem


class DecodeSettings(BaseModel):
    """Decoding settings that can change without new scores. None keeps the model's value."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Frames are background if all actions have a lower probability.",
    )
    gamma: float | None = Field(
        None,
        ge=-1e3,
        le=1e3,
        description="Nats subtracted from log-scores of seen classes. Default: the run's.",
    )
    switch_penalty: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="Nats per change of action. Default: the run's, or 4 if training-free.",
    )
    shortest: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="Merge segments that are shorter, in seconds. Default: 0, or 1 if "
        "training-free.",
    )
    reject: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of correct validation frames to give up, 0 to 1, to label "
        'uncertain segments "none of these".',
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            fault = error.errors()[0]
            problem = f"{fault['input']!r}: {pydantic_problem(fault['msg'])}"
            keys = [*fault["loc"], "settings"]  # a key that is not a string has an empty `loc`
            raise InputError(str(keys[0]), problem) from None

    def over(self, other: DecodeSettings) -> DecodeSettings:
        """Return these settings, with values of `other` where they are None."""
        return other.model_copy(update=self.model_dump(exclude_none=True))
