"""The commands of this package, which are listed in the table of `fact_clip.cli`."""
