"""Training and scoring."""

from fact_clip.training.evaluation import evaluate
from fact_clip.training.sweep import train_seeds
from fact_clip.training.trainer import train, train_all_splits
from fact_clip.training.variants import train_variants

__all__ = ["evaluate", "train", "train_all_splits", "train_seeds", "train_variants"]
