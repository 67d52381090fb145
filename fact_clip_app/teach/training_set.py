"""A data set in the common layout, made of labelled videos."""

import csv
import json
import re
from collections.abc import Collection, Sequence
from itertools import chain, count
from pathlib import Path

import numpy as np

from fact_clip.core import BACKGROUND, Array, InputError, Json
from fact_clip.core.paths import whole_file, write_lines
from fact_clip.datasets.benchmarks import BENCHMARKS, FACTORS_FILE, new_factors
from fact_clip.datasets.clicks import FOLDER as CLICKS_FOLDER
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.runs.run import Run


class TrainingSet:
    """A new folder in the common layout (docs/datasets.md), to which videos are added.

    The run that learns from it determines the files of the layout, and the first classes.
    """

    def __init__(self, root: Path, run: Run | None) -> None:
        layout = BENCHMARKS["folder" if run is None else run.config.data.name]
        self.root = root
        self.run = run
        self._features = root / layout.features
        self._mapping = root / layout.mapping
        self._classes = [] if run is None else list(run.vocabulary)
        self._width = 0  # of the features of the first video
        self._fps: float | None = None  # their rate, if it is known

    def add(
        self,
        name: str,
        features: Array,
        labels: Sequence[str],
        facts: Json,
        is_clicked: bool = False,
    ) -> str:
        """Write the features and the labels of a video.

        Args:
            name: Name of the video.
            features: (T, D).
            labels: T class names; "?" means unlabelled.
            facts: Content of the JSON file of the features.
            is_clicked: Whether each label marks a single frame of a segment.

        Returns:
            The name in the set, with a number if a different video has the name.

        Raises:
            InputError: The features differ in width or rate from the first video.
        """
        self._check_same_features(name, features.shape[1], facts.get("fps"))
        layout = "TD" if self.run is None else self.run.layout
        stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "video"
        names = chain([stem], (f"{stem}-{number}" for number in count(2)))
        stem = next(name for name in names if not (self._features / f"{name}.npy").exists())
        with whole_file(self._features / f"{stem}.npy") as path:
            np.save(path, features if layout == "TD" else features.T)
        if layout == "TD" or facts:
            write_lines(self._features / f"{stem}.json", [json.dumps(facts)])
        if not self._classes and BACKGROUND in labels:
            self._classes.append(BACKGROUND)
        for label in dict.fromkeys(labels):
            if label not in self._classes and label != UNLABELLED:
                self._classes.append(label)
        if is_clicked:
            clicks = [row for row in enumerate(labels) if row[1] != UNLABELLED]
            path = self.root / CLICKS_FOLDER / f"{stem}.csv"
            _write_table(path, [("frame", "label"), *clicks])
        else:
            write_lines(self.root / "groundTruth" / f"{stem}.txt", labels)
        return stem

    def _check_same_features(self, name: str, width: int, fps: float | None) -> None:
        self._width = self._width or width
        self._fps = self._fps or fps
        fix = "add features of one encoder"
        if width != self._width:
            problem = f"{width} columns, but the previous videos have {self._width}"
            raise InputError(name, problem, fix)
        if fps is not None and fps != self._fps:
            problem = f"{fps:g} rows per second, but the previous videos have {self._fps:g}"
            raise InputError(name, problem, fix)

    def finish(self, test_names: Collection[str], train_names: Collection[str]) -> None:
        """Write the classes, with their factors, and the split."""
        lines = [f"{index} {name}" for index, name in enumerate(self._classes)]
        write_lines(self._mapping, lines)
        if self.run is not None and len(self.run.vocabulary.slots) > 1:
            self._write_factors(self.run)
        write_lines(self.root / "splits" / "train.split1.bundle", train_names)
        write_lines(self.root / "splits" / "test.split1.bundle", test_names)

    def _write_factors(self, run: Run) -> None:
        """Write factors.csv if the grammar does not give those of the run, or does not parse names.

        Names that do not parse are whole phrases, in the first slot.
        """
        vocabulary = run.vocabulary
        actions = [name for name in self._classes if name not in vocabulary.background]
        parsed, phrases = new_factors(run.config.data, vocabulary, actions)
        rows = parsed | dict(zip(vocabulary.names, vocabulary.factors, strict=True))
        if phrases or any(rows[name] != parsed[name] for name in actions):
            table: list[Sequence[object]] = [["class", *vocabulary.slots]]
            for name in self._classes:
                table.append([name, *(factor or "" for factor in rows[name])])
            _write_table(self.root / FACTORS_FILE, table)


def _write_table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with (
        whole_file(path) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)
