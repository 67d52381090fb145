"""Figures of anyone's predictions, against anyone's labels; integer arrays in, plain numbers out."""

from fact_clip.metrics.frame import *  # noqa: F403
from fact_clip.metrics.report import *  # noqa: F403
from fact_clip.metrics.segmental import *  # noqa: F403
from fact_clip.metrics.zero_shot import *  # noqa: F403
