"""Score held-out classes.

Usage: python scripts/eval_holdout.py --checkpoint_path FILE [--output_dir DIR]
"""

from fact_clip_compat.scripts import eval_holdout

if __name__ == "__main__":
    raise SystemExit(eval_holdout())
