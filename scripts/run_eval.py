"""Score a run, or weights of the published code.

Usage: python scripts/run_eval.py --cfg FILE... --ckpt FILE
"""

from fact_clip.cli.compat import run_eval

if __name__ == "__main__":
    raise SystemExit(run_eval())
