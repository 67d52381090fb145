"""Pictures of a run.

Usage: python scripts/fact_input_emb_logit_viz.py --logdir DIR --split test --outdir DIR
"""

from fact_clip_compat.scripts import visualise

if __name__ == "__main__":
    raise SystemExit(visualise())
