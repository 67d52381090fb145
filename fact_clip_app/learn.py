"""From labels to a model: training sets in the common layout, ``fact-clip train``, and figures before and after."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Vocabulary
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.distributed import PARENT
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import check_place, locked, whole_file, write_lines
from fact_clip.datasets.benchmarks import BENCHMARKS, FACTORS_FILE, new_factors, parse_factors
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import open_array, read_sidecar
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.datasets.layout import find_split, split_names
from fact_clip.encoders import Runtime, frame_encoder
from fact_clip.inference.candidates import NONE_OF_THESE
from fact_clip.inference.segmenter import Segmenter
from fact_clip.metrics.segmental import count_segments
from fact_clip.run import Run
from fact_clip.video.extract import Settings
from fact_clip_app.edits import BACKGROUND, Draft, row_labels
from fact_clip_app.page import CancelledError, Engine, Job, Page, reads_names, row_starts
from fact_clip_app.project import Label, VideoEntry

logger = logging.getLogger(__name__)

ENCODER = "grid"  # Makes the features where no model says otherwise
FIRST_VIDEOS = 50  # Training videos of a run that a model taught from it sees again, at most
EVERY = 4  # Of this many labelled videos, one is held out to measure on

_POLL = 0.5  # seconds between looks at the log of a training
_PATIENCE = 60.0  # seconds to wait for others who write to a training set

Held = tuple[
    Path, NDArray[np.float64], list[str]
]  # features, seconds of their rows (T + 1,), labels (T,)


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
            Vocabulary.from_mapping(
                self._mapping
            )  # a fault of it is an error before anybody corrects a video
        if run is not None:
            self._check_same_features(run.transform.input_dim, run.fps, f"{run.path} reads")

    def _check_same_features(self, width: int, fps: float | None, origin: str) -> None:
        """Raise an InputError where the set has features of another width or rate already."""
        path = next(
            (path for path in sorted(self._features.glob("*.npy")) if path.name[0] != "."), None
        )
        if path is None:
            return
        shape, rate, fix = (
            open_array(path).shape,
            read_sidecar(path).fps,
            "add features of one encoder",
        )
        if width not in shape:
            raise InputError(path, f"shape {shape}, but {origin} {width} columns", fix)
        if None not in (rate, fps) and rate != fps:
            raise InputError(
                path.with_suffix(".json"), f"{rate:g} rows a second, but {origin} {fps:g}", fix
            )

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
            raise InputError(
                name, "no corrected segment", "correct one, or take the predicted ones too"
            )
        self._check_same_features(features.shape[1], facts.get("fps"), f"{name} has")
        layout = "TD" if self.run is None else self.run.layout
        stored = features if layout == "TD" else features.T
        with locked(self.root, "a change of the training set", _PATIENCE):
            chosen = self._name_for(re.sub(r"[^\w.-]+", "_", name).strip("._") or "video", stored)
            with whole_file(self._features / f"{chosen}.npy") as path:
                np.save(path, stored)
            if layout == "TD":
                write_lines(self._features / f"{chosen}.json", [json.dumps(facts)])
            if (
                self._mapping.is_file()
            ):  # its classes keep their numbers; a new one starts with those of the run
                classes = list(Vocabulary.from_mapping(self._mapping))
            else:
                classes = list(background) if self.run is None else list(self.run.vocabulary)
            classes += [
                name for name in dict.fromkeys(labels) if name not in classes and name != UNLABELLED
            ]
            write_lines(self._mapping, [f"{index} {name}" for index, name in enumerate(classes)])
            self._add_factors(classes)
            write_lines(self.root / "groundTruth" / f"{chosen}.txt", labels)
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

    def _add_factors(self, names: Sequence[str]) -> None:
        """Write factors.csv where names do not parse: they are whole phrases, in the first slot, as on the page."""
        if self.run is None or len(self.run.vocabulary.slots) < 2:
            return
        vocabulary, path = self.run.vocabulary, self.root / FACTORS_FILE
        parsed, phrases = new_factors(
            self.run.config.data, vocabulary, [name for name in names if name not in vocabulary]
        )
        if not phrases and not path.is_file():
            return
        rows = dict(zip(vocabulary.names, vocabulary.factors, strict=True)) | parsed
        if path.is_file():
            slots, listed, _ = parse_factors(path, names)
            rows |= listed if slots == vocabulary.slots else {}
        with (
            whole_file(path) as unfinished,
            unfinished.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["class", *vocabulary.slots])
            writer.writerows([name, *(factor or "" for factor in rows[name])] for name in names)

    def _add_to_lists(self, name: str) -> None:
        """Put the video into the training list of every split that does not test it; a new folder gets split 1."""
        lists = [find_split(self.root, "train", split) for split in split_names(self.root)]
        if not lists:
            write_lines(self.root / "splits" / "test.split1.bundle", [])
        for path in [path for path in lists if path] or [
            self.root / "splits" / "train.split1.bundle"
        ]:
            listed, tested = (
                file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
                for file in (path, path.with_name(path.name.replace("train", "test")))
            )
            if name not in (line.strip().removesuffix(".txt") for line in [*listed, *tested]):
                write_lines(path, [*listed, name])


def new_folder(path: Path) -> Path:
    """Make a folder that nobody else gets, PATH-1 or a later number, and return it."""
    for number in count(1):
        with suppress(FileExistsError):
            folder = path.with_name(f"{path.name}-{number}")
            folder.mkdir(parents=True)
            return folder
    raise AssertionError


def add_video(
    training_set: TrainingSet,
    video: VideoEntry,
    parts: Iterable[Draft | Label],
    other: str,
    features: Path,
    model: Segmenter | None,
) -> tuple[str, Held]:
    """Add a video to a training set, by its features for a model and what is labelled; `other` is the label between."""
    array, clock = Engine.opened(features, model)
    rows = row_starts(clock, len(array))
    names = row_labels(parts, video.times, rows, other)
    labels = [UNLABELLED if name == NONE_OF_THESE else name for name in names]
    background = [other] if model is None and other in labels and other != UNLABELLED else []
    beside = features.with_suffix(".json")
    facts = dict(read_mapping(beside, "facts of features")) if beside.is_file() else {}
    facts.pop("video", None)  # a path of this machine
    if clock.fps is not None:
        facts.setdefault("fps", clock.fps)
    name = training_set.add(video.name, array, labels, facts, background)
    return name, (features, rows, labels)


def adapt(page: Page, epochs: int) -> list[str]:
    """Begin to train on from the run in use, on the training set of the page; return the command that does it."""
    training_set, chosen = page.training_set, page.engine.chosen
    if page.options.run is None:
        raise InputError("adapt", "this model was not trained", "start the page with --run RUN")
    run = Run.read(page.project.runs()[chosen][0] if chosen else page.options.run)
    out = new_folder(training_set.root / "runs" / "adapted")
    command = adapt_command(run, training_set.root, out, epochs)

    def train(job: Job) -> None:
        run_command(command, job, out, epochs)
        page.project.add_run(out, "main", {})

    try:
        page.begin_training(train)
    except Exception:
        out.rmdir()
        raise
    return command


def adapt_command(run: Run, root: Path, out: Path, epochs: int) -> list[str]:
    """``fact-clip train`` from the weights of a run, on the training set in `root`, into `out`."""
    splits, split = split_names(root), str(run.config.data.split)
    values = {
        "data.root": str(root.resolve()),
        "data.split": split if split in splits or not splits else splits[0],
        "data.holdout": None,
        "data.validation": 0,
        "data.groups": None,
        "train.init": str(run.path.resolve()),
        "train.epochs": epochs,
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return ["fact-clip", "train", str(run.path / "config.yaml"), *overrides, "--out", str(out)]


def learn(page: Page, track: str, minutes: float, teach: bool) -> None:
    """Begin to train a model on the labels of a track, and to measure it on labelled videos that it has not seen.

    The better one of this model and the one in use is used from then on. To `teach` is to begin with the run in use,
    which learns names that it has not had.
    """
    videos, model = labelled(page, track), page.engine.model()
    if teach and (model is None or model.scorer.run is None):
        raise InputError("train", "there is no run to teach", "train a new model")
    page.begin_training(partial(_learn, page, videos, track, minutes, model if teach else None))


def labelled(page: Page, track: str) -> list[VideoEntry]:
    """Return the videos with labels on a track; an InputError where these are fewer than two."""
    videos = list[VideoEntry]()
    for video in page.project.full_videos():
        names, labels = page.project.tracks(video.id), page.project.labels(video.id)
        if any(labels[key] for key, name in names.items() if name == track):
            videos.append(video)
    if len(videos) < 2:
        raise InputError(
            "train", f"{len(videos)} labelled videos", "label two, so that one can be measured on"
        )
    return videos


def _learn(
    page: Page,
    videos: Sequence[VideoEntry],
    track: str,
    minutes: float,
    start: Segmenter | None,
    job: Job,
) -> None:
    before = page.engine.model()
    folder = new_folder(page.project.folder / "runs" / "model")
    data, recipe, out = folder / "data", folder / "recipe.yaml", folder / folder.name
    held = _write_set(page, videos, track, data, start, job)
    words = [
        "fact-clip",
        "data",
        "init",
        str(data),
        "--out",
        str(recipe),
        "--minutes",
        f"{minutes:g}",
    ]
    run_command(words, job, note="measuring how fast this computer trains")
    epochs = int(read_mapping(recipe, "a recipe").get("train", {}).get("epochs", 80))
    command = ["fact-clip", "train", str(recipe), "model.head=text", "--out", str(out)]
    run_command(
        command if start is None else adapt_command(start.run, data, out, epochs), job, out, epochs
    )
    now, earlier = (
        measure(page.engine.open(out), held),
        None if before is None else measure(before, held),
    )
    figures = {"before": earlier, "after": now}
    page.project.add_run(out, track, figures)
    is_better = earlier is None or now["right"] >= earlier["right"]
    if is_better:
        page.project.set("model", out.name)
    outcome = "It is used from now on." if is_better else "The model before was better and is kept."
    job.report(epochs, epochs, f"{in_words(figures)} {outcome}")


def export_set(page: Page, track: str, root: Path) -> None:
    """Write the labelled videos of a track as a data set in the common layout, every fourth as a test video."""
    _write_set(page, labelled(page, track), track, root, None, Job("export", lambda job: None))


def _write_set(
    page: Page,
    videos: Sequence[VideoEntry],
    track: str,
    root: Path,
    model: Segmenter | None,
    job: Job,
) -> list[Held]:
    """Write the labelled videos in the common layout, every fourth of them as a test video; return these."""
    training_set = TrainingSet(root, None if model is None else model.run)
    names, held = dict[str, bool](), list[Held]()
    media, user = (
        next((video.media for video in videos if video.media is not None), None),
        model or page.engine.model(),
    )
    if user is None or media is None:
        encoder, extraction = frame_encoder(ENCODER, Runtime("cpu")), Settings()
    else:
        encoder, extraction = user.encoder_for(media), user.extraction
    other = BACKGROUND if model is None else next(iter(model.vocabulary.background), BACKGROUND)
    if model is not None:
        names |= dict.fromkeys(_add_first_videos(training_set, model.run), False)
    for number, video in enumerate(videos):
        path = page.engine.features_by(video, encoder, extraction)
        path = path or page.engine.encode(video, job, encoder, extraction)
        key = next(key for key, name in page.project.tracks(video.id).items() if name == track)
        parts, rest = page.project.labels(video.id)[key], other if video.complete else UNLABELLED
        name, part = add_video(training_set, video, parts, rest, path, model)
        names[name] = number % EVERY == 1
        held += [part] if names[name] else []
    for part_name, is_held in (("train", False), ("test", True)):
        write_lines(
            root / "splits" / f"{part_name}.split1.bundle",
            [n for n in names if names[n] == is_held],
        )
    return held


def _add_first_videos(training_set: TrainingSet, run: Run) -> list[str]:
    """Add what a run was trained on, where that is still there, so that it forgets nothing; some of very many."""
    try:
        dataset = Dataset.open(run.config.data)
    except InputError:
        logger.warning(
            "the training videos of %s are not there; what it learns now may replace the old",
            run.path,
        )
        return []
    facts, names, added = (
        {} if dataset.fps is None else {"fps": dataset.fps},
        [*dataset.vocabulary, UNLABELLED],
        [],
    )
    for name in dataset.train[:FIRST_VIDEOS]:
        labels = [names[index] for index in dataset.labels(name).tolist()]  # -1: no label
        added.append(training_set.add(name, dataset.features(name), labels, facts))
    return added


def run_command(
    command: Sequence[str], job: Job, out: Path | None = None, epochs: int = 0, note: str = ""
) -> None:
    """Run a command of ours in a process of its own; the job, which may cancel it, is told the epochs in OUT/log.jsonl.

    A failure is an InputError with the last line of the command.
    """
    arguments = [sys.executable, "-m", "fact_clip", *command[1:]]
    environment = {
        **os.environ,
        PARENT: str(os.getpid()),
    }  # however the page ends, its training ends with it
    began = time.monotonic()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        subprocess.Popen(
            arguments, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):
        try:
            while process.poll() is None:
                done = 0
                if out is not None and (out / "log.jsonl").is_file():
                    done = len((out / "log.jsonl").read_text(encoding="utf-8").splitlines())
                left = (
                    f", {(time.monotonic() - began) * (epochs - done) / done:.0f} s left"
                    if done
                    else ""
                )
                job.report(done, epochs, note or f"epoch {done} of {epochs}{left}")
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
    job.report(epochs, epochs, "done")


def measure(model: Segmenter, held: Sequence[Held]) -> dict[str, Any]:
    """Return how a model does on labelled videos: percent of the labelled time right, segments found and in all.

    A segment is found where a predicted one of its name covers half of what both cover together.
    """
    right, time, hits, total = 0.0, 0.0, 0, 0
    for path, rows, labels in held:
        features, clock = model.open(path)
        left_out = UNLABELLED, BACKGROUND, *model.vocabulary.background
        names = sorted({label for label in labels if label not in left_out})
        actions = None
        if reads_names(model):
            trained = [] if model.scorer.run is None else list(model.vocabulary)
            actions = [name for name in dict.fromkeys([*names, *trained]) if name not in left_out]
        candidates = model.choose(actions)
        prediction = model.decode(
            model.score(features, path, candidates, clock), candidates, DecodeSettings()
        )
        vocabulary = Vocabulary.from_names(dict.fromkeys([*labels, *prediction.transcript]))
        truth, predicted = vocabulary.encode(labels), vocabulary.encode(prediction.to_frames())
        labelled_rows, lengths = np.array([label != UNLABELLED for label in labels]), np.diff(rows)
        right += float(lengths[labelled_rows & (truth == predicted)].sum())
        time += float(lengths[labelled_rows].sum())
        others = [index for index, name in enumerate(vocabulary) if name not in names]
        hit, _, missed = count_segments([(truth, predicted)], 50, others).totals()
        hits, total = hits + hit, total + hit + missed
    return {"right": round(100 * right / max(time, 1e-9), 1), "found": hits, "segments": total}


def in_words(figures: dict[str, Any]) -> str:
    """Return figures as a person reads them."""
    before, after = figures["before"], figures["after"]
    earlier = (
        "–"
        if before is None
        else f"{before['right']:.0f} %, {before['found']} of {before['segments']}"
    )
    text = f"On labelled videos that it has not seen: {after['right']:.0f} % of the time right"
    return f"{text}, {after['found']} of {after['segments']} segments found; before: {earlier}."
