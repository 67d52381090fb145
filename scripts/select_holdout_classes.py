"""Choose classes to hold out.

Usage: python scripts/select_holdout_classes.py [--number N] [--output FILE]
"""

from fact_clip_compat.scripts import select_holdout_classes

if __name__ == "__main__":
    raise SystemExit(select_holdout_classes())
