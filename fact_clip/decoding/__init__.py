"""Model output to one class a frame."""

from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding.calibration import (
    ASKS_MODEL,
    PRIORS,
    Calibration,
    ClassFrequencies,
    choose_gamma_by_cost,
    choose_gamma_by_harmonic_mean,
    factor_frames,
    factor_log_shares,
    log_mean_posterior,
)
from fact_clip.decoding.confidence import Confidence, over_segments, reliability
from fact_clip.decoding.fusion import Voters, decode, frame_scores, fuse, fuse_gammas, voters, with_factors
from fact_clip.decoding.scores import CandidateSet, Scores, class_scores, decode_gammas, decode_scores, voter_labels
from fact_clip.decoding.similarity import (
    TransportSettings,
    decode_transport,
    mix,
    similarity_probabilities,
    smoothed,
    transport,
)
from fact_clip.decoding.switching import absorb_short, decode_switching, raise_background

__all__ = [
    "ASKS_MODEL",
    "PRIORS",
    "Calibration",
    "CandidateSet",
    "ClassFrequencies",
    "Confidence",
    "DecodeSettings",
    "Scores",
    "TransportSettings",
    "Voters",
    "absorb_short",
    "choose_gamma_by_cost",
    "choose_gamma_by_harmonic_mean",
    "class_scores",
    "decode",
    "decode_gammas",
    "decode_scores",
    "decode_switching",
    "decode_transport",
    "factor_frames",
    "factor_log_shares",
    "frame_scores",
    "fuse",
    "fuse_gammas",
    "log_mean_posterior",
    "mix",
    "over_segments",
    "raise_background",
    "reliability",
    "similarity_probabilities",
    "smoothed",
    "transport",
    "voter_labels",
    "voters",
    "with_factors",
]
