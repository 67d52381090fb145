"""The models behind the page, and what they keep of videos so that a change of names or settings takes a moment."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from fact_clip.app.sessions import Limits, Session, Video
from fact_clip.app.work import Job
from fact_clip.core import InputError, Segmentation
from fact_clip.decoding import DecodeSettings, Scores
from fact_clip.inference.segmenter import Segmenter
from fact_clip.inference.sources import check_features
from fact_clip.video.decode import probe
from fact_clip.video.extract import extract

KEPT_BYTES = 256 << 20
"""Scores of videos that are kept, over all sessions; what is dropped is computed again when it is asked for."""

UNKNOWN_RATE = 30.0
"""Rows a second that are assumed where nobody says, to limit the length of a feature file."""

KEPT_MODELS = 3
"""Adapted models that are kept loaded."""


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
        # video -> model and candidates, and what is kept for them
        self._kept: OrderedDict[str, tuple[tuple[object, ...], Scores]] = OrderedDict()
        self._lock = threading.Lock()

    def model(self, session: Session, name: str | None = None) -> Segmenter:
        """The model of that name, of a session, or the one that it uses."""
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
        """The candidates of a session, without background."""
        if session.actions is not None:
            return session.actions
        model = self.model(session)
        if model.scorer.run is None:
            return ()
        vocabulary = model.vocabulary
        return tuple(name for name in vocabulary if name not in vocabulary.background)

    def unseen(self, session: Session, names: Iterable[str]) -> set[str]:
        """Those of some names that the model was not trained on; none where it was not trained at all."""
        model = self.model(session)
        if model.scorer.run is None:
            return set()
        calibration = model.scorer.calibration
        return set(names) - set(model.vocabulary.names if calibration is None else calibration.seen)

    def choose(self, session: Session, names: tuple[str, ...] | None) -> None:
        """Take other candidates; an InputError for names that the model cannot take, which changes nothing."""
        model = self.model(session)
        if names is not None:
            model.choose(names)
        session.actions = names

    def check_video(self, session: Session, video: Video) -> None:
        """Refuse what cannot be segmented, before it waits: a video that is too long, features that do not fit."""
        if video.media is not None:
            info = probe(video.media.path)
            if info.seconds is not None and info.seconds > 60 * self._limits.minutes:
                found = f"{info.seconds / 60:.1f} minutes"
                raise InputError(video.media.name, f"{found}; expected at most {self._limits.minutes:g}", "cut it")
        if video.features is None and video.media is not None:
            self.model(session).encoder_for(video.media.path)
        if video.features is not None:
            model = self.model(session)
            features, clock = model.open(video.features)
            rate = clock.fps or model.scorer.fps or UNKNOWN_RATE
            if len(features) > 60 * self._limits.minutes * rate:
                found = f"{len(features)} rows, {len(features) / rate / 60:.1f} minutes"
                raise InputError(f"{video.name}.npy", f"{found}; expected at most {self._limits.minutes:g}", "cut it")
            self.predict(session, video)

    def encode(self, session: Session, video: Video, job: Job) -> None:
        """Make the features of a video, beside it in the folder of the session."""
        assert video.media is not None
        model = self.model(session)
        most = 60 * self._limits.minutes * model.extraction.fps

        def report(done: int, total: int, name: str) -> None:
            if done > most + 1:
                raise InputError(name, f"a longer video; expected at most {self._limits.minutes:g} minutes", "cut it")
            job.report(done, total)

        report(0, 0, video.name)
        encoder = model.encoder_for(video.media.path)
        video.features = extract(video.media.path, encoder, session.folder / "features", model.extraction, report)

    def predict(self, session: Session, video: Video) -> Segmentation:
        """The prediction for a video with the names and settings of its session; only what has changed is computed."""
        assert video.features is not None
        wanted = model, actions, settings = session.model, session.actions, session.adjust
        if video.prediction is None or video.made_for != wanted:
            video.prediction = self._segmented(session, video, model, actions, settings)
            video.made_for = wanted
        return video.prediction

    def _segmented(
        self, session: Session, video: Video, name: str, actions: tuple[str, ...] | None, settings: DecodeSettings
    ) -> Segmentation:
        model = self.model(session, name)
        if actions is None and model.scorer.run is None:
            raise InputError("actions", "no names", "type some, one a line")
        # A model that was chosen later may not know a setting that was made before.
        known = {key: value for key, value in settings if key in model.scorer.adjustable}
        settings = DecodeSettings(**known)
        candidates = model.choose(actions, settings)
        return model.decode(self._scores(video, model, name, actions, settings), candidates, settings)

    def _scores(
        self, video: Video, model: Segmenter, name: str, actions: tuple[str, ...] | None, settings: DecodeSettings
    ) -> Scores:
        """The scores of a video for a model and some candidates; the latest ones alone are kept."""
        rivals = settings.reject is not None
        wanted = (name, actions, rivals)
        with self._lock:
            known = self._kept.get(video.id)
            if known is not None and known[0] in (wanted, (name, actions, True)):
                self._kept.move_to_end(video.id)
                return known[1]
        assert video.features is not None
        features, clock = model.open(video.features)
        media, rate = (None, None) if video.media is None else (video.media.name, probe(video.media.path).fps)
        video.clock = replace(clock, n_frames=len(features), media=media, video_fps=clock.video_fps or rate)
        features = check_features(features, str(video.features), model.scorer.width, model.scorer.needs.origin)
        made = model.scorer.score(features, model.choose(actions), video.clock, rivals=rivals)
        with self._lock:
            self._kept[video.id] = (wanted, made)
            self._kept.move_to_end(video.id)
            total = sum(each.nbytes for _, each in self._kept.values())
            while total > KEPT_BYTES and len(self._kept) > 1:
                total -= self._kept.popitem(last=False)[1][1].nbytes
        return made

    def forget(self, videos: Iterable[Video]) -> None:
        """Drop what is kept of some videos."""
        with self._lock:
            for video in videos:
                self._kept.pop(video.id, None)
