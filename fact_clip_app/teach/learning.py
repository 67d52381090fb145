"""Training on labels of a project with ``fact-clip train``, and figures before and after it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np

from fact_clip.core import BACKGROUND, InputError, Json, Names, Vocabulary
from fact_clip.core.io import read_mapping
from fact_clip.core.launch import PARENT
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.inference.candidates import check_trust
from fact_clip.inference.segmenter import Segmenter
from fact_clip.metrics.segmental import count_segments
from fact_clip.runs.run import Run
from fact_clip_app.api.request_bodies import Training
from fact_clip_app.store.label_files import warnings_heard
from fact_clip_app.teach.labelled_videos import (
    LabelledVideo,
    training_videos,
    unlabelled_videos,
    write_set,
)
from fact_clip_app.workspace.engine import run_of, typed_names
from fact_clip_app.workspace.jobs import CancelledError, Job
from fact_clip_app.workspace.workspace import Workspace

POLL_SECONDS = 0.5
"""Seconds between looks at the log of a training."""


def continue_command(run: Run, root: Path, out: Path, epochs: int) -> list[str]:
    """Return the command that trains from the weights of a run.

    Args:
        run: Run to train or to teach.
        root: Data set to train on, as `write_set` has written it.
        out: Run folder to write.
        epochs: Duration of the training.
    """
    values: Json = {
        "data.root": str(root.resolve()),
        "data.split": "1",
        "data.holdout": None,
        "data.holdout_mode": None,
        "data.validation_unseen": None,
        "data.validation_videos": None,
        "data.drafts": None,
        "data.validation": 0,
        "data.groups": None,
        "train.init": str(run.path.resolve()),
        "train.self_training": False,
        "train.epochs": epochs,
    }
    # the name that new labels have for background (`write_set`)
    is_new = BACKGROUND in Vocabulary.from_mapping(root / "mapping.txt")
    if is_new and not run.vocabulary.background:
        values["data.background"] = [BACKGROUND]
    overrides = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    return ["fact-clip", "train", str(run.path / "config.yaml"), *overrides, "--out", str(out)]


def learn(workspace: Workspace, training: Training) -> None:
    """Queue training on the labels of a track, and a test on labelled videos.

    From then on, the better of the new model and the current one is used.

    Args:
        workspace: Open project with its models and work.
        training: Model to train. A model that is taught learns new names from the run in use.
    """
    if training.teach and training.helpers:
        problem = "videos without labels help a new model alone"
        raise InputError("train", problem, "train a new model, or leave them out")
    examples = training_videos(
        workspace, training.track, training.unlabelled.get, training.annotator
    )
    # now, as the labels: somebody may rename one meanwhile
    actions = workspace.project.actions()
    names_of_background = workspace.project.background
    start = workspace.engine.model() if training.teach else None
    if training.teach and run_of(start) is None:
        raise InputError("train", "there is no run to teach", "train a new model")
    helpers = unlabelled_videos(workspace) if training.helpers else []
    for example in examples if helpers else []:
        if example.labels and example.is_clicked:
            problem = f"{example.video.name} has clicks"
            raise InputError("train", problem, "leave the videos without labels out")
    if start is not None:
        check_trust(start.run, start.run.config.text.encoder, workspace.options.trust_encoder)

    def train(job: Job) -> None:
        previous = workspace.engine.model()
        folder = new_folder(workspace.project.folder / "runs" / "model", workspace.project.runs())
        data = folder / "data"
        recipe = folder / "recipe.yaml"
        out = folder / folder.name
        with warnings_heard() as warnings:
            test_videos = write_set(
                workspace,
                examples,
                data,
                model=start,
                unlabelled=training.unlabelled.get,
                background=names_of_background,
                job=job,
                helpers=helpers,
            )

        classes = Vocabulary.from_mapping(data / "mapping.txt")
        background = [name for name in names_of_background if name in classes]
        command = ["fact-clip", "data", "init", str(data), "--out", str(recipe)]
        # with videos to name, a first model takes as long as the one that learns the names
        command += ["--minutes", f"{training.minutes / (1 + bool(helpers)):g}"]
        if background:
            command += ["--background", typed_names(background)]
        run_command(command, job, note="measuring how fast this computer trains")
        epochs = int(read_mapping(recipe, "a recipe").get("train", {}).get("epochs", 80))
        if start is None:
            marked = f"data.background={json.dumps(background)}"  # in place of a guess
            command = ["fact-clip", "train", str(recipe), "model.head=text", marked]
            # what is left of a video that is labelled in part may show any action
            command += [f"train.self_training={bool(helpers)}".lower(), "--out", str(out)]
        else:
            command = continue_command(start.run, data, out, epochs)
        first = "a first model learns, and names the videos without labels" if helpers else ""
        run_command(command, job, out, epochs, first)

        model = workspace.engine.open(out)
        after = measure(model, test_videos, workspace.engine.names(model, actions))
        earlier = None
        names = workspace.engine.names(previous, actions)
        has_seen = may_have_seen(previous, test_videos)
        if previous is not None and names != () and not has_seen:
            earlier = measure(previous, test_videos, names)
        figures = {"before": earlier, "after": after}
        names_now = [example.track_name(workspace) for example in examples]
        track = training.track
        if track not in names_now:
            track = [track, *filter(None, names_now)][-1]
        name = workspace.project.add_run(out, track, figures)
        if earlier is not None and earlier["right"] > after["right"]:
            outcome = "The model before was better and is kept."
        else:
            workspace.project.set("model", name)
            outcome = "It is used from now on."
        if start is not None and may_have_seen(model, test_videos):
            outcome += " The run before does not record what it has seen; it may know these videos."
        job.report(epochs, epochs, " ".join([figures_text(figures), outcome, *warnings]))

    workspace.begin_training(train)


def may_have_seen(model: Segmenter | None, videos: Iterable[LabelledVideo]) -> bool:
    """Return whether a model, or a run that it started from, may have seen one of some videos."""
    run = run_of(model)
    if run is None:  # no training
        return False
    record = run.seen_by_all()
    if record is None or not record.is_complete:
        return True
    return any(record.find(video.features) for video in videos)


def new_folder(path: Path, taken: Collection[str] = ()) -> Path:
    """Create PATH-1, or PATH with the next free number, so that no other process uses the same
    folder.

    Args:
        path: Folder without a number.
        taken: Names of other folders, even if they no longer exist.
    """
    for number in count(1):
        folder = path.with_name(f"{path.name}-{number}")
        if folder.name in taken:
            continue
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
    raise AssertionError


def run_command(
    command: Sequence[str],
    job: Job,
    out: Path | None = None,
    epochs: int = 0,
    note: str = "",
) -> None:
    """Run a command of ``fact-clip`` in a process of its own, and stop it if the job is cancelled.

    Args:
        command: Command line to run.
        job: Job that receives the progress.
        out: Run folder of a training, whose log has a line an epoch. If its parent is gone,
            the command is stopped.
        epochs: Duration of the training.
        note: Progress to report before the log has a line.

    Raises:
        InputError: The command fails, or the folder is gone. The last line is repeated.
    """
    arguments = [sys.executable, "-m", "fact_clip", *command[1:]]
    # However the page ends, its training ends with it.
    environment = {**os.environ, PARENT: str(os.getpid())}
    first_epochs = 0  # that were complete when the log was first seen
    first_seen = 0.0
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        subprocess.Popen(
            arguments, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as process,
    ):
        try:
            while process.poll() is None:
                done = 0
                if out is not None and not out.parent.is_dir():
                    process.terminate()
                    raise InputError(out.parent, "the folder of the training is gone")
                if out is not None and (out / "log.jsonl").is_file():
                    done = len((out / "log.jsonl").read_text(encoding="utf-8").splitlines())
                progress = f"epoch {done} of {epochs}" if done or not note else note
                if done and not first_epochs:
                    first_epochs = done
                    first_seen = time.monotonic()
                if done > first_epochs:  # the start-up, which is long, counts in no epoch
                    seconds_each = (time.monotonic() - first_seen) / (done - first_epochs)
                    progress += f", about {seconds_each * (epochs - done):.0f} s left"
                job.report(done, epochs, progress)
                time.sleep(POLL_SECONDS)
        except CancelledError:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_SECONDS * 6)
            process.kill()
            raise
        output.seek(0)
        lines = [line for line in output.read().splitlines() if line.strip()]
    if process.returncode:
        last = [f"exit code {process.returncode}", *lines][-1]
        raise InputError(" ".join(command[:2]), last.removeprefix("fact-clip: "))
    job.report(epochs, epochs, "done")


def measure(model: Segmenter, videos: Sequence[LabelledVideo], actions: Names | None) -> Json:
    """Measure a model on labelled videos.

    Args:
        model: Model.
        videos: Videos with features that it reads.
        actions: Candidates, which must not depend on the labels, or None for the model's classes.

    Returns:
        "right": percent of the labelled time, "segments": number of labelled segments, and "found":
        how many of them a predicted segment of their name overlaps by half of their union.
    """
    right = 0.0
    total = 0.0
    hits = 0
    n_segments = 0
    for video in videos:
        names = {*video.labels} - {UNLABELLED, BACKGROUND}
        background = {*model.vocabulary.background} - names
        prediction = model.segment(video.features, actions).to_frames()
        labels = [BACKGROUND if label in background else label for label in prediction]
        vocabulary = Vocabulary.from_names(dict.fromkeys([*video.labels, *labels]))
        truth = vocabulary.encode(video.labels)  # (T,)
        predicted = vocabulary.encode(labels)  # (T,)
        is_labelled = np.array([label != UNLABELLED for label in video.labels])
        seconds = np.diff(video.rows)
        right += float(seconds[is_labelled & (truth == predicted)].sum())
        total += float(seconds[is_labelled].sum())

        uncounted = [index for index, name in enumerate(vocabulary) if name not in names]
        masked = np.where(is_labelled, predicted, truth)  # unlabelled time parts segments
        hit, _, missed = count_segments([(truth, masked)], 50, uncounted).totals()
        hits += hit
        n_segments += hit + missed
    return {
        "right": round(100 * right / max(total, 1e-9), 1),
        "found": hits,
        "segments": n_segments,
    }


def figures_text(figures: Json) -> str:
    """Return the figures before and after training as a sentence."""
    after = figures["after"]
    previous = figures["before"]
    previous_text = "–"
    if previous is not None:
        previous_text = f"{previous['right']:.0f} %, {previous['found']} of {previous['segments']}"
    return (
        f"On labelled videos that it has not seen: {after['right']:.0f} % of the time right, "
        f"{after['found']} of {after['segments']} segments found; before: {previous_text}."
    )
