"""Training and scoring."""

from fact_clip.core.public import make_public
from fact_clip.training.evaluation import evaluate
from fact_clip.training.sweep import sweep, train

__all__ = ["evaluate", "sweep", "train"]

make_public(globals())
