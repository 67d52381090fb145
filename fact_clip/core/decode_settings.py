"""The settings of decoding, from which options and sliders are made; light, for ``fact-clip segment --help``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fact_clip.core.errors import InputError
from fact_clip.core.messages import pydantic_problem

SwitchPenalty = Annotated[float, Field(ge=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Control:
    """How people set a setting."""

    option: str  # its name on the command line
    label: str  # what it is called on the page
    min: float  # of its slider there
    max: float
    step: float
    off: bool = False  # whether 0 on the page stands for None


class DecodeSettings(BaseModel):
    """Settings of decoding that need no new scores; None: as the model has them."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    threshold: Annotated[
        Share | None,
        Field(
            description="Frames in which no action is likelier than this, 0 to 1, are background."
        ),
        Control("--background-threshold", "Background threshold", 0, 1, 0.01, off=True),
    ] = None
    gamma: Annotated[
        float | None,
        Field(
            ge=-1e3,
            le=1e3,
            description="Nats taken off the scores of trained actions. Default: the run's.",
        ),
        Control("--gamma", "Prefer new actions (gamma)", -10, 10, 0.1),
    ] = None
    switch_penalty: Annotated[
        SwitchPenalty | None,
        Field(description="Penalty in nats for each change of action. Default: the run's."),
        Control("--switch-penalty", "Penalty for switching actions", 0, 20, 0.1),
    ] = None
    shortest: Annotated[
        Annotated[float, Field(ge=0, le=1e6)] | None,
        Field(
            description="Shorter segments, in seconds, go to a neighbour. Default: 0, or 1 with --training-free."
        ),
        Control("--minimal-duration", "Shortest segment, s", 0, 10, 0.1),
    ] = None
    reject: Annotated[
        Share | None,
        Field(
            description='Label a segment "none of these" if it is less sure than this share, 0 to 1, of the frames that'
            " the run named correctly in validation; 0.05 gives up one in twenty of these.",
        ),
        Control("--reject", "Reject the unsure, share", 0, 0.5, 0.01, off=True),
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


CONTROLS: dict[str, Control] = {
    name: next(entry for entry in field.metadata if isinstance(entry, Control))
    for name, field in DecodeSettings.model_fields.items()
}
"""Name of a setting -> its control."""
