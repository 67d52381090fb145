"""Score trained and training-free methods in a synthetic joint space of frames and texts.

A frame of an action of the workbench is x = normalise(R (a t_object + b t_action) + g + v + noise) with the text
vectors t of a real sentence encoder, a constant gap g between both sides, a vector v for each video, and b < a: verbs
are fainter than objects. The methods are given t, but not R, g and v. Figures of this space say nothing about real
video. docs/experiments/joint_space.md has the table.

    OMP_NUM_THREADS=1 .venv/bin/python experiments/joint.py --out runs/joint --levels 2 4 8 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
from fact_clip.decoding import CandidateSet, DecodeSettings, Scores, decode_scores
from fact_clip.decoding.similarity import similarity_probabilities
from fact_clip.encoders import text_encoder
from fact_clip.encoders.vectors import embed
from fact_clip.inference.scorer import Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.run import Run
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

SPACES = {"given": False, "unknown": True}
"""Whether R is unknown. A joint model such as CLIP gives its texts as R t, so that R is the identity for its user."""

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
    actions = [name for name, (verb, _, _) in FACTORS.items() if verb is not None]
    objects = list(dict.fromkeys(str(FACTORS[name][1]) for name in actions))
    whole, part = _vectors(space.encoder, actions), _vectors(space.encoder, objects)
    width = len(whole[actions[0]])
    shown = {name: np.zeros(width) for name in FACTORS}
    for name in actions:
        shown[name] = space.of_object * part[str(FACTORS[name][1])] + space.of_action * whole[name]
    rng = np.random.default_rng([20261126, space.seed])
    rotation = (
        np.linalg.qr(rng.standard_normal((width, width)))[0] if space.rotated else np.eye(width)
    )
    gap = space.gap * _direction(rng, width)
    for path in sorted((root / "groundTruth").glob("*.txt")):
        rows = np.stack(
            [shown[label] for label in path.read_text(encoding="utf-8").splitlines()]
        )  # (T, W)
        rows = rows @ rotation.T + gap + space.nuisance * _direction(rng, width)
        rows += space.noise / np.sqrt(width) * rng.standard_normal(rows.shape)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.save(root / "features" / f"{path.stem}.npy", rows.astype(np.float16))
    return root


def _vectors(encoder: str, names: list[str]) -> dict[str, Floats]:
    rows = embed(text_encoder(encoder), Vocabulary.from_names(names)).classes.astype(np.float64)
    return dict(zip(names, rows, strict=True))


def _direction(rng: np.random.Generator, width: int) -> Floats:
    drawn = rng.standard_normal(width)
    return drawn / np.linalg.norm(drawn)


def compared(
    folder: Path, space: JointSpace, models: list[str]
) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of the methods in one space: (name, figures) as they are found."""
    root = write_joint_space(folder / "data", space)
    config = Config.from_tree(
        merged(TREE, {"data": {"root": str(root)}, "train": {"seed": space.seed}}), "joint"
    )
    yield "training-free", training_free(Dataset.open(config.data), space.encoder)
    for name in models:
        out = folder / name.replace(" ", "-")
        train(Config.from_tree(merged(config.model_dump(), {"model": MODELS[name]}), "joint"), out)
        yield name, figures(evaluate(out))
        if name == "similarity":
            yield f"{name}, names in another order", permuted(out)


def merged(tree: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """A tree with the values of another on top."""
    nested = {
        key: merged(tree[key], value)
        for key, value in top.items()
        if isinstance(value, dict) and key in tree
    }
    return {**tree, **top, **nested}


def figures(result: dict[str, Any]) -> dict[str, float]:
    """The columns of the table, as in use: gamma was chosen on validation videos and validation-unseen classes."""
    report = result["zero_shot"]
    rest = {"unseen labels only": report["unseen_labels_only"], "AUSUC": report["ausuc"]}
    return {key: float({**report["ways"]["in use"], **rest}[key]) for key in COLUMNS}


def training_free(dataset: Dataset, encoder: str) -> dict[str, float]:
    """`fact-clip segment --training-free` with all actions as candidates; the background is never named."""
    known = dataset.vocabulary
    actions = [name for name in known if name not in known.background]
    texts, place = (
        embed(text_encoder(encoder), Vocabulary.from_names(actions)).classes,
        known.encode(actions),
    )
    left_out = (*known.background_indices, *dataset.validation_unseen)
    truth, found, alone = [], [], []
    unseen = np.array([actions.index(known.names[label]) for label in dataset.unseen])

    def decoded(table: NDArray[np.float32]) -> NDArray[np.int64]:
        scores = Scores(len(table), similarity=torch.from_numpy(table), rate=FPS)
        return decode_scores(scores, CandidateSet(known), DecodeSettings(shortest=1.0))[0]

    for name in dataset.test:
        rows = dataset.features(name)
        truth.append(dataset.labels(name))
        found.append(place[decoded(similarity_probabilities(rows, texts, round(FPS)))])
        alone.append(
            place[unseen[decoded(similarity_probabilities(rows, texts[unseen], round(FPS)))]]
        )
    seen_mean, unseen_mean = metrics.class_means(truth, found, dataset.unseen, left_out)
    only = [np.where(np.isin(labels, dataset.unseen), labels, -1) for labels in truth]
    return {
        "S": seen_mean,
        "U": unseen_mean,
        "H": metrics.harmonic_mean(seen_mean, unseen_mean),
        "unseen labels only": metrics.class_means(only, alone, dataset.unseen, left_out)[1],
        "AUSUC": float("nan"),  # it knows no seen classes
        "edit": metrics.evaluate(truth, found, background=known.background_indices)["edit"],
    }


def permuted(out: Path) -> dict[str, float]:
    """S, U and H with all names typed in a random order: those of the vocabulary's order, but for rounding."""
    loaded = Run.open(out)
    dataset = Dataset.open(loaded.run.config.data)
    segmenter = Segmenter(Scorer(loaded, "cpu"))
    order = np.random.default_rng(0).permutation(len(dataset.vocabulary))
    names = [dataset.vocabulary.names[label] for label in order]
    truth = [dataset.labels(name) for name in dataset.test]
    found = [
        dataset.vocabulary.encode(segmenter.segment(dataset.features(name), names).to_frames())
        for name in dataset.test
    ]
    left_out = (*dataset.vocabulary.background_indices, *dataset.validation_unseen)
    seen_mean, unseen_mean = metrics.class_means(truth, found, dataset.unseen, left_out)
    return {"S": seen_mean, "U": unseen_mean, "H": metrics.harmonic_mean(seen_mean, unseen_mean)}


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and deviation over the seeds, in Markdown."""
    lines = [
        "| R | noise | method | " + " | ".join(COLUMNS) + " |",
        "|---" * (3 + len(COLUMNS)) + "|",
    ]
    for key in dict.fromkeys((row["space"], row["noise"], row["method"]) for row in rows):
        own = [row for row in rows if (row["space"], row["noise"], row["method"]) == key]
        cells = []
        for column in COLUMNS:
            values = np.array([row.get(column, np.nan) for row in own])
            cells.append(
                "" if np.isnan(values).any() else f"{values.mean():.1f} ± {values.std():.1f}"
            )
        lines.append(f"| {key[0]} | {key[1]:g} | {key[2]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(rows: list[dict[str, Any]], column: str) -> str:
    """Mean and deviation over the seeds of one column: methods down, spaces and levels of noise across."""
    spaces = sorted({(row["space"], row["noise"]) for row in rows})
    lines = [
        f"| {column} | "
        + " | ".join(f"R {space}, noise {noise:g}" for space, noise in spaces)
        + " |",
        "|---" * (1 + len(spaces)) + "|",
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for key in spaces:
            own = [
                row[column]
                for row in rows
                if (row["space"], row["noise"]) == key and row["method"] == method
            ]
            cells.append(f"{np.mean(own):.1f} ± {np.std(own):.1f}" if own else "")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Train and score what is not in OUT/results.jsonl yet, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of data, runs and results.jsonl"
    )
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--levels", nargs="+", type=float, default=[2.0, 4.0, 8.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    done = {(row["space"], row["noise"], row["seed"], row["method"]) for row in rows}
    for name in asked.spaces:
        for noise in asked.levels:
            for seed in asked.seeds:
                models = [model for model in asked.models if (name, noise, seed, model) not in done]
                folder = asked.out / f"{name}-{noise:g}-{seed}"
                for method, own in (
                    compared(folder, JointSpace(noise, SPACES[name], seed), models)
                    if models
                    else ()
                ):
                    row = {"space": name, "noise": noise, "seed": seed, "method": method, **own}
                    if (name, noise, seed, method) in done:
                        continue
                    rows.append(row)
                    with path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
    print(summary(rows, "H"), summary(rows, "U"), table(rows), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
