"""Score a run, the newest of logs/ if none is named.

Usage: python scripts/eval.py [--ckpt FILE]
"""

from fact_clip_compat.scripts import evaluate

if __name__ == "__main__":
    raise SystemExit(evaluate())
