"""python -m fact_clip: the command line."""

from fact_clip.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
