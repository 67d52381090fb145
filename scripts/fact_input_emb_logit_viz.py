"""python scripts/fact_input_emb_logit_viz.py --logdir DIR --split test --outdir DIR: pictures of a run."""

from fact_clip.cli.compat import visualise

if __name__ == "__main__":
    raise SystemExit(visualise())
