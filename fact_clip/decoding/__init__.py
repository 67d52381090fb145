"""Model output to one class a frame."""

from fact_clip.core.public import make_public
from fact_clip.decoding.calibration import (
    ASKS_MODEL,
    PRIORS,
    Calibration,
    Known,
    choose_gamma_by_cost,
    choose_gamma_by_harmonic_mean,
    factor_frames,
    factor_log_shares,
    log_mean_posterior,
)
from fact_clip.decoding.confidence import Confidence, over_segments, reliability
from fact_clip.decoding.factors import with_factors
from fact_clip.decoding.fusion import Voters, decode, decode_switching, frame_scores, fuse, fuse_gammas, voters
from fact_clip.decoding.similarity import mix, similarity_probabilities, smoothed
from fact_clip.decoding.transport import TransportSettings, decode_transport, transport

__all__ = [
    "ASKS_MODEL",
    "PRIORS",
    "Calibration",
    "Confidence",
    "Known",
    "TransportSettings",
    "Voters",
    "choose_gamma_by_cost",
    "choose_gamma_by_harmonic_mean",
    "decode",
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
    "reliability",
    "similarity_probabilities",
    "smoothed",
    "transport",
    "voters",
    "with_factors",
]

make_public(globals())
