"""What an hour of labelling is worth: whole videos in order or at random, or the least certain segments of all videos.

PYTHONPATH=. OMP_NUM_THREADS=1 python experiments/labelling.py RECIPE... --out FOLDER [--seeds 0,1,2] [--rounds 3]

Two videos are labelled. In each round a model is trained on what is labelled; then predicted segments of other training
videos get their true labels until so many true segments were looked at. RECIPE is what `fact-clip data init` writes.
Prints F1@50 on the test videos after each round, mean and deviation over seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fact_clip import Config, Segmentation, load, training
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.labels import UNLABELLED

Span = tuple[str, int, int]  # video, frames
Choice = Callable[[list[Span], list[float], random.Random], list[int]]


def at_random(spans: list[Span], rng: random.Random) -> list[int]:
    """Places of the spans: one video after the other in a random order, each from its start."""
    names = sorted({name for name, *_ in spans})
    order = rng.sample(names, len(names))
    return sorted(
        range(len(spans)), key=lambda place: (order.index(spans[place][0]), spans[place][1])
    )


WAYS: dict[str, Choice] = {
    "in order": lambda spans, confidence, rng: sorted(
        range(len(spans)), key=lambda place: spans[place][:2]
    ),
    "at random": lambda spans, confidence, rng: at_random(spans, rng),
    "least certain": lambda spans, confidence, rng: sorted(
        range(len(spans)), key=lambda place: confidence[place]
    ),
}


class Labeller:
    """The labels so far, and a data set with them."""

    def __init__(self, config: Config, root: Path, seed: int) -> None:
        dataset = Dataset.open(config.data)
        self.config, self.root, self.dataset = config, root, dataset
        self.truth = {
            name: dataset.vocabulary.decode(dataset.labels(name)) for name in dataset.train
        }
        self.labelled = {name: np.zeros(len(labels), bool) for name, labels in self.truth.items()}
        for name in random.Random(seed).sample(sorted(self.truth), 2):
            self.labelled[name][:] = True
        shutil.copytree(dataset.root, root, symlinks=True)

    def _labels(self, name: str) -> list[str]:
        pairs = zip(self.truth[name], self.labelled[name], strict=True)
        return [label if shown else UNLABELLED for label, shown in pairs]

    def train(self, out: Path, seed: int, steps: int) -> float:
        """Train so many steps on the labelled frames; F1@50 on the test videos."""
        names = [name for name in self.truth if self.labelled[name].any()]
        for name in names:
            (self.root / f"groundTruth/{name}.txt").write_text(
                "".join(f"{line}\n" for line in self._labels(name))
            )
        split = self.config.data.split
        (self.root / f"splits/train.split{split}.bundle").write_text(
            "".join(f"{name}.txt\n" for name in names)
        )
        data = self.config.data.model_copy(update={"root": str(self.root), "validation": 0.0})
        settings = self.config.train.model_copy(
            update={"seed": seed, "epochs": -(-steps // len(names))}
        )
        training.train(self.config.model_copy(update={"data": data, "train": settings}), out)
        return float(training.evaluate(out)["metrics"]["f1@50"])

    def correct(self, run: Path, budget: int, choose: Choice, rng: random.Random) -> int:
        """Show the true labels of chosen predictions; the true segments that were looked at."""
        segmenter, spans, confidence = load(run, "cpu"), list[Span](), list[float]()
        for name in sorted(self.truth):
            if self.labelled[name].all():
                continue
            for part in segmenter.segment(self.dataset.features(name)):
                if not self.labelled[name][part.start : part.stop].all():
                    spans.append((name, part.start, part.stop))
                    confidence.append(part.confidence or 0.0)
        looked = 0
        for place in choose(spans, confidence, rng):
            if looked >= budget:
                break
            name, start, stop = spans[place]
            looked += len(Segmentation.from_frames(self.truth[name][start:stop]).segments)
            self.labelled[name][start:stop] = True
        return looked


def main() -> int:
    """Print a table a recipe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder; what is there is not computed again"
    )
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--segments", type=int, default=60, help="true segments looked at in a round"
    )
    parser.add_argument("--steps", type=int, default=250, help="of each training")
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    for recipe in options.recipes:
        config, rows = Config.load(str(recipe)), dict[str, list[list[float]]]()
        for seed in map(int, options.seeds.split(",")):
            for way in options.ways.split(","):
                place = options.out / recipe.stem / f"{way.replace(' ', '_')}-{seed}"
                if not (place / "curve.json").is_file():
                    shutil.rmtree(place, ignore_errors=True)
                    labeller, rng = Labeller(config, place / "data", seed), random.Random(seed)
                    curve = [(0, labeller.train(place / "0", seed, options.steps))]
                    for number in range(1, options.rounds + 1):
                        looked = labeller.correct(
                            place / f"{number - 1}", options.segments, WAYS[way], rng
                        )
                        curve.append(
                            (
                                curve[-1][0] + looked,
                                labeller.train(place / f"{number}", seed, options.steps),
                            )
                        )
                    (place / "curve.json").write_text(json.dumps(curve))
                rows.setdefault(way, []).append(
                    [value for _, value in json.loads((place / "curve.json").read_text())]
                )
        print(
            f"\n{recipe.stem}: F1@50 after 0, {options.segments}, ... segments looked at, {options.seeds}"
        )
        for way, curves in rows.items():
            means, deviations = np.mean(curves, 0), np.std(curves, 0)
            print(
                f"{way:14s}",
                "  ".join(f"{m:.1f} ± {d:.1f}" for m, d in zip(means, deviations, strict=True)),
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
