"""python scripts/train.py --cfg FILE... [--set KEY VALUE ...]: train into logs/RECIPE/SPLIT/RUN."""

from fact_clip.cli.compat import train

if __name__ == "__main__":
    raise SystemExit(train())
