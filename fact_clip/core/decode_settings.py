"""The settings of decoding, from which options and sliders are made; light, for ``fact-clip segment --help``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fact_clip.core.errors import InputError
from fact_clip.core.messages import pydantic_problem

SwitchPenalty = Annotated[float, Field(ge=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]


class DecodeSettings(BaseModel):
    """Settings of decoding that need no new scores; None: as the model has them."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    threshold: Annotated[
        Share | None,
        Field(
            description="Frames in which no action is likelier than this, 0 to 1, are background."
        ),
    ] = None
    gamma: Annotated[
        float | None,
        Field(
            ge=-1e3,
            le=1e3,
            description="Nats taken off the scores of trained actions. Default: the run's.",
        ),
    ] = None
    switch_penalty: Annotated[
        SwitchPenalty | None,
        Field(description="Penalty in nats for each change of action. Default: the run's."),
    ] = None
    shortest: Annotated[
        Annotated[float, Field(ge=0, le=1e6)] | None,
        Field(
            description="Shorter segments, in seconds, go to a neighbour. Default: 0, or 1 with --training-free."
        ),
    ] = None
    reject: Annotated[
        Share | None,
        Field(
            description='Label a segment "none of these" if it is less sure than this share, 0 to 1, of the frames that'
            " the run named correctly in validation; 0.05 gives up one in twenty of these.",
        ),
    ] = None

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            fault = error.errors()[0]
            raise InputError(
                str(fault["loc"][0]), f"{fault['input']!r}: {pydantic_problem(fault['msg'])}"
            ) from None

    def over(self, other: DecodeSettings) -> DecodeSettings:
        """Return these settings, and those of the other where they are None."""
        return other.model_copy(update=self.model_dump(exclude_none=True))
