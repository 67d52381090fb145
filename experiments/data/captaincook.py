"""Build five recipes of CaptainCook4D from published features and annotations.

    python experiments/data/captaincook.py FEATURES ANNOTATIONS ROOT

FEATURES and ANNOTATIONS are clones of two repositories.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from building import (
    Builder,
    Recording,
    Source,
    run_builder,
    write_mapping,
    write_recordings,
    write_split,
)

from fact_clip.formats.table import write_table

RECIPES = (1, 12, 13, 17, 18)
"""Numbers of the recipes, with which the names of their recordings begin."""

TEST_PERSONS = (1, 2)
BACKGROUND = "background"
FEATURE_FOLDER = "data/step3/features"
FEATURE_SUFFIX = "_360p_224.mp4_1s_1s.npz"
ANNOTATIONS = "annotation_json/complete_step_annotations.json"


@dataclass(frozen=True)
class Step:
    """A step of a recipe, in seconds."""

    start: float
    stop: float
    name: str


def class_name(description: str) -> str:
    """Convert the description of a step, "Verb-Sentence", to a class name.

    The name is the sentence in lower case. It begins with the verb, which some sentences repeat.
    """
    verb, _, sentence = description.lower().partition("-")
    verb = verb.strip()
    sentence = sentence.strip()
    if sentence.startswith(verb):
        return sentence
    return f"{verb} {sentence}"


def read_steps(annotation: dict[str, Any]) -> list[Step]:
    """Read the steps of a recording in the order of their starts. Steps left out start before 0."""
    steps = []
    for step in annotation["steps"]:
        if step["start_time"] >= 0:
            name = class_name(step["description"])
            steps.append(Step(step["start_time"], step["end_time"], name))
    return sorted(steps, key=lambda step: step.start)


def labels_of(steps: Iterable[Step], n_rows: int) -> list[str]:
    """Label rows of one second. If steps overlap, the one that starts last counts."""
    labels = [BACKGROUND] * n_rows
    for step in steps:
        first = int(step.start + 0.5)
        last = min(int(step.stop + 0.5), n_rows)
        if last > first:
            labels[first:last] = [step.name] * (last - first)
    return labels


def build(features: Path, annotations: Path, root: Path) -> None:
    """Write the data set.

    Args:
        features: Clone of the repository with features.
        annotations: Clone of the repository with annotations.
        root: Folder of the data set.
    """
    annotated = json.loads((annotations / ANNOTATIONS).read_text(encoding="utf-8"))
    recordings: dict[str, Recording] = {}
    class_names: set[str] = set()
    train = []
    test = []
    for name in recording_names(features / FEATURE_FOLDER):
        with np.load(features / FEATURE_FOLDER / f"{name}{FEATURE_SUFFIX}") as archive:
            rows = archive["features"].astype(np.float16)
        steps = read_steps(annotated[name])
        recordings[name] = Recording(rows, labels_of(steps, len(rows)))
        class_names.update(step.name for step in steps)
        if annotated[name]["person_id"] in TEST_PERSONS:
            test.append(name)
        else:
            train.append(name)

    write_recordings(root, recordings)
    write_mapping(root, [BACKGROUND, *sorted(class_names)])
    write_split(root, train, test)
    table: list[tuple[object, ...]] = [("recording", "recipe", "person")]
    for name in sorted(recordings):
        annotation = annotated[name]
        table.append((name, annotation["activity_name"], annotation["person_id"]))
    write_table(root / "recipes.csv", table, end="\n")
    shutil.copyfile(annotations / "LICENSE", root / "LICENSE")
    shutil.copyfile(features / "LICENSE", root / "LICENSE.features")


def recording_names(folder: Path) -> Sequence[str]:
    """Return the names of the recordings of the recipes, in the order of their files."""
    file_names: list[str] = []
    for recipe in RECIPES:
        file_names += [path.name for path in folder.glob(f"{recipe}_*{FEATURE_SUFFIX}")]
    return [file_name.removesuffix(FEATURE_SUFFIX) for file_name in sorted(file_names)]


FEATURE_SOURCE = Source(
    repository="ValeriaMegale/aml-2025-mistake-detection",
    commit="b94382ff9ae0d8eac0e13404d998ea3052e2aad7",
    paths=("LICENSE", *(f"{FEATURE_FOLDER}/{recipe}_*" for recipe in RECIPES)),
)
ANNOTATION_SOURCE = Source(
    repository="CaptainCook4D/annotations",
    commit="a8a920a3293c4db27099a20ddbe3a3a9be1283e3",
    paths=("LICENSE", ANNOTATIONS),
)
BUILDER = Builder(name="captaincook", sources=(FEATURE_SOURCE, ANNOTATION_SOURCE), build=build)

if __name__ == "__main__":
    raise SystemExit(run_builder(BUILDER, __doc__))
