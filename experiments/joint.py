"""Score trained and training-free methods in a synthetic joint space of frames and texts.

    OMP_NUM_THREADS=1 PYTHONPATH=. python experiments/joint.py --out runs/joint --levels 2 4 8

A frame of an action of the workbench is x = normalise(R (a t_object + b t_action) + g + v + noise), with
the text vectors t of a sentence encoder, a constant gap g between both sides, a vector v for each video,
and b < a, because verbs are fainter than objects. The methods read x and t, not R, g and v. The figures of
this space say nothing about real video. experiments/joint_space.md has the table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip import metrics
from fact_clip.config import Config
from fact_clip.core import Vocabulary
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.synthetic import FACTORS, write_workbench
from fact_clip.decoding import CandidateSet, ModelScores, decode_scores
from fact_clip.decoding.fusion import Voters
from fact_clip.encoders import text_encoder
from fact_clip.encoders.vectors import embed
from fact_clip.inference.scorer import Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.similarity import similarity_probabilities
from fact_clip.inference.training_free import SimilarityScorer
from fact_clip.runs.run import Run
from fact_clip.training import evaluate, train

Floats = NDArray[np.float64]

FPS = 8.0
TREE: dict[str, Any] = {
    "data": {"name": "workbench", "fps": FPS, "holdout": "zero_shot/A.json"},
    "model": {
        "blocks": "iu",
        "tokens": 40,
        "input": {
            "hidden": 64,
            "frame_dim": 32,
            "frame_layers": 6,
            "action_dim": 32,
            "action_layers": 1,
            "heads": 4,
            "feedforward": 64,
            "dropout": 0.2,
        },
        "update": {"frame_layers": 4},
    },
    "text": {"encoder": "minilm", "parts": ["sentence", "factors"]},
    "loss": {"smoothing": 0.1, "background_weight": 0.3},
    "augment": {"time_spans": 0},
    "decode": {"frame_weight": 0.9, "blocks": "all", "switch_penalty": 0.7},
    "train": {
        "epochs": 8,
        "batch_size": 1,
        "lr": 0.002,
        "schedule": "cosine",
        "validate_from": 0.5,
        "device": "cpu",
    },
    "evaluation": {"count_background": False},
}
TREE["data"] |= {"standardize": True, "stride": 2, "interleave": True}

# Whether R is unknown. A joint model such as CLIP returns texts as R t, so R is the identity for its user.
SPACES = {"given": False, "unknown": True}

MODELS: dict[str, dict[str, Any]] = {
    "text head": {"head": "text"},
    "similarity": {"head": "similarity"},
}
COLUMNS = ("S", "U", "H", "unseen labels only", "AUSUC", "edit")


@dataclass(frozen=True)
class JointSpace:
    """What the frames of a joint space are made of.

    Args:
        noise: expected length of the white noise of a frame; what a frame shows has a length of 1 to 1.6.
        rotated: whether R is a random rotation, else the identity.
        seed: of R, g, v, the noise, and the plans of the videos.
    """

    noise: float
    rotated: bool
    seed: int = 0
    of_object: float = 1.0  # a
    of_action: float = 0.6  # b
    gap: float = 1.0  # length of g
    nuisance: float = 0.5  # length of v
    encoder: str = "minilm"


def write_joint_space(root: Path, space: JointSpace, videos: int = 36) -> Path:
    """Write the workbench in the common layout with the features of a joint space, (T, W) float16."""
    write_workbench(root, videos=videos, seed=space.seed, fps=FPS)
    shown = _class_vectors(space)
    width = len(next(iter(shown.values())))

    rng = np.random.default_rng([20261126, space.seed])
    rotation = np.eye(width)
    if space.rotated:
        rotation = np.linalg.qr(rng.standard_normal((width, width)))[0]
    gap = space.gap * _direction(rng, width)
    for path in sorted((root / "groundTruth").glob("*.txt")):
        labels = path.read_text(encoding="utf-8").splitlines()
        rows = np.stack([shown[label] for label in labels])  # (T, W)
        rows = rows @ rotation.T + gap + space.nuisance * _direction(rng, width)
        rows += space.noise / np.sqrt(width) * rng.standard_normal(rows.shape)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.save(root / "features" / f"{path.stem}.npy", rows.astype(np.float16))
    return root


def _class_vectors(space: JointSpace) -> dict[str, Floats]:
    """Return what a frame of each class shows, (W,); zeros for the background."""
    actions = [name for name, (verb, _, _) in FACTORS.items() if verb is not None]
    objects = list(dict.fromkeys(str(FACTORS[name][1]) for name in actions))
    action_vectors = _text_vectors(space.encoder, actions)
    object_vectors = _text_vectors(space.encoder, objects)
    width = len(action_vectors[actions[0]])
    shown = {name: np.zeros(width) for name in FACTORS}
    for name in actions:
        object_vector = object_vectors[str(FACTORS[name][1])]
        shown[name] = space.of_object * object_vector + space.of_action * action_vectors[name]
    return shown


def _text_vectors(encoder: str, names: list[str]) -> dict[str, Floats]:
    rows = embed(text_encoder(encoder), Vocabulary.from_names(names)).classes.astype(np.float64)
    return dict(zip(names, rows, strict=True))


def _direction(rng: np.random.Generator, width: int) -> Floats:
    drawn = rng.standard_normal(width)
    return drawn / np.linalg.norm(drawn)


def compare(
    folder: Path, space: JointSpace, models: list[str]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the name and the figures of each method in one space."""
    root = write_joint_space(folder / "data", space)
    changes = {"data": {"root": str(root)}, "train": {"seed": space.seed}}
    config = Config.from_tree(merged(TREE, changes), "joint")
    yield "training-free", training_free(Dataset.open(config.data), space.encoder)
    for name in models:
        out = folder / name.replace(" ", "-")
        tree = merged(config.model_dump(), {"model": MODELS[name]})
        train(Config.from_tree(tree, "joint"), out)
        yield name, figures_of(evaluate(out).details)
        if name == "similarity":
            yield f"{name}, names in another order", permuted(out)


def merged(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a tree with the values of another one on top."""
    result = {**tree, **changes}
    for key, value in changes.items():
        if isinstance(value, dict) and key in tree:
            result[key] = merged(tree[key], value)
    return result


def figures_of(result: dict[str, Any]) -> dict[str, float]:
    """Return the columns of the table, decoded as in use, with gamma chosen on validation videos."""
    report = result["zero_shot"]
    values = {
        **report["ways"]["in use"],
        "unseen labels only": report["unseen_labels_only"],
        "AUSUC": report["ausuc"],
    }
    return {key: float(values[key]) for key in COLUMNS}


def training_free(dataset: Dataset, encoder: str) -> dict[str, float]:
    """Score `segment --training-free` with all actions as candidates, never background."""
    vocabulary = dataset.vocabulary
    actions = [name for name in vocabulary if name not in vocabulary.background]
    texts = embed(text_encoder(encoder), Vocabulary.from_names(actions)).classes
    class_of_action = vocabulary.encode(actions)
    unseen = np.array([actions.index(vocabulary.names[label]) for label in dataset.unseen])
    uncounted = (*vocabulary.background_indices, *dataset.validation_unseen)

    def decoded(rows: NDArray[Any], candidates: NDArray[np.float32]) -> NDArray[np.int64]:
        table = similarity_probabilities(rows, candidates, round(FPS))
        frames = torch.from_numpy(table).unsqueeze(0)
        voter = Voters(frames, tokens=None, has_token=torch.ones(1, len(table), dtype=torch.bool))
        scores = ModelScores(len(table), (voter,), rate=FPS)
        return decode_scores(scores, CandidateSet(vocabulary), SimilarityScorer.settings)[0]

    truth = []
    predictions = []
    unseen_predictions = []  # with the unseen classes as the only candidates
    for name in dataset.test:
        rows = dataset.features(name)
        truth.append(dataset.labels(name))
        predictions.append(class_of_action[decoded(rows, texts)])
        unseen_predictions.append(class_of_action[unseen[decoded(rows, texts[unseen])]])

    seen_mean, unseen_mean = metrics.class_means(truth, predictions, dataset.unseen, uncounted)
    unseen_truth = [np.where(np.isin(row, dataset.unseen), row, -1) for row in truth]
    only = metrics.class_means(unseen_truth, unseen_predictions, dataset.unseen, uncounted)
    all_figures = metrics.evaluate(truth, predictions, background=vocabulary.background_indices)
    return {
        "S": seen_mean,
        "U": unseen_mean,
        "H": metrics.harmonic_mean(seen_mean, unseen_mean),
        "unseen labels only": only[1],
        "AUSUC": float("nan"),  # there are no seen classes
        "edit": all_figures["edit"],
    }


def permuted(out: Path) -> dict[str, float]:
    """Score a run with all names typed in a random order, which must not matter but for rounding."""
    loaded = Run.open(out)
    dataset = Dataset.open(loaded.run.config.data)
    vocabulary = dataset.vocabulary
    segmenter = Segmenter(Scorer(loaded, "cpu"))
    order = np.random.default_rng(0).permutation(len(vocabulary))
    names = [vocabulary.names[label] for label in order]
    truth = []
    predictions = []
    for name in dataset.test:
        truth.append(dataset.labels(name))
        segmentation = segmenter.segment(dataset.features(name), names)
        predictions.append(vocabulary.encode(segmentation.to_frames()))
    uncounted = (*vocabulary.background_indices, *dataset.validation_unseen)
    seen_mean, unseen_mean = metrics.class_means(truth, predictions, dataset.unseen, uncounted)
    return {"S": seen_mean, "U": unseen_mean, "H": metrics.harmonic_mean(seen_mean, unseen_mean)}


def table(rows: list[dict[str, Any]]) -> str:
    """Return mean and deviation over the seeds, in Markdown."""
    lines = [
        "| R | noise | method | " + " | ".join(COLUMNS) + " |",
        "|---" * (3 + len(COLUMNS)) + "|",
    ]
    groups: dict[tuple[str, float, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["space"], row["noise"], row["method"]), []).append(row)
    for (space, noise, method), group in groups.items():
        cells = [_cell([row.get(column, np.nan) for row in group]) for column in COLUMNS]
        lines.append(f"| {space} | {noise:g} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(rows: list[dict[str, Any]], column: str) -> str:
    """Return mean and deviation of one column: methods down, spaces and levels of noise across."""
    spaces = sorted({(row["space"], row["noise"]) for row in rows})
    titles = [f"R {space}, noise {noise:g}" for space, noise in spaces]
    lines = [f"| {column} | " + " | ".join(titles) + " |", "|---" * (1 + len(spaces)) + "|"]
    for method in dict.fromkeys(row["method"] for row in rows):
        values: dict[tuple[str, float], list[float]] = {space: [] for space in spaces}
        for row in rows:
            if row["method"] == method:
                values[row["space"], row["noise"]].append(row[column])
        cells = [_cell(numbers) for numbers in values.values()]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(numbers: list[float]) -> str:
    """Return mean and deviation; nothing without numbers."""
    if not numbers or np.isnan(numbers).any():
        return ""
    return f"{np.mean(numbers):.1f} ± {np.std(numbers):.1f}"


def main() -> int:
    """Train and score what is not in OUT/results.jsonl yet, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="data, runs and results.jsonl")
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--levels", nargs="+", type=float, default=[2.0, 4.0, 8.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "results.jsonl"
    rows = []
    if path.is_file():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    for settings in product(arguments.spaces, arguments.levels, arguments.seeds):
        rows += measure(settings, arguments.models, arguments.out, rows)
    print(summary(rows, "H"), summary(rows, "U"), table(rows), sep="\n\n")
    return 0


def measure(
    settings: tuple[str, float, int], models: list[str], out: Path, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Measure the models that `rows` lack in a space, and append them to OUT/results.jsonl."""
    space, noise, seed = settings
    key = {"space": space, "noise": noise, "seed": seed}
    done = {row["method"] for row in rows if key.items() <= row.items()}
    missing = [model for model in models if model not in done]
    if not missing:
        return []
    folder = out / f"{space}-{noise:g}-{seed}"
    new = []
    for method, figures in compare(folder, JointSpace(noise, SPACES[space], seed), missing):
        if method in done:
            continue
        new.append({**key, "method": method, **figures})
        with (out / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(new[-1]) + "\n")
    return new


if __name__ == "__main__":
    raise SystemExit(main())
