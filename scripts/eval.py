"""python scripts/eval.py [--ckpt FILE]: score a run, the newest of logs/ if none is named."""

from fact_clip.cli.compat import evaluate

if __name__ == "__main__":
    raise SystemExit(evaluate())
