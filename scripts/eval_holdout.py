"""python scripts/eval_holdout.py --checkpoint_path FILE [--output_dir DIR]: score held-out classes."""

from fact_clip.cli.compat import eval_holdout

if __name__ == "__main__":
    raise SystemExit(eval_holdout())
