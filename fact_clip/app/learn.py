"""From the labels of a project to a model: its training set, the training, and figures before and after."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.app.edits import BACKGROUND, row_labels
from fact_clip.app.engine import row_starts
from fact_clip.app.page import Page
from fact_clip.app.project import VideoEntry
from fact_clip.app.training_set import TrainingSet, adapt_command, facts_beside, run_command, train
from fact_clip.app.work import Job
from fact_clip.core import InputError, Segmentation
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import whole_file
from fact_clip.datasets.features import load_features, read_clock
from fact_clip.datasets.layout import UNLABELLED
from fact_clip.encoders import FrameEncoder, Runtime, frame_encoder
from fact_clip.inference.segmenter import Segmenter
from fact_clip.run import Run
from fact_clip.video.extract import Settings

ENCODER = "grid"
"""Makes the features where no model says otherwise."""

EVERY = 4
"""Of this many labelled videos, one is held out to measure on."""

Held = tuple[Path, NDArray[np.float64], list[str]]  # features, seconds of their rows (T + 1,), labels (T,)


def labelled(page: Page, track: str) -> list[VideoEntry]:
    """Return the videos with labels on a track; an InputError where these are fewer than two."""
    counts, videos = page.project.count(), list[VideoEntry]()
    for entry in page.project.videos():
        video = page.project.video(entry.id) if counts.get(entry.id) else None
        tracks = {} if video is None else {name: key for key, name in page.project.tracks(entry.id).items()}
        if video is not None and track in tracks and page.project.labels(video.id)[tracks[track]]:
            videos.append(video)
    if len(videos) < 2:
        raise InputError("train", f"{len(videos)} labelled videos", "label two, so that one can be measured on")
    return videos


def learn(page: Page, track: str, minutes: float, start: str | None, job: Job) -> None:
    """Train a model on the labels of a track, and measure it on labelled videos that it has not seen.

    The better one of this model and the one in use is used from then on.

    Args:
        page: its project has the labels, and gets the run.
        track: name of the track.
        minutes: what the training may take.
        start: the run to begin with ("" is that of the page), which learns names that it has not had; None: a new one.
        job: what is reported to.
    """
    videos, before = labelled(page, track), page.engine.model()
    run = None if start is None else page.options.run if start == "" else page.project.runs()[start][0]
    model = None if run is None else page.engine.model(start)
    folder = _new_folder(page.project.folder / "runs")
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


def _new_folder(parent: Path) -> Path:
    for number in count(1):
        try:
            (parent / f"model-{number}").mkdir(parents=True)
        except FileExistsError:
            continue
        return parent / f"model-{number}"
    raise AssertionError


def _write_set(
    page: Page, videos: Sequence[VideoEntry], track: str, root: Path, model: Segmenter | None, job: Job
) -> list[Held]:
    """Write the labelled videos in the common layout, every fourth of them as a test video; return these."""
    training_set = TrainingSet(root, None if model is None else model.run)
    names, held = dict[str, bool](), list[Held]()
    encoder, extraction = _encoder(page, videos, model)
    for number, video in enumerate(videos):
        path = page.engine.features_by(video, encoder, extraction) or page.engine.encode(
            video, job, encoder, extraction
        )
        if model is None:
            features, clock = load_features(path, "TD"), read_clock(path, layout="TD")
        else:
            features, clock = model.open(path)
        rows = row_starts(clock, len(features))
        key = next(key for key, name in page.project.tracks(video.id).items() if name == track)
        other = BACKGROUND if model is None else next(iter(model.vocabulary.background), BACKGROUND)
        labels = row_labels(
            page.project.labels(video.id)[key], video.times, rows, other if video.complete else UNLABELLED
        )
        background = [other] if model is None and other in labels else []
        name = training_set.add(video.name, features, labels, facts_beside(path, clock), background)
        names[name] = number % EVERY == 1
        if names[name]:
            held.append((path, rows, labels))
    for part, is_held in (("train", False), ("test", True)):
        with whole_file(root / "splits" / f"{part}.split1.bundle") as unfinished:
            unfinished.write_text("".join(f"{name}\n" for name in names if names[name] == is_held), encoding="utf-8")
    return held


def _encoder(page: Page, videos: Sequence[VideoEntry], model: Segmenter | None) -> tuple[FrameEncoder, Settings]:
    """The encoder and rate of a model, or those of a new one."""
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
        if model.scorer.run is None or model.run.config.model.is_open:
            actions = [name for name in dict.fromkeys([*names, *_trained(model)]) if name not in left_out]
        candidates = model.choose(actions)
        prediction = model.decode(model.score(features, path, candidates, clock), candidates, DecodeSettings())
        predicted, truth = np.array(prediction.to_frames(), dtype=object), np.array(labels, dtype=object)
        labelled_rows, lengths = truth != UNLABELLED, np.diff(rows)
        right += float(lengths[labelled_rows & (truth == predicted)].sum())
        time += float(lengths[labelled_rows].sum())
        for segment in Segmentation.from_frames(labels):
            if segment.label in names:
                total += 1
                hits += any(
                    part.label == segment.label
                    and 2 * (min(part.stop, segment.stop) - max(part.start, segment.start))
                    >= max(part.stop, segment.stop) - min(part.start, segment.start)
                    for part in prediction
                )
    return {"right": round(100 * right / max(time, 1e-9), 1), "found": hits, "segments": total}


def _trained(model: Segmenter) -> list[str]:
    return [] if model.scorer.run is None else list(model.vocabulary)


def in_words(figures: dict[str, Any]) -> str:
    """Return figures as a person reads them."""
    before, after = figures["before"], figures["after"]
    earlier = "–" if before is None else f"{before['right']:.0f} %, {before['found']} of {before['segments']}"
    text = f"On labelled videos that it has not seen: {after['right']:.0f} % of the time right"
    return f"{text}, {after['found']} of {after['segments']} segments found; before: {earlier}."
