"""Measure the value of labelled segments: whole videos, or the least certain segments of all videos.

    PYTHONPATH=. OMP_NUM_THREADS=1 python experiments/labelling.py RECIPE... --out FOLDER

Two videos are labelled at the start. In each round a model is trained on what is labelled. Then
predicted segments of other training videos get their true labels, until a number of true segments
was shown. RECIPE is what `fact-clip data init` writes. The script prints F1@50 on the test videos
after each round, mean and deviation over seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fact_clip import Config, Segmentation, load, training
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.labels import UNLABELLED


@dataclass(frozen=True)
class Prediction:
    """A predicted segment of a video, in frames."""

    video: str
    start: int
    stop: int
    confidence: float


def in_order(predictions: list[Prediction], rng: random.Random) -> list[Prediction]:
    """Return the segments video by video, in the order of names."""
    return sorted(predictions, key=lambda one: (one.video, one.start))


def at_random(predictions: list[Prediction], rng: random.Random) -> list[Prediction]:
    """Return the segments video by video, in a random order of videos."""
    names = sorted({prediction.video for prediction in predictions})
    order = rng.sample(names, len(names))
    return sorted(predictions, key=lambda one: (order.index(one.video), one.start))


def least_certain(predictions: list[Prediction], rng: random.Random) -> list[Prediction]:
    """Return the segments by confidence, whatever their video."""
    return sorted(predictions, key=lambda one: one.confidence)


WAYS: dict[str, Callable[[list[Prediction], random.Random], list[Prediction]]] = {
    "in order": in_order,
    "at random": at_random,
    "least certain": least_certain,
}


class Labeller:
    """The labels so far, and a data set with them."""

    def __init__(self, config: Config, root: Path, seed: int) -> None:
        dataset = Dataset.open(config.data)
        self.config = config
        self.root = root
        self.dataset = dataset
        self.truth: dict[str, list[str]] = {}
        self.labelled: dict[str, np.ndarray] = {}  # (T,) which frames of a video have labels
        for name in dataset.train:
            self.truth[name] = dataset.vocabulary.decode(dataset.labels(name))
            self.labelled[name] = np.zeros(len(self.truth[name]), bool)
        for name in random.Random(seed).sample(sorted(self.truth), 2):
            self.labelled[name][:] = True
        shutil.copytree(dataset.root, root, symlinks=True)

    def train(self, out: Path, seed: int, steps: int) -> float:
        """Train on the labelled frames and return F1@50 on the test videos."""
        names = [name for name in self.truth if self.labelled[name].any()]
        for name in names:
            self._write_labels(name)
        split = self.config.data.split
        lines = "".join(f"{name}.txt\n" for name in names)
        (self.root / f"splits/train.split{split}.bundle").write_text(lines)

        data = self.config.data.model_copy(update={"root": str(self.root), "validation": 0.0})
        epochs = -(-steps // len(names))
        settings = self.config.train.model_copy(update={"seed": seed, "epochs": epochs})
        config = self.config.model_copy(update={"data": data, "train": settings})
        training.train(config, out)
        return float(training.evaluate(out).metrics["f1@50"])

    def _write_labels(self, name: str) -> None:
        """Write the labels of a video, with the label of unlabelled frames elsewhere."""
        labels = []
        for label, is_labelled in zip(self.truth[name], self.labelled[name], strict=True):
            labels.append(label if is_labelled else UNLABELLED)
        text = "".join(f"{label}\n" for label in labels)
        (self.root / f"groundTruth/{name}.txt").write_text(text)

    def correct(self, run: Path, budget: int, way: str, rng: random.Random) -> int:
        """Label predicted segments with the truth until the budget of true segments is spent.

        Args:
            run: the run that predicts.
            budget: true segments that may be shown.
            way: the order of the predictions, a key of `WAYS`.
            rng: for a random order.

        Returns:
            The number of true segments that were shown.
        """
        n_shown = 0
        for prediction in WAYS[way](self._predictions(run), rng):
            if n_shown >= budget:
                break
            frames = slice(prediction.start, prediction.stop)
            truth = self.truth[prediction.video][frames]
            n_shown += len(Segmentation.from_frames(truth).segments)
            self.labelled[prediction.video][frames] = True
        return n_shown

    def _predictions(self, run: Path) -> list[Prediction]:
        """Return the predicted segments that have unlabelled frames."""
        segmenter = load(run, "cpu")
        predictions = []
        for name in sorted(self.truth):
            if self.labelled[name].all():
                continue
            for part in segmenter.segment(self.dataset.features(name)):
                if not self.labelled[name][part.start : part.stop].all():
                    confidence = part.confidence or 0.0
                    predictions.append(Prediction(name, part.start, part.stop, confidence))
        return predictions


def learning_curve(
    config: Config, folder: Path, way: str, seed: int, options: argparse.Namespace
) -> list[float]:
    """Return F1@50 after each round; read it if it was measured before."""
    path = folder / "curve.json"
    if not path.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        labeller = Labeller(config, folder / "data", seed)
        rng = random.Random(seed)
        n_shown = 0
        curve = [(0, labeller.train(folder / "0", seed, options.steps))]
        for number in range(1, options.rounds + 1):
            previous = folder / f"{number - 1}"
            n_shown += labeller.correct(previous, options.segments, way, rng)
            figure = labeller.train(folder / f"{number}", seed, options.steps)
            curve.append((n_shown, figure))
        path.write_text(json.dumps(curve))
    return [figure for _, figure in json.loads(path.read_text())]


def print_recipe(recipe: Path, options: argparse.Namespace) -> None:
    """Print a table with a row for each way to choose segments."""
    config = Config.load(str(recipe))
    ways = options.ways.split(",")
    curves: dict[str, list[list[float]]] = {way: [] for way in ways}
    for seed in map(int, options.seeds.split(",")):
        for way in ways:
            folder = options.out / recipe.stem / f"{way.replace(' ', '_')}-{seed}"
            curves[way].append(learning_curve(config, folder, way, seed, options))
    print(f"\n{recipe.stem}: F1@50 after 0, {options.segments}, ... segments, {options.seeds}")
    for way, figures in curves.items():
        cells = []
        for mean, deviation in zip(np.mean(figures, 0), np.std(figures, 0), strict=True):
            cells.append(f"{mean:.1f} ± {deviation:.1f}")
        print(f"{way:14s}", "  ".join(cells), flush=True)


def main() -> int:
    """Print a table for each recipe."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder; its results are reused")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--segments", type=int, default=60, help="true segments shown in a round")
    parser.add_argument("--steps", type=int, default=250, help="of each training")
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    for recipe in options.recipes:
        print_recipe(recipe, options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
