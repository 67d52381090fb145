"""Decode the recorded scores of other networks on 50Salads with ``fact-clip decode``.

    PYTHONPATH=. python experiments/peer_scores.py data/salads

Costs of changes and the switching penalty come from the training labels of each split alone. Prints
accuracy / edit / F1@10 / F1@25 / F1@50, background not counted in edit and F1, of the largest score
of each row and of the decoded labels, for each network and for the mean of both. Then means of both
without the command: of the probabilities, and of their logarithms after mixing with a share of a
uniform distribution.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fact_clip import Segmentation, Vocabulary, metrics
from fact_clip.cli import main as fact_clip
from fact_clip.decoding.other_models import ScoreDecoder, probabilities

NETWORKS = ("ed_tcn", "dilated_tcn")
FIGURES = ("frame_accuracy", "edit", "f1@10", "f1@25", "f1@50")
SPLITS = range(1, 6)
STRIDE = 5  # label frames for each row of scores
FPS = 3.0  # of the labels
SHARES = (0.0, 1e-3, 0.01, 0.03, 0.1, 0.2)


def labels_of(root: Path, name: str) -> list[str]:
    """Return the true label of each row of the scores."""
    lines = (root / "groundTruth" / f"{name}.txt").read_text().split()
    return lines[::STRIDE]


def figures(root: Path, predictions: dict[str, list[str]]) -> list[float]:
    """Return the figures of a split."""
    vocabulary = Vocabulary.from_mapping(root / "mapping.txt")
    truth = [vocabulary.encode(labels_of(root, name)) for name in predictions]
    guesses = [vocabulary.encode(labels) for labels in predictions.values()]
    background = [vocabulary.names.index("background")]
    result = metrics.evaluate(truth, guesses, background=background)
    return [result[key] for key in FIGURES]


def largest(root: Path, folder: Path) -> dict[str, list[str]]:
    """Return the class of the largest score of each row."""
    names = Vocabulary.from_mapping(root / "mapping.txt").names
    predictions = {}
    for path in sorted(folder.glob("*.npy")):
        predictions[path.stem] = [names[label] for label in np.load(path).argmax(1)]
    return predictions


def decoded(root: Path, folders: Sequence[Path], options: Sequence[str]) -> dict[str, list[str]]:
    """Return the labels that ``fact-clip decode`` writes."""
    with TemporaryDirectory() as out:
        words = ["decode", *map(str, folders), "--training-labels", str(root), "--out", out]
        words += ["--fps", str(FPS / STRIDE), "--label-fps", str(FPS), "--format", "json"]
        with redirect_stdout(StringIO()):
            code = fact_clip([*words, *options])
        if code:
            raise SystemExit(code)
        return {path.stem: Segmentation.load(path).to_frames() for path in Path(out).iterdir()}


def averaged(root: Path, folders: Sequence[Path]) -> dict[str, dict[str, list[str]]]:
    """Return the labels of each video by several means of the networks."""
    names = Vocabulary.from_mapping(root / "mapping.txt").names
    videos = (root / "splits" / "train.split1.bundle").read_text().split()
    training = []
    for name in videos:
        frames = (root / "groundTruth" / f"{name.removesuffix('.txt')}.txt").read_text().split()
        training.append(Segmentation.from_frames(frames, FPS))
    decoder = ScoreDecoder.learned(names, training, fps=FPS / STRIDE, background=["background"])
    predictions: dict[str, dict[str, list[str]]] = {}
    for path in sorted(folders[0].glob("*.npy")):
        tables = []
        for folder in folders:
            scores = np.load(folder / path.name)
            tables.append(probabilities(scores, path, len(names)))
        mean = [np.mean(tables, axis=0)]
        labels = {"probabilities": decoder.segmentation(mean)}
        for share in SHARES:
            smoothed = replace(decoder, smoothing=share)
            labels[f"logarithms, share {share:g}"] = smoothed.segmentation(tables)
        for name, segmentation in labels.items():
            predictions.setdefault(name, {})[path.stem] = segmentation.to_frames()
    return predictions


def main() -> int:
    """Print a line for each way of decoding: its mean over the splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder with split1 to split5 and peer_scores")
    parser.add_argument("options", nargs="*", help="of fact-clip decode, after --")
    arguments = parser.parse_args()
    rows: dict[str, list[list[float]]] = {}
    for split in SPLITS:
        root = arguments.root / f"split{split}"
        folders = {name: arguments.root / "peer_scores" / name / root.name for name in NETWORKS}
        for name, folder in folders.items():
            rows.setdefault(f"{name}, largest", []).append(figures(root, largest(root, folder)))
            predictions = decoded(root, [folder], arguments.options)
            rows.setdefault(f"{name}, decoded", []).append(figures(root, predictions))
        predictions = decoded(root, list(folders.values()), arguments.options)
        rows.setdefault("mean of both, decoded", []).append(figures(root, predictions))
        for name, guesses in averaged(root, list(folders.values())).items():
            rows.setdefault(f"mean of {name}", []).append(figures(root, guesses))
    for name, values in rows.items():
        mean = np.mean(values, axis=0)
        print(f"{name:32}", " ".join(f"{value:.1f}" for value in mean))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
