"""Pictures and texts to vectors. Importing this loads no torch; models load when they are first used."""

from fact_clip.encoders.frame import FrameEncoder, frame_encoder
from fact_clip.encoders.image_text import Runtime
from fact_clip.encoders.joint import pick_device
from fact_clip.encoders.sentence import TextEncoder, text_encoder

__all__ = ["FrameEncoder", "Runtime", "TextEncoder", "frame_encoder", "pick_device", "text_encoder"]
