"""Decoding: from the output of a model to one class per frame."""

from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.calibration import Calibration as Calibration
from fact_clip.decoding.confidence import Confidence as Confidence
from fact_clip.decoding.confidence import reliability as reliability
from fact_clip.decoding.exported import decode_exported
from fact_clip.decoding.fusion import Voters as Voters
from fact_clip.decoding.fusion import best_classes as best_classes
from fact_clip.decoding.fusion import frame_scores as frame_scores
from fact_clip.decoding.fusion import voters as voters
from fact_clip.decoding.scores import (
    CandidateSet as CandidateSet,
)
from fact_clip.decoding.scores import (
    ModelScores as ModelScores,
)
from fact_clip.decoding.scores import (
    class_scores as class_scores,
)
from fact_clip.decoding.scores import (
    decode_gammas as decode_gammas,
)
from fact_clip.decoding.scores import (
    decode_scores as decode_scores,
)
from fact_clip.decoding.scores import (
    voter_labels as voter_labels,
)
from fact_clip.decoding.switching import decode_switching as decode_switching

__all__ = ["DecodeSettings", "decode_exported"]
