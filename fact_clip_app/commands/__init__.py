"""The commands of the page, which the table of `fact_clip.cli` names."""
