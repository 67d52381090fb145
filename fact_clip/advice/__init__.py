"""What a data set is like, the recipe that follows from it, and what a training would bring."""

from fact_clip.advice.forecast import Forecast
from fact_clip.advice.proposal import Proposal, propose
from fact_clip.advice.recipe import write_recipe

__all__ = ["Forecast", "Proposal", "propose", "write_recipe"]
