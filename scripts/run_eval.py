"""python scripts/run_eval.py --cfg FILE... --ckpt FILE: score a run, or weights of the published code."""

from fact_clip.cli.compat import run_eval

if __name__ == "__main__":
    raise SystemExit(run_eval())
