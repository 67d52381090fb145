"""Figures of zero-shot runs with and without prototypes from their unlabelled test videos.

    PYTHONPATH=. python experiments/transductive.py RUN...

The second row of each run is transductive: the features of all test videos, without their labels,
are read before the first one is decoded, as by ``fact-clip segment --adapt-to``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from fact_clip.training.evaluation import open_run
from fact_clip.unseen import figures as zero_shot

FIGURES = ("S", "U", "H", "frame_accuracy", "edit", "f1@10", "f1@25", "f1@50")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print two rows for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    print("run, row,", ", ".join(FIGURES), "H* AUSUC")
    for run in parser.parse_args(arguments).runs:
        scorer, dataset = open_run(run, (), "cpu")
        plain = scorer.choose()
        videos = map(dataset.features, dataset.test)
        scoring = replace(plain.scoring, prototypes=scorer.prototypes(videos, plain))
        adapted = replace(plain, scoring=scoring)
        for row, candidates in (("inductive", plain), ("transductive", adapted)):
            scores = [scorer.score(dataset.features(name), candidates) for name in dataset.test]
            report = zero_shot.report(scorer, dataset, dataset.test, scores=scores)
            figures = [report["ways"][zero_shot.IN_USE][key] for key in FIGURES]
            figures += [report["best_harmonic_mean"], report["ausuc"]]
            print(run, row, *(f"{figure:.1f}" for figure in figures), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
