"""Model output to one class a frame."""

from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.calibration import Calibration, Confidence, reliability
from fact_clip.decoding.fusion import Voters, decode, frame_scores, voters
from fact_clip.decoding.scores import (
    CandidateSet,
    Scores,
    class_scores,
    decode_gammas,
    decode_scores,
    decode_switching,
    voter_labels,
)

__all__ = [
    "Calibration", "CandidateSet", "Confidence", "DecodeSettings", "Scores", "Voters", "class_scores", "decode",
    "decode_gammas", "decode_scores", "decode_switching", "frame_scores", "reliability", "voter_labels", "voters",
]  # fmt: skip
