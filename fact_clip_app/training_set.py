"""A data set in the common layout that grows by labelled videos."""

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fact_clip.core import BACKGROUND, Array, InputError, Json, Vocabulary
from fact_clip.core.paths import check_place, locked, whole_file, write_lines
from fact_clip.datasets.benchmarks import BENCHMARKS, FACTORS_FILE, new_factors, parse_factors
from fact_clip.datasets.clicks import FOLDER as CLICKS_FOLDER
from fact_clip.datasets.features import open_array, read_sidecar
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.datasets.layout import find_split, read_split, split_names
from fact_clip.run import Run

LOCK_SECONDS = 60.0
"""Seconds to wait for others who write to the training set."""


class TrainingSet:
    """A folder in the common layout (docs/datasets.md), which need not exist yet.

    The run that the videos are segmented with determines the files of the layout. A new mapping
    starts with its classes. Classes of a mapping keep their numbers.
    """

    def __init__(self, root: Path, run: Run | None) -> None:
        layout = BENCHMARKS["folder" if run is None else run.config.data.name]
        self.root = root
        self.run = run
        self._features = root / layout.features
        self._mapping = root / layout.mapping
        check_place(self._mapping)
        if self._mapping.is_file():  # its faults are errors before anybody corrects a video
            Vocabulary.from_mapping(self._mapping)
        if run is not None:
            self._check_same_features(run.transform.input_dim, run.fps, f"{run.path} reads")

    def _check_same_features(self, width: int, fps: float | None, origin: str) -> None:
        """Raise an InputError if the set has features of another width or rate."""
        path = min(self._features.glob("[!.]*.npy"), default=None)
        if path is None:
            return
        shape = open_array(path).shape
        rate = read_sidecar(path).fps
        fix = "add features of one encoder"
        if width not in shape:
            raise InputError(path, f"shape {shape}, but {origin} {width} columns", fix)
        if rate is not None and fps is not None and rate != fps:
            problem = f"{rate:g} rows a second, but {origin} {fps:g}"
            raise InputError(path.with_suffix(".json"), problem, fix)

    def add(
        self,
        name: str,
        features: Array,
        labels: Sequence[str],
        facts: Json,
        is_clicked: bool = False,
    ) -> str:
        """Write a video: its features, its labels, new classes, and its entry in the lists.

        A video with the same features is replaced, whatever its name is.

        Args:
            name: the name of the video.
            features: (T, D).
            labels: T class names; "?" means unlabelled.
            facts: the content of the JSON file beside the features.
            is_clicked: whether each label is that of one frame of a segment.

        Returns:
            The name in the set: that of the video with the same features if there is one, with a
            digest of the features if another video has the name.
        """
        self._check_same_features(features.shape[1], facts.get("fps"), f"{name} has")
        layout = "TD" if self.run is None else self.run.layout
        stored = features if layout == "TD" else features.T
        stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "video"
        with locked(self.root, "a change of the training set", LOCK_SECONDS):
            stem = self._free_name(stem, stored)
            with whole_file(self._features / f"{stem}.npy") as path:
                np.save(path, stored)
            if layout == "TD":
                write_lines(self._features / f"{stem}.json", [json.dumps(facts)])
            classes = [BACKGROUND] if BACKGROUND in labels else []
            if self._mapping.is_file():
                classes = list(Vocabulary.from_mapping(self._mapping))
            elif self.run is not None:
                classes = list(self.run.vocabulary)
            for label in dict.fromkeys(labels):
                if label not in classes and label != UNLABELLED:
                    classes.append(label)
            write_lines(self._mapping, [f"{index} {name}" for index, name in enumerate(classes)])
            self._add_factors(classes)
            labels_path = self.root / "groundTruth" / f"{stem}.txt"
            if is_clicked:
                clicks = [row for row in enumerate(labels) if row[1] != UNLABELLED]
                path = self.root / CLICKS_FOLDER / f"{stem}.csv"
                _write_table(path, [("frame", "label"), *clicks])
                labels_path.unlink(missing_ok=True)  # labels of before would be read first
            else:
                write_lines(labels_path, labels)
            self._add_to_lists(stem)
        return stem

    def _free_name(self, name: str, features: Array) -> str:
        """Return the name of the video with the same features, else a free one."""
        for path in sorted(self._features.glob("[!.]*.npy")):
            stored = open_array(path)
            if stored.shape == features.shape and np.array_equal(stored, features):
                return path.stem
        labels_path = self.root / "groundTruth" / f"{name}.txt"
        if not (self._features / f"{name}.npy").exists() and not labels_path.exists():
            return name
        digest = hashlib.sha256(np.ascontiguousarray(features).tobytes()).hexdigest()
        return f"{name}-{digest[:12]}"

    def _add_factors(self, names: Sequence[str]) -> None:
        """Write factors.csv if names do not parse. These are whole phrases, in the first slot."""
        if self.run is None or len(self.run.vocabulary.slots) < 2:
            return
        vocabulary = self.run.vocabulary
        path = self.root / FACTORS_FILE
        new_names = [name for name in names if name not in vocabulary]
        parsed, phrases = new_factors(self.run.config.data, vocabulary, new_names)
        if not phrases and not path.is_file():
            return
        rows = dict(zip(vocabulary.names, vocabulary.factors, strict=True)) | parsed
        if path.is_file():
            slots, written, _ = parse_factors(path, names)
            if slots == vocabulary.slots:
                rows |= written
        table: list[Sequence[object]] = [["class", *vocabulary.slots]]
        for name in names:
            table.append([name, *(factor or "" for factor in rows[name])])
        _write_table(path, table)

    def _add_to_lists(self, name: str) -> None:
        """Add a video to the training list of every split that does not test it."""
        splits = split_names(self.root)
        if not splits:
            write_lines(self.root / "splits" / "test.split1.bundle", [])
            write_lines(self.root / "splits" / "train.split1.bundle", [name])
        for split in splits:
            trained, _ = read_split(self.root, "train", split)
            tested, _ = read_split(self.root, "test", split)
            path = find_split(self.root, "train", split)
            if path is not None and name not in trained | tested:
                lines = path.read_text(encoding="utf-8").splitlines()
                write_lines(path, [*lines, name])


def _write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with (
        whole_file(path) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)
