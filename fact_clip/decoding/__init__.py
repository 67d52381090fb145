"""Model output to one class a frame."""

from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.calibration import Calibration
from fact_clip.decoding.confidence import Confidence, reliability
from fact_clip.decoding.fusion import Voters, decode, frame_scores, voters
from fact_clip.decoding.scores import (
    CandidateSet,
    Scores,
    class_scores,
    decode_gammas,
    decode_scores,
    voter_labels,
)
from fact_clip.decoding.switching import decode_switching

__all__ = [
    "Calibration",
    "CandidateSet",
    "Confidence",
    "DecodeSettings",
    "Scores",
    "Voters",
    "class_scores",
    "decode",
    "decode_gammas",
    "decode_scores",
    "decode_switching",
    "frame_scores",
    "reliability",
    "voter_labels",
    "voters",
]
