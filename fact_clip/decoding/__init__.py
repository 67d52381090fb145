"""Model output to one class a frame."""

from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.calibration import (
    ASKS_MODEL,
    Calibration,
    choose_gamma_by_cost,
    choose_gamma_by_harmonic_mean,
    factor_frames,
    log_mean_posterior,
    log_prior,
)
from fact_clip.decoding.confidence import Confidence, over_segments, reliability
from fact_clip.decoding.fusion import Voters, decode, frame_scores, voters, with_factors
from fact_clip.decoding.scores import (
    CandidateSet,
    Scores,
    class_scores,
    decode_gammas,
    decode_scores,
    decode_switching,
    voter_labels,
)
from fact_clip.decoding.similarity import TransportSettings, similarity_probabilities, transport

__all__ = [
    "ASKS_MODEL",
    "Calibration",
    "CandidateSet",
    "Confidence",
    "DecodeSettings",
    "Scores",
    "TransportSettings",
    "Voters",
    "choose_gamma_by_cost",
    "choose_gamma_by_harmonic_mean",
    "class_scores",
    "decode",
    "decode_gammas",
    "decode_scores",
    "decode_switching",
    "factor_frames",
    "frame_scores",
    "log_mean_posterior",
    "log_prior",
    "over_segments",
    "reliability",
    "similarity_probabilities",
    "transport",
    "voter_labels",
    "voters",
    "with_factors",
]
