"""Model output to one class a frame."""

from fact_clip.decoding.fusion import decode, frame_scores
from fact_clip.decoding.switching import decode_switching
from fact_clip.decoding.transport import TransportSettings, decode_transport, transport

__all__ = ["TransportSettings", "decode", "decode_switching", "decode_transport", "frame_scores", "transport"]
