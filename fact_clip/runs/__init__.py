"""Run folders: their files and facts, the record of what a run has seen, and the hub."""

from fact_clip.runs.run import Run

__all__ = ["Run"]
