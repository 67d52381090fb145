"""Training and scoring."""

from fact_clip.training.callbacks import Callback, EpochState, StopTraining
from fact_clip.training.evaluation import evaluate
from fact_clip.training.plan import Plan, resolve
from fact_clip.training.results import Evaluation, Sweep, Training
from fact_clip.training.runs import train
from fact_clip.training.state import Parts, build
from fact_clip.training.sweep import sweep

__all__ = [
    "Callback",
    "EpochState",
    "Evaluation",
    "Parts",
    "Plan",
    "StopTraining",
    "Sweep",
    "Training",
    "build",
    "evaluate",
    "resolve",
    "sweep",
    "train",
]
