"""Model output to one class a frame."""

from fact_clip.decoding.calibration import (
    Calibration,
    calibrated,
    choose_gamma_by_cost,
    choose_gamma_by_harmonic_mean,
    factor_frames,
    log_mean_posterior,
    prior_correction,
)
from fact_clip.decoding.fusion import decode, frame_scores
from fact_clip.decoding.methods import METHODS
from fact_clip.decoding.switching import decode_switching
from fact_clip.decoding.transport import TransportSettings, decode_transport, transport

__all__ = [
    "METHODS",
    "Calibration",
    "TransportSettings",
    "calibrated",
    "choose_gamma_by_cost",
    "choose_gamma_by_harmonic_mean",
    "decode",
    "decode_switching",
    "decode_transport",
    "factor_frames",
    "frame_scores",
    "log_mean_posterior",
    "prior_correction",
    "transport",
]
