"""Run folders: their files and facts, what a run has seen, and the hub."""

from fact_clip.runs.run import Run

__all__ = ["Run"]
