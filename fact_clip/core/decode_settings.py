"""Decoding settings that users change. Light, because ``fact-clip segment --help`` reads it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fact_clip.core.errors import InputError
from fact_clip.core.messages import pydantic_problem


class DecodeSettings(BaseModel):
    """Decoding settings that can change without scoring again. None keeps the model's value."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Frames in which no action is likelier than this, 0 to 1, are background.",
    )
    gamma: float | None = Field(
        None,
        ge=-1e3,
        le=1e3,
        description="Nats taken off the scores of trained actions. Default: the run's.",
    )
    switch_penalty: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="Penalty in nats for each change of action. Default: the run's, or 4 with "
        "--training-free.",
    )
    shortest: float | None = Field(
        None,
        ge=0,
        le=1e6,
        description="Shorter segments, in seconds, go to a neighbour. Default: 0, or 1 with "
        "--training-free.",
    )
    reject: float | None = Field(
        None,
        ge=0,
        le=1,
        description='Label a segment "none of these" if its confidence is below a threshold. Below '
        "it is this share, 0 to 1, of the frames that the run named correctly in validation: 0.05 "
        "gives up one in twenty of these.",
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
