"""Where fact-clip segment gets its segments: a run folder or an image-text model, from features or from videos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fact_clip.cli.console import Progress, progress, progress_each
from fact_clip.core import InputError

if TYPE_CHECKING:
    from fact_clip.core import Segmentation, Vocabulary
    from fact_clip.segmenter import Segmenter
    from fact_clip.video.encoders import FrameEncoder
    from fact_clip.video.extract import Settings

Extraction = tuple[str | None, float | None, bool]
"""Encoder, pictures a second, and whether to keep going, as given on the command line."""

Rules = tuple[str, float | None, float, float]
"""Prompts, background threshold, smoothing and minimal duration."""


class SegmentSource(Protocol):
    """What turns an input into segments."""

    vocabulary: Vocabulary

    @property
    def fps(self) -> float | None:
        """Rows a second, None where nobody knows."""

    def segment(
        self, source: Path, actions: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Segmentation:
        """Cut a feature file or a video."""


class _Trained:
    """A run folder, which also takes videos where it knows or is told by which encoder its features were made."""

    def __init__(self, segmenter: Segmenter, encoder: FrameEncoder | None, settings: Settings) -> None:
        self._segmenter, self._encoder, self._settings = segmenter, encoder, settings
        known = segmenter.run.encoder
        if encoder is not None and known not in (None, encoder.name):
            raise InputError("--encoder", encoder.name, f"{known}, as {segmenter.run.path} was trained with")
        self.vocabulary: Vocabulary = segmenter.vocabulary
        self.fps: float | None = segmenter.fps

    def segment(
        self, source: Path, actions: Sequence[str] | None = None, progress: Progress | None = None
    ) -> Segmentation:
        from fact_clip.data.annotations import Clock
        from fact_clip.data.features import load_features
        from fact_clip.video.decode import SUFFIXES
        from fact_clip.video.encoders import frame_encoder
        from fact_clip.video.extract import extracted

        if source.suffix.lower() not in SUFFIXES:
            return self._segmenter.segment(source, actions=actions)
        known = self._segmenter.run.encoder
        if self._encoder is None:
            if known is None or "@" in known:  # a name with @ tells what a local checkpoint holds, not where it lies
                wanted = f"the encoder of the features that the run was trained on{f', {known}' if known else ''}"
                raise InputError(source, "a video", wanted, "name it with --encoder, or give the feature file")
            self._encoder = frame_encoder(known)
        with extracted(source, self._encoder, self._settings, progress) as features:
            try:
                found = self._segmenter.segment(load_features(features, "TD"), actions=actions)
            except InputError as error:
                where = error.where if error.where != "features" else f"{source} by {self._encoder.name}"
                raise InputError(where, error.found, error.expected, error.todo) from None
            return Clock.of_features(features, layout="TD").put_on(found)


def open_run(run: Path | None, extraction: Extraction, window: float | None = None) -> SegmentSource:
    """The model of a run folder; an InputError where there is none, or where its rate is not the one asked for.

    Args:
        run: its folder.
        extraction: how features of videos are made.
        window: seconds that the model reads in one pass; None: as the run says.
    """
    from fact_clip.segmenter import load
    from fact_clip.video.encoders import frame_encoder
    from fact_clip.video.extract import Settings

    if run is None:
        raise InputError("segment", "neither or both of --run and --training-free", "one of them")
    segmenter, (encoder, fps, keep_going) = load(run), extraction
    if fps is not None and segmenter.fps is not None and fps != segmenter.fps:
        raise InputError("--fps", f"{fps:g}", f"{segmenter.fps:g}, as {run} was trained with")
    settings = Settings(fps=fps or segmenter.fps or Settings().fps, keep_going=keep_going)
    if window is not None:
        rate = fps or segmenter.fps or (settings.fps if encoder else None)
        if rate is None:
            raise InputError("--window", f"seconds, and no frame rate in {run}", "frames a second", "set --fps")
        if not 0 < window < math.inf:
            raise InputError("--window", f"{window:g}", "seconds, more than 0")
        segmenter.window = max(round(window * rate), 1)
    return _Trained(segmenter, None if encoder is None else frame_encoder(encoder), settings)


def open_training_free(
    actions: list[str] | None, extraction: Extraction, rules: Rules, window: float | None = None
) -> SegmentSource:
    """An image-text model that knows actions by their names; an InputError where encoder or names are missing."""
    from fact_clip.training_free import TrainingFree, TrainingFreeSettings
    from fact_clip.video.extract import Settings

    (encoder, fps, keep_going), (prompts, threshold, smoothing, shortest) = extraction, rules
    if encoder is None or not actions:
        missing = "--encoder" if encoder is None else "--actions"
        example = '--encoder clip:ViT-B-32/openai --actions "pour milk, stir"'
        raise InputError("--training-free", f"no {missing}", example)
    if window is not None:
        raise InputError("--window", "with --training-free", "a run", "leave it out: pictures are compared one by one")
    how = TrainingFreeSettings(prompts, threshold=threshold, smoothing=smoothing, shortest=shortest)
    settings = Settings(keep_going=keep_going) if fps is None else Settings(fps=fps, keep_going=keep_going)
    return TrainingFree(encoder, actions, how, settings)


def segment_all(
    segmenter: SegmentSource, inputs: Sequence[Path], actions: list[str] | None, media: str | None = None
) -> dict[Path, Segmentation]:
    """Segment every input, with a bar over all and one within a video.

    Args:
        segmenter: what does it.
        inputs: feature files and videos.
        actions: candidates; None: the segmenter's own.
        media: what to call each video in files, with its name at {name}; None: its path.
    """
    found: dict[Path, Segmentation] = {}
    with progress_each("segmenting") as (overall, each):
        for done, path in enumerate(inputs):
            if overall is not None:
                overall(done, len(inputs), path.stem)
            found[path] = segmenter.segment(path, actions=actions, progress=each)
            if media is not None:
                name = Path(found[path].media or path).name
                found[path] = replace(found[path], media=media.replace("{name}", name))
    return found


def check_overlay(inputs: Sequence[Path], overlay: Path | None) -> None:
    """Refuse an overlay that could not be written before anything is segmented."""

    if overlay is None:
        return
    from fact_clip.video.decode import SUFFIXES
    from fact_clip.video.overlay import check_suffix

    check_suffix(overlay)
    if len(inputs) != 1 or inputs[0].suffix.lower() not in SUFFIXES:
        found = f"{len(inputs)} inputs" if len(inputs) != 1 else f"{inputs[0]}"
        raise InputError("--overlay", found, "one video")
    if overlay.resolve() == inputs[0].resolve():
        raise InputError("--overlay", "the input itself", "another file")


def save_overlay(found: Mapping[Path, Segmentation], segmenter: SegmentSource, overlay: Path, keep_going: bool) -> None:
    """Burn the segments of the one video into it, in the colours of the timeline."""
    from fact_clip.report.colours import palette
    from fact_clip.video.overlay import overlay as write

    for video, segmentation in found.items():
        actions = [
            name for name in dict.fromkeys(segmentation.transcript) if name not in segmenter.vocabulary.background
        ]
        colours = dict(zip(actions, palette(len(actions)), strict=True))
        with progress("overlay") as report:
            write(video, segmentation, overlay, colours, keep_going=keep_going, progress=report)
