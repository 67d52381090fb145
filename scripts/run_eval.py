"""Score a run, or weights of the published code.

Usage: python scripts/run_eval.py --cfg FILE... --ckpt FILE
"""

from fact_clip_compat.scripts import run_eval

if __name__ == "__main__":
    raise SystemExit(run_eval())
