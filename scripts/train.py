"""Train into logs/RECIPE/SPLIT/RUN.

Usage: python scripts/train.py --cfg FILE... [--set KEY VALUE ...]
"""

from fact_clip_compat.scripts import train

if __name__ == "__main__":
    raise SystemExit(train())
