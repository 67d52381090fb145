"""From the labels of a project to a model: its training set, the training, and figures before and after."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.app.edits import BACKGROUND, Draft, row_labels
from fact_clip.app.engine import Engine, reads_names, row_starts
from fact_clip.app.page import Page
from fact_clip.app.project import Label, VideoEntry
from fact_clip.app.training_set import TrainingSet, adapt_command, facts_beside, new_folder, run_command, train
from fact_clip.app.work import Job
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import whole_file
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import UNLABELLED
from fact_clip.encoders import FrameEncoder, Runtime, frame_encoder
from fact_clip.inference.candidates import NONE_OF_THESE
from fact_clip.inference.segmenter import Segmenter
from fact_clip.metrics.segmental import count_segments
from fact_clip.run import Run
from fact_clip.video.extract import Settings

logger = logging.getLogger(__name__)

ENCODER = "grid"  # Makes the features where no model says otherwise
FIRST_VIDEOS = 50  # Training videos of a run that a model taught from it sees again, at most
EVERY = 4  # Of this many labelled videos, one is held out to measure on

Held = tuple[Path, NDArray[np.float64], list[str]]  # features, seconds of their rows (T + 1,), labels (T,)


def labelled(page: Page, track: str) -> list[VideoEntry]:
    """Return the videos with labels on a track; an InputError where these are fewer than two."""
    videos = list[VideoEntry]()
    for video in page.project.full_videos():
        names, labels = page.project.tracks(video.id), page.project.labels(video.id)
        if any(labels[key] for key, name in names.items() if name == track):
            videos.append(video)
    if len(videos) < 2:
        raise InputError("train", f"{len(videos)} labelled videos", "label two, so that one can be measured on")
    return videos


def learn(page: Page, track: str, minutes: float, start: str | None, job: Job) -> None:
    """Train a model on the labels of a track, and measure it on labelled videos that it has not seen.

    The better one of this model and the one in use is used from then on. `start` is the run to begin with ("": that of
    the page), which learns names that it has not had; None: a new one.
    """
    videos, before = labelled(page, track), page.engine.model()
    run = None if start is None else page.options.run if start == "" else page.project.runs()[start][0]
    model = None if run is None else page.engine.model(start)
    folder = new_folder(page.project.folder / "runs" / "model")
    held = _write_set(page, videos, track, folder / "data", model, job)
    recipe = folder / "recipe.yaml"
    words = ["fact-clip", "data", "init", str(folder / "data"), "--out", str(recipe), "--minutes", f"{minutes:g}"]
    run_command(words, lambda: job.report(0, 0, "measuring how fast this computer trains"))
    epochs = int(read_mapping(recipe, "a recipe").get("train", {}).get("epochs", 80))
    out = folder / folder.name
    if run is None:
        command = ["fact-clip", "train", str(recipe), "model.head=text", "--out", str(out)]
    else:
        command = adapt_command(run, Run.read(run), folder / "data", out, epochs)
    train(command, out, epochs, job)
    after = page.engine.open(out)
    now, earlier = measure(after, held), None if before is None else measure(before, held)
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
    page: Page, videos: Sequence[VideoEntry], track: str, root: Path, model: Segmenter | None, job: Job
) -> list[Held]:
    """Write the labelled videos in the common layout, every fourth of them as a test video; return these."""
    training_set = TrainingSet(root, None if model is None else model.run)
    names, held = dict[str, bool](), list[Held]()
    encoder, extraction = _encoder(page, videos, model)
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
        with whole_file(root / "splits" / f"{part_name}.split1.bundle") as unfinished:
            unfinished.write_text("".join(f"{name}\n" for name in names if names[name] == is_held), encoding="utf-8")
    return held


def _add_first_videos(training_set: TrainingSet, run: Run) -> list[str]:
    """Add what a run was trained on, where that is still there, so that it forgets nothing; some of very many."""
    try:
        dataset = Dataset.open(run.config.data)
    except InputError:
        logger.warning("the training videos of %s are not there; what it learns now may replace the old", run.path)
        return []
    facts, names, added = {} if dataset.fps is None else {"fps": dataset.fps}, [*dataset.vocabulary, UNLABELLED], []
    for name in dataset.train[:FIRST_VIDEOS]:
        labels = [names[index] for index in dataset.labels(name).tolist()]  # -1: no label
        added.append(training_set.add(name, dataset.features(name), labels, facts))
    return added


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
    name = training_set.add(video.name, array, labels, facts_beside(features, clock), background)
    return name, (features, rows, labels)


def _encoder(page: Page, videos: Sequence[VideoEntry], model: Segmenter | None) -> tuple[FrameEncoder, Settings]:
    model = page.engine.model() if model is None else model
    media = next((video.media for video in videos if video.media is not None), None)
    if model is None or media is None:
        return frame_encoder(ENCODER, Runtime("cpu")), Settings()
    return model.encoder_for(media), model.extraction


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
        prediction = model.decode(model.score(features, path, candidates, clock), candidates, DecodeSettings())
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
    earlier = "–" if before is None else f"{before['right']:.0f} %, {before['found']} of {before['segments']}"
    text = f"On labelled videos that it has not seen: {after['right']:.0f} % of the time right"
    return f"{text}, {after['found']} of {after['segments']} segments found; before: {earlier}."
