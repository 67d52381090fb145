"""The commands of this package, which the table of `fact_clip.cli` names."""
