"""Training and scoring."""

from fact_clip.training.callbacks import Callback, EpochState, StopTraining
from fact_clip.training.evaluation import evaluate
from fact_clip.training.plan import Plan, resolve
from fact_clip.training.runs import train
from fact_clip.training.sweep import sweep

__all__ = [
    "Callback",
    "EpochState",
    "Plan",
    "StopTraining",
    "evaluate",
    "resolve",
    "sweep",
    "train",
]
