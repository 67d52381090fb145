"""To be removed."""

from fact_clip.core.io import *  # noqa: F403
from fact_clip.core.paths import *  # noqa: F403
