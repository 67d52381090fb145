"""Model output to one class a frame."""

import warnings

from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.calibration import Calibration
from fact_clip.decoding.confidence import Confidence, reliability
from fact_clip.decoding.exported import decode_exported
from fact_clip.decoding.fusion import Voters, best_classes, frame_scores, voters
from fact_clip.decoding.scores import (
    CandidateSet,
    ModelScores,
    class_scores,
    decode_gammas,
    decode_scores,
    voter_labels,
)
from fact_clip.decoding.switching import decode_switching

_RENAMED = {"Scores": "ModelScores", "decode": "best_classes"}

__all__ = [
    "Calibration",
    "CandidateSet",
    "Confidence",
    "DecodeSettings",
    "ModelScores",
    "Voters",
    "best_classes",
    "class_scores",
    "decode_exported",
    "decode_gammas",
    "decode_scores",
    "decode_switching",
    "frame_scores",
    "reliability",
    "voter_labels",
    "voters",
]


def __getattr__(name: str) -> object:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    message = f"fact_clip.decoding.{name} is now called {_RENAMED[name]}"
    warnings.warn(message, DeprecationWarning, stacklevel=2)
    return globals()[_RENAMED[name]]
