"""Training of runs and sweeps."""

from fact_clip.evaluation import Evaluation as Evaluation
from fact_clip.evaluation import evaluate as evaluate
from fact_clip.training.callbacks import Callback, StopTraining
from fact_clip.training.callbacks import EpochState as EpochState
from fact_clip.training.description import Parts as Parts
from fact_clip.training.description import build
from fact_clip.training.plan import Plan as Plan
from fact_clip.training.plan import resolve
from fact_clip.training.results import Sweep as Sweep
from fact_clip.training.results import Training as Training
from fact_clip.training.runs import train as train
from fact_clip.training.sweep import sweep

__all__ = ["Callback", "StopTraining", "build", "resolve", "sweep"]
