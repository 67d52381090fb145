"""The models behind the page, and the scores of videos that make a change of names or settings take a moment."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from fact_clip.app.sessions import Limits, Session, Video
from fact_clip.app.work import Job
from fact_clip.core import InputError, Segmentation
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip.decoding import CandidateSet, Scores
from fact_clip.inference.segmenter import Segmenter
from fact_clip.video.decode import probe
from fact_clip.video.extract import extract

KEPT_BYTES = 256 << 20
"""Scores of videos that are kept, over all sessions; what is dropped is computed again when it is needed."""

KEPT_MODELS = 3
"""Adapted models that are kept loaded."""

UNKNOWN_RATE = 30.0
"""Rows a second that are assumed where nobody says, to limit the length of a feature file."""


class Engine:
    """One model, or one a session where it was adapted.

    Args:
        base: what the page was started with.
        load: opens the run folder of an adapted model.
        limits: what a video may take.
    """

    def __init__(self, base: Segmenter, load: Callable[[Path], Segmenter], limits: Limits) -> None:
        self.base, self._load, self._limits = base, load, limits
        self._models: OrderedDict[Path, Segmenter] = OrderedDict()
        self._scores: OrderedDict[str, tuple[tuple[object, ...], Scores]] = (
            OrderedDict()
        )  # video -> model, names; scores
        self._lock = threading.Lock()

    def model(self, session: Session, name: str | None = None) -> Segmenter:
        """Return the model of that name, of a session, or the one that it uses."""
        name = session.model if name is None else name
        if name == "":
            return self.base
        path = session.adapted[name]
        with self._lock:
            if path not in self._models:
                self._models[path] = self._load(path)
            self._models.move_to_end(path)
            while len(self._models) > KEPT_MODELS:
                self._models.popitem(last=False)
            return self._models[path]

    @property
    def reads_text(self) -> bool:
        """Whether any name can be a candidate."""
        return self.base.scorer.run is None or self.base.run.config.model.is_open

    def names(self, session: Session) -> tuple[str, ...]:
        """Return the candidates of a session, without background."""
        model = self.model(session)
        if session.actions is not None or model.scorer.run is None:
            return session.actions or ()
        return tuple(name for name in model.vocabulary if name not in model.vocabulary.background)

    def unseen(self, session: Session, names: Iterable[str]) -> set[str]:
        """Return those of some names that the model was not trained on; none where it was not trained at all."""
        model = self.model(session)
        if model.scorer.run is None:
            return set()
        calibration = model.scorer.calibration
        return set(names) - set(model.vocabulary.names if calibration is None else calibration.seen)

    def choose(self, session: Session, names: tuple[str, ...] | None) -> None:
        """Take other candidates; an InputError for names that the model cannot take, which changes nothing."""
        if names is not None:
            self.model(session).choose(names)
        session.actions = names

    def check_video(self, session: Session, video: Video) -> None:
        """Refuse what cannot be segmented, before it waits: a video that is too long, features that do not fit."""
        model = self.model(session)
        if video.media is not None:
            seconds = probe(video.media.path).seconds or 0.0
            self._check_length(video.media.path, seconds, f"{seconds / 60:.1f} minutes")
            if video.features is None:
                model.encoder_for(video.media.path)
        if video.features is not None:
            features, clock = model.open(video.features)
            seconds = len(features) / (clock.fps or model.scorer.fps or UNKNOWN_RATE)
            self._check_length(video.features, seconds, f"{len(features)} rows, {seconds / 60:.1f} minutes")
            self.predict(session, video)

    def _check_length(self, path: Path, seconds: float, problem: str) -> None:
        if seconds > 60 * self._limits.minutes:
            raise InputError(path, problem, f"cut it to {self._limits.minutes:g} minutes at most")

    def encode(self, session: Session, video: Video, job: Job) -> None:
        """Make the features of a video, beside it in the folder of the session."""
        assert video.media is not None
        model, path = self.model(session), video.media.path
        rate = model.extraction.fps

        def report(done: int, total: int, _: str) -> None:
            self._check_length(path, (done - 1) / rate, "a longer video than it says")
            job.report(done, total)

        report(0, 0, "")
        video.features = extract(path, model.encoder_for(path), session.folder / "features", model.extraction, report)

    def predict(self, session: Session, video: Video) -> Segmentation:
        """Return the prediction for a video with the names and settings of its session; only changes are computed."""
        basis = name, actions, chosen = session.model, session.actions, session.settings
        if video.prediction is None or video.basis != basis:
            model = self.model(session, name)
            if actions is None and model.scorer.run is None:
                raise InputError("actions", "no names", "type some, one a line")
            # A model that was chosen later may not know a setting that was made before.
            settings = DecodeSettings(**{key: value for key, value in chosen if key in model.scorer.adjustable})
            candidates = model.choose(actions, settings)
            scores = self._score(video, model, candidates, (name, actions), rivals=settings.reject is not None)
            video.prediction, video.basis = model.decode(scores, candidates, settings), basis
        return video.prediction

    def _score(
        self, video: Video, model: Segmenter, candidates: CandidateSet, names: tuple[object, ...], *, rivals: bool
    ) -> Scores:
        """The scores of a video for a model and some candidates, named by `names`; the latest ones alone are kept."""
        with self._lock:
            key, scores = self._scores.get(video.id, ((), None))
            if scores is not None and key in ((*names, rivals), (*names, True)):
                self._scores.move_to_end(video.id)
                return scores
        assert video.features is not None
        features, clock = model.open(video.features)
        media, rate = (None, None) if video.media is None else (video.media.name, probe(video.media.path).fps)
        video.clock = replace(clock, n_frames=len(features), media=media, video_fps=clock.video_fps or rate)
        scores = model.score(features, video.features, candidates, video.clock, rivals=rivals)
        with self._lock:
            self._scores[video.id] = ((*names, rivals), scores)
            self._scores.move_to_end(video.id)
            total = sum(scores.nbytes for _, scores in self._scores.values())
            while total > KEPT_BYTES and len(self._scores) > 1:
                total -= self._scores.popitem(last=False)[1][1].nbytes
        return scores

    def forget(self, videos: Iterable[Video]) -> None:
        """Drop what is kept of some videos."""
        with self._lock:
            for video in videos:
                self._scores.pop(video.id, None)
