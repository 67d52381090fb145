"""`ModelOptions`: how a model is opened, and how it reads videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fact_clip.core.distributed import Precision
from fact_clip.encoders import EncodeImages, FrameEncoder


@dataclass(frozen=True)
class ModelOptions:
    """How a model is opened, and how it reads videos; `load` explains each.

    Attributes:
        device: auto, cpu, cuda, cuda:N or mps.
        actions: the candidates for calls that name none.
        encoder: the frame encoder for videos of a run.
        fps: rows a second of features that are made from videos.
        window: seconds of a video that the model of a run reads in one pass.
        prompts: wording around names, for a model without training.
        smoothing: seconds over which similarities are averaged, for a model without training.
        trust_encoder: load an encoder that the run names by a path.
        precision: of the encoder and the model.
    """

    device: str = "auto"
    actions: Sequence[str] | None = None
    encoder: str | FrameEncoder | EncodeImages | None = None
    fps: float | None = None
    window: float | None = None
    prompts: str | None = None
    smoothing: float | None = None
    trust_encoder: bool = False
    precision: Precision = "auto"

    def given(self, *names: str) -> dict[str, Any]:
        """Return the options among `names` that are set."""
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}
