"""Measurements of a data set, and the recipe that follows from them."""

from fact_clip.advice.proposal import Proposal, propose
from fact_clip.advice.recipe import write_recipe

__all__ = ["Proposal", "propose", "write_recipe"]
