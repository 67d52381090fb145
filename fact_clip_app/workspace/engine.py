"""The models of the page, and their predictions."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fact_clip.core import Array, Clock, Floats, InputError, Json, Names, Progress, Segmentation
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.core.paths import file_name
from fact_clip.core.scores import Scores
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import check_whole
from fact_clip.decoding import ModelScores
from fact_clip.encoders import FrameEncoder, Runtime, frame_encoder
from fact_clip.inference.decoder import SegmentDecoder
from fact_clip.inference.scorer import FeatureSpec
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.sources import Source
from fact_clip.models.heads import is_open
from fact_clip.runs.run import Run
from fact_clip.video.extract import Settings, extract
from fact_clip.video.frames import SUFFIXES, frame_times, probe
from fact_clip_app.store.project import Action, Project, VideoEntry
from fact_clip_app.workspace.drafts import Draft, drafts_of, renamed
from fact_clip_app.workspace.jobs import Job
from fact_clip_app.workspace.uploads import Limits

ENCODER = "grid"
"""The encoder that is used if no model has one."""

MAX_SCORE_BYTES = 256 << 20
"""Size of the cache of scores. Scores that are dropped are computed again when they are needed."""

MAX_MODELS = 3
"""Trained models that stay loaded."""

MAX_MISSING = 2.0
"""Seconds by which features and their video may differ, as windows of pictures may end earlier."""

_RATE = "give the fps of these features in the .json beside them"


class ScoreKey(NamedTuple):
    """What the scores of a video depend on."""

    model: str  # name of a run, or "" for the model that the page was started with
    names: Names | None  # of the candidates; None: the classes of the model
    rivals: bool  # whether they hold the scores of rivals, which rejecting needs


@dataclass(eq=False)
class Work:
    """What is computed for a video."""

    job: Job | None = None  # encodes it
    run_name: str = ""  # of the model that the job encodes for
    prediction: Segmentation | None = None
    basis: tuple[ScoreKey, DecodeSettings] | None = None  # what the prediction depends on
    drafts: list[Draft] = field(default_factory=list)  # the prediction in frames of the video


@dataclass(frozen=True)
class _Reading:
    """How a model reads a video with the names and settings of the project."""

    model: Segmenter
    features: Path
    decoder: SegmentDecoder
    basis: tuple[ScoreKey, DecodeSettings]


@dataclass(frozen=True)
class Encoding:
    """How the features of a video are made."""

    encoder: FrameEncoder
    settings: Settings


class Engine:
    """The model that the page was started with (`base`), if any, and the models of the project."""

    def __init__(
        self,
        project: Project,
        base: Segmenter | None,
        load: Callable[[Path], Segmenter],
        limits: Limits,
    ) -> None:
        self.project = project
        self.base = base
        self.limits = limits
        self.open = lru_cache(MAX_MODELS)(load)
        self._scores: dict[
            str, tuple[ScoreKey, ModelScores]
        ] = {}  # by video, the last used one last
        self._work: dict[str, Work] = {}  # by video

    @property
    def run_name(self) -> str:
        """Return the name of the run in use, or "" for the model that the page was started with."""
        name = str(self.project.setting("model", ""))
        folder, _ = self.project.runs().get(name, (self.project.folder, {}))
        return name if (folder / "run.json").is_file() else ""  # somebody may have deleted it

    def model(self, name: str | None = None) -> Segmenter | None:
        """Return the model of a name, or the one in use."""
        name = self.run_name if name is None else name
        return self.open(self.project.runs()[name][0]) if name else self.base

    @property
    def settings(self) -> DecodeSettings:
        """Return the settings of decoding that were made on the page."""
        stored = self.project.setting("adjust", {})
        keys = DecodeSettings.model_fields.keys() & stored.keys()
        return DecodeSettings(**{key: stored[key] for key in keys})

    def rows(self, features: Path) -> Json:
        """Return the layout and the rate of a new feature file, as the model in use reads it."""
        needs = needs_of(self.model())
        return {"layout": needs.layout, "fps": needs.open(features)[1].fps}

    def open_features(
        self, video: VideoEntry, features: Path, model: Segmenter | None
    ) -> tuple[Array, Clock]:
        """Read a feature file of a video, (T, D), as it was added, and the times of its rows."""
        needs = needs_of(None)  # for features that the page extracted, which store their own rate
        return open_features(features, model, video.layout or needs.layout, video.fps or needs.fps)

    def names(
        self, model: Segmenter | None, actions: Iterable[Action] | None = None
    ) -> Names | None:
        """Return the actions that a model can take, None for its own classes, or () for none.

        Args:
            model: Model.
            actions: Actions, or None for the actions of the project.
        """
        if model is None:
            return ()
        vocabulary = model.vocabulary
        names = []
        for action in self.project.actions() if actions is None else actions:
            can_take = reads_names(model) or action.name in vocabulary
            is_background = action.background or action.name in vocabulary.background
            if can_take and not is_background:
                names.append(action.name)
        if not names and run_of(model) is not None:
            return None
        return tuple(names)

    @property
    def background(self) -> Names:
        """Return the names that the model in use has for background."""
        model = self.model()
        return () if model is None else model.vocabulary.background

    def unseen(self, names: Iterable[str]) -> set[str]:
        """Return the names that the model was not trained on. A training-free model has none."""
        model = self.model()
        if model is None or run_of(model) is None:
            return set()
        calibration = model.scorer.calibration
        trained = model.vocabulary.names if calibration is None else calibration.seen
        background = {*model.vocabulary.background, *self.project.background}
        return set(names) - set(trained) - background

    def work(self, video: str) -> Work:
        """Return what is computed for a video."""
        return self._work.setdefault(video, Work())  # one for all threads

    def frame_times(self, media: Path | None, features: Path | None) -> Floats:
        """Return the seconds at which the frames of a new video start, and the end, (N + 1,).

        Args:
            media: Video file, whose frames are used.
            features: Feature file, whose rows are the frames if no video file is given.

        Raises:
            InputError: The video is too long, or the features do not fit the model.
        """
        if media is not None:
            self._check_length(media, probe(media).seconds or 0.0)
            times = frame_times(media)
            self._check_length(media, times[-1])  # the file may state a wrong length
        if features is not None:
            rows, clock = open_features(features, self.model())
            starts = row_starts(features, clock, len(rows))
            self._check_length(features, starts[-1])
            if media is None:
                times = starts
            else:
                _check_beside(features, starts, times)
        return times

    def _check_length(self, path: Path, seconds: float) -> None:
        limit = self.limits.minutes
        if seconds > 60 * limit:
            problem = f"{seconds / 60:.1f} minutes, and this project takes {limit:g} at most"
            fix = f"cut it, or start the page once with --max-minutes {math.ceil(seconds / 60)}"
            raise InputError(path, problem, fix)

    def features(self, video: VideoEntry) -> Path | None:
        """Return the feature file of a video for the model in use, or None if there is none yet."""
        model = self.model()
        if video.features is not None or video.media is None or model is None:
            return video.features
        try:
            return _first_file(self._folder(video, encoding(model, video.media)))
        except InputError:  # an unknown encoder, which the job of the video reports
            return None

    def _folder(self, video: VideoEntry, encoding: Encoding) -> Path:
        name = file_name(f"{encoding.encoder.name}, {encoding.settings.fps:g}")
        return self.project.folder / "features" / name / video.id

    def encode(self, video: VideoEntry, model: Segmenter | None, job: Job) -> Path:
        """Return the feature file of a video. If there is none, extract it into the project.

        Args:
            video: Video.
            model: Model that reads the features. None stands for features of `ENCODER`.
            job: Job that receives the progress.
        """
        video.check_file()
        if video.features is not None:
            return video.features
        assert video.media is not None
        job.note = video.name
        plan = encoding(model, video.media)
        folder = self._folder(video, plan)
        stored = _first_file(folder)
        if stored is not None:
            return stored
        report = self._reporter(video.media, plan.settings.fps, job)
        return extract(video.media, plan.encoder, folder, plan.settings, report)

    def _reporter(self, path: Path, fps: float, job: Job) -> Progress:
        """Return what reports the encoding of a video, and stops it if it is too long."""

        def report(done: int, total: int, _: str) -> None:
            self._check_length(path, (done - 1) / fps)
            job.report(done, total, job.note)

        report(0, 0, "")
        return report

    def segment(self, path: Path, names: Sequence[str] | None, job: Job) -> Segmentation:
        """Segment a file by the model in use, which stores nothing.

        Args:
            path: Video or feature file.
            names: Candidates. None stands for the names of the model.
            job: Job that receives the progress.
        """
        model = self.model()
        if model is None:
            raise InputError("model", "there is none")
        report = None
        if path.suffix.lower() in SUFFIXES:
            self.frame_times(path, None)  # checks its length
            report = self._reporter(path, model.sources.extraction().fps, job)
        else:
            self.frame_times(None, path)
        return replace(model.segment(path, names, progress=report), media=None)

    def drafts(self, video: VideoEntry) -> list[Draft]:
        """Return what the model in use predicts with the names and settings of the project.

        Predictions are cached. This must not run in two threads at once.

        Args:
            video: Video.

        Returns:
            The segments in frames of the video. There are none without a model, names or features.

        Raises:
            InputError: The file of the video has changed.
        """
        reading = self._reading(video)
        work = self.work(video.id)
        if reading is None:
            work.prediction = None
            return []
        if work.prediction is None or work.basis != reading.basis:
            scores = self._video_scores(video, reading)
            work.prediction = reading.decoder.segmentation(scores)
            work.basis = reading.basis
            starts = rows_of(video, reading.features, scores.clock, scores.n_frames)
            work.drafts = drafts_of(work.prediction, starts, video.times)
        # What the project has as a class is what the project says it is.
        background = {*self.background} - {action.name for action in self.project.actions()}
        return renamed(work.drafts, background, self.project.background[0])

    def scores(self, video: VideoEntry) -> tuple[Scores, Floats] | None:
        """Return the scores of the names in each row of features, and when rows start, (T + 1,).

        There are none without a model, names or features. This must not run in two threads at once.

        Raises:
            InputError: The file of the video has changed.
        """
        reading = self._reading(video)
        if reading is None:
            return None
        scores = self._video_scores(video, reading)
        starts = rows_of(video, reading.features, scores.clock, scores.n_frames)
        return reading.decoder.frame_scores(scores), starts

    def feature_rows(self, video: VideoEntry) -> tuple[Array, Floats] | None:
        """Return the features of a video, (T, D), and when rows start, (T + 1,), if there are any.

        Raises:
            InputError: The file of the video has changed.
        """
        video.check_file()
        features = self.features(video)
        if features is None:
            return None
        rows, clock = self.open_features(video, features, self.model())
        return rows, rows_of(video, features, clock, len(rows))

    def _reading(self, video: VideoEntry) -> _Reading | None:
        """Return how the model in use reads a video, if there are a model, names and features."""
        video.check_file()
        model = self.model()
        names = self.names(model)
        features = self.features(video)
        if model is None or names == () or features is None:
            return None
        # A model that is selected later may not have a setting that was made before.
        values = {key: value for key, value in self.settings if key in model.scorer.adjustable}
        settings = DecodeSettings(**values)
        key = ScoreKey(self.run_name, names, rivals=settings.reject is not None)
        decoder = SegmentDecoder(model.scorer, model.choose(names, settings), settings)
        return _Reading(model, features, decoder, (key, settings))

    def _video_scores(self, video: VideoEntry, reading: _Reading) -> ModelScores:
        """Return the scores of a video. Those of the latest videos are cached."""
        key, _ = reading.basis
        cached_key, scores = self._scores.pop(video.id, (None, None))
        if scores is None or cached_key not in (key, key._replace(rivals=True)):
            cached_key = key
            rows, clock = self.open_features(video, reading.features, reading.model)
            clock = replace(clock, media=None)  # it could be the path of any file
            scores = reading.decoder.score(Source(rows, reading.features, clock))
        self._scores[video.id] = (cached_key, scores)
        total = sum(cached.nbytes for _, cached in self._scores.values())
        for oldest in list(self._scores)[:-1]:
            if total > MAX_SCORE_BYTES:
                total -= self._scores.pop(oldest)[1].nbytes
        return scores


def encoding(model: Segmenter | None, media: Path) -> Encoding:
    """Return how a model makes the features of a video. Without a model `ENCODER` makes them."""
    if model is None:
        return Encoding(frame_encoder(ENCODER, Runtime("cpu")), Settings())
    return Encoding(model.sources.encoder_for(media), model.sources.extraction())


def typed_names(names: Iterable[str]) -> str:
    """Return names as an option of the command line takes them."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(names)  # quotes names with a comma
    return line.getvalue()


def _first_file(folder: Path) -> Path | None:
    return min(folder.glob("[!.]*.npy"), default=None)


def run_of(model: Segmenter | None) -> Run | None:
    """Return the run of a trained model, or None."""
    return None if model is None else model.scorer.run


def reads_names(model: Segmenter) -> bool:
    """Return whether a model accepts any names: its head reads text, or it needs no training."""
    run = run_of(model)
    return run is None or is_open(run.config.model.head)


def needs_of(model: Segmenter | None) -> FeatureSpec:
    """Return the features that a model reads. Without a model they are any, with time first."""
    return FeatureSpec("") if model is None else model.scorer.needs


def open_features(
    features: Path,
    model: Segmenter | None,
    layout: Layout | None = None,
    fps: float | None = None,
) -> tuple[Array, Clock]:
    """Read a feature file as `FeatureSpec.open` does, and check that it fits the model, if any."""
    rows, clock = needs_of(model).open(features, layout, fps)
    if model is not None:
        rows = model.scorer.checked(rows, features)
    return rows, clock


def _check_beside(features: Path, starts: Floats, times: Floats) -> None:
    """Raise an InputError if features cannot be those of a video whose frames have these times."""
    check_whole(features)
    slack = max(MAX_MISSING, 2 * float(starts[-1] - starts[-2]))
    if abs(starts[-1] - times[-1]) > slack:
        raise InputError(features, f"{starts[-1]:.1f} s for a video of {times[-1]:.1f} s", _RATE)


def rows_of(video: VideoEntry, features: Path, clock: Clock, n_rows: int) -> Floats:
    """Return the seconds at which rows of features of a video start, and the end, (T + 1,)."""
    if video.media is not None:
        return row_starts(features, clock, n_rows)
    if video.n_frames != n_rows:  # the rows are the frames
        raise InputError(features, f"{n_rows} rows for {video.n_frames} frames", "add it again")
    return video.times


def row_starts(features: Path, clock: Clock, n_rows: int) -> Floats:
    """Return the seconds at which rows of a file start, and the end, (T + 1,)."""
    if clock.times is not None:
        return clock.times
    if clock.fps is None:
        raise InputError(features, "no rate, so its times are not known", _RATE)
    return np.arange(n_rows + 1) / clock.fps
