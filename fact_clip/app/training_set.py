"""Corrected videos into a training set in the common layout, and the command that trains on from a run."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.app.work import CancelledError, Job
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.distributed import PARENT
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import check_place, locked, whole_file
from fact_clip.core.segments import Clock
from fact_clip.datasets.benchmarks import BENCHMARKS
from fact_clip.datasets.factors import FILE, new_factors, parse_factors
from fact_clip.datasets.features import open_array, read_sidecar
from fact_clip.datasets.layout import UNLABELLED, find_split, split_names
from fact_clip.run import Run

_POLL = 0.5  # seconds between looks at the log of a training
_PATIENCE = 60.0  # seconds to wait for others who write to a training set


def facts_beside(features: Path, clock: Clock) -> dict[str, Any]:
    """Return the JSON beside the features of a training video: rate and times, but no path of this machine."""
    path = features.with_suffix(".json")
    facts = dict(read_mapping(path, "facts of features")) if path.is_file() else {}
    facts.pop("video", None)
    if "fps" not in facts and clock.fps is not None:
        facts["fps"] = clock.fps
    return facts


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class TrainingSet:
    """A folder in the common layout (docs/datasets.md), which grows by corrected videos; it may not exist yet.

    The run that the videos are segmented with says which files the layout has; a new mapping starts with its classes.
    """

    def __init__(self, root: Path, run: Run | None) -> None:
        self.root, self.run = root, run
        entry = BENCHMARKS["folder" if run is None else run.config.data.name]
        self._features, self._mapping = root / entry.features, root / entry.mapping
        check_place(self._mapping)
        if self._mapping.is_file():
            Vocabulary.from_mapping(self._mapping)  # a fault of it is an error before anybody corrects a video
        if run is not None:
            self._check_same_features(run.transform.input_dim, run.fps, f"{run.path} reads")

    def _check_same_features(self, width: int, fps: float | None, origin: str) -> None:
        """Raise an InputError where the set has features of another width or rate already."""
        path = next((path for path in sorted(self._features.glob("*.npy")) if path.name[0] != "."), None)
        if path is None:
            return
        shape, rate, fix = open_array(path).shape, read_sidecar(path).fps, "add features of one encoder"
        if width not in shape:
            raise InputError(path, f"shape {shape}, but {origin} {width} columns", fix)
        if None not in (rate, fps) and rate != fps:
            raise InputError(path.with_suffix(".json"), f"{rate:g} rows a second, but {origin} {fps:g}", fix)

    def add(
        self,
        name: str,
        features: NDArray[Any],
        labels: Sequence[str],
        facts: dict[str, Any],
        background: Sequence[str] = (),
    ) -> str:
        """Write features (T, D), one label a frame ("?": none), the classes and the list of training videos.

        `facts` go to the JSON file beside the features. A video with the same features takes the place of its earlier
        state. Returns the name there: `name`, or with a digest of the features where another video has that name.
        """
        if set(labels) == {UNLABELLED}:
            raise InputError(name, "no corrected segment", "correct one, or take the predicted ones too")
        self._check_same_features(features.shape[1], facts.get("fps"), f"{name} has")
        layout = "TD" if self.run is None else self.run.layout
        stored = features if layout == "TD" else features.T
        with locked(self.root, "a change of the training set", _PATIENCE):
            chosen = self._name_for(re.sub(r"[^\w.-]+", "_", name).strip("._") or "video", stored)
            with whole_file(self._features / f"{chosen}.npy") as path:
                np.save(path, stored)
            if layout == "TD":
                _write_lines(self._features / f"{chosen}.json", [json.dumps(facts)])
            self._add_classes(labels, background)
            _write_lines(self.root / "groundTruth" / f"{chosen}.txt", labels)
            self._add_to_lists(chosen)
        return chosen

    def _name_for(self, name: str, features: NDArray[Any]) -> str:
        """Return the name where it is free or that of the same features, else the name with a digest of these."""
        path = self._features / f"{name}.npy"
        if not path.exists() and not (self.root / "groundTruth" / f"{name}.txt").exists():
            return name
        if path.exists() and np.array_equal(open_array(path), features):
            return name
        return f"{name}-{hashlib.sha256(np.ascontiguousarray(features).tobytes()).hexdigest()[:12]}"

    def _add_classes(self, labels: Sequence[str], background: Sequence[str]) -> None:
        """Classes of an existing mapping keep their numbers; a new one starts with those of the run."""
        if self._mapping.is_file():
            classes = list(Vocabulary.from_mapping(self._mapping))
        else:
            classes = list(background) if self.run is None else list(self.run.vocabulary)
        names = [*classes, *(name for name in dict.fromkeys(labels) if name not in classes and name != UNLABELLED)]
        _write_lines(self._mapping, [f"{index} {name}" for index, name in enumerate(names)])
        self._add_factors(names)

    def _add_factors(self, names: Sequence[str]) -> None:
        """Write factors.csv where names do not parse: they are whole phrases, in the first slot, as on the page."""
        if self.run is None or len(self.run.vocabulary.slots) < 2:
            return
        vocabulary, path = self.run.vocabulary, self.root / FILE
        parsed, phrases = new_factors(
            self.run.config.data, vocabulary, [name for name in names if name not in vocabulary]
        )
        if not phrases and not path.is_file():
            return
        rows = dict(zip(vocabulary.names, vocabulary.factors, strict=True)) | parsed
        if path.is_file():
            slots, listed, _ = parse_factors(path, names)
            rows |= listed if slots == vocabulary.slots else {}
        with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["class", *vocabulary.slots])
            writer.writerows([name, *(factor or "" for factor in rows[name])] for name in names)

    def _add_to_lists(self, name: str) -> None:
        """Put the video into the training list of every split that does not test it; a new folder gets split 1."""
        lists = [find_split(self.root, "train", split) for split in split_names(self.root)]
        if not lists:
            _write_lines(self.root / "splits" / "test.split1.bundle", [])
        for path in [path for path in lists if path] or [self.root / "splits" / "train.split1.bundle"]:
            listed, tested = (
                file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
                for file in (path, path.with_name(path.name.replace("train", "test")))
            )
            if name not in (line.strip().removesuffix(".txt") for line in [*listed, *tested]):
                _write_lines(path, [*listed, name])


def new_folder(path: Path) -> Path:
    """Make a folder that nobody else gets, PATH-1 or a later number, and return it."""
    for number in count(1):
        with suppress(FileExistsError):
            folder = path.with_name(f"{path.name}-{number}")
            folder.mkdir(parents=True)
            return folder
    raise AssertionError


def adapt_command(start: Path, run: Run, root: Path, out: Path, epochs: int) -> list[str]:
    """``fact-clip train`` from the weights of the run in `start`, on the training set in `root`, into `out`."""
    splits = split_names(root)
    split = str(run.config.data.split) if str(run.config.data.split) in splits or not splits else splits[0]
    values = {
        "data.root": str(root.resolve()),
        "data.split": split,
        "data.holdout": None,
        "data.validation": 0,
        "data.groups": None,
        "train.init": str(start.resolve()),
        "train.epochs": epochs,
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return ["fact-clip", "train", str(start / "config.yaml"), *overrides, "--out", str(out)]


def train(command: Sequence[str], out: Path, epochs: int, job: Job) -> None:
    """Run ``fact-clip train``, and report the epochs that its log has; see `run_command`."""
    began = time.monotonic()

    def report() -> None:
        done = _epochs_done(out)
        left = f", {(time.monotonic() - began) * (epochs - done) / done:.0f} s left" if done else ""
        job.report(done, epochs, f"epoch {done} of {epochs}{left}")

    run_command(command, report)
    job.report(epochs, epochs, "done")


def run_command(command: Sequence[str], report: Callable[[], None]) -> None:
    """Run a command of ours in a process of its own, and call `report` twice a second, which may cancel it.

    A failure is an InputError with the last line of the command.
    """
    arguments = [sys.executable, "-m", "fact_clip", *command[1:]]
    environment = {**os.environ, PARENT: str(os.getpid())}  # however the page ends, its training ends with it
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process,
    ):
        try:
            while process.poll() is None:
                report()
                time.sleep(_POLL)
        except CancelledError:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL * 6)
            process.kill()
            raise
        output.seek(0)
        lines = [line for line in output.read().splitlines() if line.strip()]
    if process.returncode:
        last = lines[-1].removeprefix("fact-clip: ") if lines else f"exit code {process.returncode}"
        raise InputError(" ".join(command[:2]), last)


def _epochs_done(out: Path) -> int:
    try:
        return int(json.loads((out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["epoch"])
    except (OSError, ValueError, IndexError, KeyError):
        return 0
