"""The front door: an array, a feature file or a video in, segments out."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

import fact_clip
from fact_clip.core import (
    BACKGROUND,
    LEAST_FPS,
    MOST_FPS,
    Array,
    Clock,
    FileLocation,
    InputError,
    Location,
    Progress,
    Reals,
    Segmentation,
    Vocabulary,
)
from fact_clip.core.arguments import number_of, path_of
from fact_clip.core.distributed import Precision
from fact_clip.core.io import check_file
from fact_clip.core.progress import paced
from fact_clip.core.scores import Scores as FrameScores
from fact_clip.datasets.features import load_features, read_clock
from fact_clip.decoding import CandidateSet, DecodeSettings, Scores
from fact_clip.decoding.prototypes import Prototypes
from fact_clip.encoders import FrameEncoder
from fact_clip.inference.decoder import DECODERS, Decode, SegmentDecoder
from fact_clip.inference.export import export
from fact_clip.inference.scorer import FrameScorer, Scorer
from fact_clip.inference.stream import Stream
from fact_clip.run import Run
from fact_clip.sharing import save_pretrained, share
from fact_clip.video.decode import SUFFIXES, Span
from fact_clip.video.extract import Settings, extract
from fact_clip.video.isolated import IsolatedDecoder

FEATURES = ".npy"
KINDS = f"features ({FEATURES}) or a video ({', '.join(SUFFIXES)})"

NEEDS = {
    "reject": "it needs a run with confidence.json: train with data.validation above 0, "
    "without model.transcript",
    "gamma": "it needs a run whose head reads text, so that not all classes were trained",
}
"""Requirements of decoding settings that have no effect on some models."""

Input = TypeVar("Input")

logger = logging.getLogger(__name__)


class Segmenter:
    """Cuts videos into actions: an encoder makes features, a scorer scores them; see `load`.

    Args:
        scorer: scores frames.
        encoder: makes features from videos; None: the one that the scorer names.
        extraction: how features are made from videos.
        precision: in which an encoder computes.
    """

    def __init__(
        self,
        scorer: FrameScorer,
        encoder: FrameEncoder | None = None,
        extraction: Settings | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.scorer = scorer
        self._encoder = encoder
        self.precision = precision
        self.video_decoder: IsolatedDecoder | None = None  # None: in this process
        self.actions: Sequence[str] | None = None  # candidates of calls that name none
        self.reopen: Callable[..., Segmenter] | None = None  # makes it again in another process
        self.unlabelled: Sequence[str | Path] = ()  # videos of `adapt_to`
        self._prototypes: dict[tuple[object, ...], tuple[Prototypes, ...]] = {}
        self.extraction = extraction or Settings(fps=scorer.fps or Settings().fps)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle how the segmenter is opened, not its weights."""
        if self.reopen is None:
            raise TypeError("only a segmenter of fact_clip.load can be pickled")
        return self.reopen, (), {"unlabelled": self.unlabelled}

    def __repr__(self) -> str:
        """Return the model and its classes in one line."""
        name = "without training" if self.scorer.run is None else str(self.scorer.run.path)
        return f"Segmenter({name}, {len(self.vocabulary)} classes)"

    def __call__(self, source: Any, *args: Any, **options: Any) -> Segmentation:
        """Return `segment` of a source."""
        return self.segment(source, *args, **options)

    def to(self, device: str) -> Segmenter:
        """Move the models to a device, by loading them there.

        Args:
            device: auto, cpu, cuda, cuda:N or mps.

        Returns:
            The segmenter.

        Raises:
            InputError: this machine has no such device.
        """
        if self.reopen is None:
            raise InputError("device", "only a segmenter of fact_clip.load can be moved")
        moved = self.reopen(device=device)
        self.scorer = moved.scorer
        self._encoder = moved._encoder
        self.reopen = moved.reopen
        return self

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, **options: Any
    ) -> Segmenter:
        """Load a model of the Hugging Face hub, or a run folder.

        Args:
            name: OWNER/NAME of the hub, unless there is a folder of this name.
            revision: a branch, a tag or a commit of the hub.
            options: of `fact_clip.load`.

        Returns:
            The segmenter.

        Raises:
            InputError: there is no such model.
        """
        address = str(name)
        if not Path(name).is_dir():
            address = f"hf://{address}"
            if revision is not None:
                address += f"@{revision}"
        return fact_clip.load(address, **options)

    def save_pretrained(self, folder: str | Path, *, license: str = "mit") -> Path:
        """Write the run and a model card into a folder, for `from_pretrained`.

        Args:
            folder: the folder.
            license: as the hub writes it.

        Returns:
            The folder.
        """
        return save_pretrained(self.run.path, folder, license=license)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        commit_message: str | None = None,
        license: str = "mit",
    ) -> str:
        """Upload the run and a model card to the Hugging Face hub, see `fact_clip.share`.

        Args:
            repo_id: OWNER/NAME.
            private: whether a new repository is private.
            commit_message: of the commit.
            license: as the hub writes it.

        Returns:
            The address of the repository on the web.
        """
        return share(
            self.run.path, repo_id, private=private, message=commit_message, license=license
        )

    @property
    def run(self) -> Run:
        """Return the description of the run folder."""
        if self.scorer.run is None:
            raise AttributeError("a segmenter without training has no run")
        return self.scorer.run

    @property
    def vocabulary(self) -> Vocabulary:
        """Return the classes of the run, or the names of a training-free segmenter."""
        return self.scorer.vocabulary

    def adapt_to(self, sources: Sequence[str | Path]) -> Segmenter:
        """Learn what the candidates look like from unlabelled videos, before any is segmented.

        Results then depend on these videos: they are transductive (docs/protocol.md).

        Args:
            sources: feature files and videos, as for `segment`.

        Returns:
            The segmenter.

        Raises:
            InputError: the segmenter has no trained model, or there are no videos.
        """
        if not isinstance(self.scorer, Scorer) or self.scorer.run.config.model.transcript:
            raise InputError("adapt_to", "only a run without transcripts learns from videos")
        if not sources:
            raise InputError("adapt_to", "no videos", "give unlabelled videos")
        self.unlabelled = [*sources]
        self._prototypes.clear()
        return self

    def _adapted(self, candidates: CandidateSet) -> CandidateSet:
        """Return candidates with their prototypes in the unlabelled videos."""
        assert isinstance(self.scorer, Scorer)
        # A closed head has one vocabulary for all lists of names, of which others are allowed.
        key = (candidates.vocabulary.names, *candidates.is_allowed.tolist())
        if key not in self._prototypes:
            videos = self._unlabelled_rows()
            self._prototypes[key] = self.scorer.prototypes(videos, candidates)
        scoring = replace(candidates.scoring, prototypes=self._prototypes[key])
        return replace(candidates, scoring=scoring)

    def _unlabelled_rows(self) -> Iterator[Array]:
        """Yield the raw features (T, D) of the unlabelled videos."""
        for source in paced(self.unlabelled, "adapting to unlabelled videos", logger):
            features, where, _ = self._open_source(source, None, None)
            yield self.scorer.checked(features, where)

    def choose(
        self, actions: Sequence[str] | None = None, settings: DecodeSettings | None = None
    ) -> CandidateSet:
        """Return the candidates for names.

        After `adapt_to`, the first call for these names scores the unlabelled videos.

        Args:
            actions: the names; None: those of `load`, else the segmenter's vocabulary.
            settings: of decoding, which are checked against the model.

        Raises:
            InputError: the names or the settings do not fit the model.
        """
        settings = settings or DecodeSettings()
        for name, value in settings:
            if value is not None and name not in self.scorer.adjustable:
                fix = f"leave it out; this model has {', '.join(self.scorer.adjustable)}"
                raise InputError(name, NEEDS.get(name, "only a trained run has it"), fix)
        candidates = self.scorer.choose(self.actions if actions is None else actions)
        vocabulary = candidates.vocabulary
        adds_background = settings.threshold is not None and not vocabulary.background
        if adds_background and BACKGROUND in vocabulary:
            problem = (
                f"{BACKGROUND!r}, which a background threshold adds for frames without an action"
            )
            raise InputError("actions", problem, "leave the name out, or the threshold")
        if self.unlabelled:
            return self._adapted(candidates)
        return candidates

    def segment(
        self,
        source: Reals | str | Path,
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
        *,
        settings: DecodeSettings | None = None,
        decoder: Decode | str | None = None,
        progress: Progress | None = None,
        span: Span | None = None,
    ) -> Segmentation:
        """Cut one video into actions.

        Args:
            source: raw features (T, D), the path of a feature file, or a video. NAME.json beside a
                feature file may hold frame times and the path of the video.
            actions: candidates; None: the segmenter's own. A run whose head reads text takes any
                names, others only names of their vocabulary. The background is always a candidate.
            transcript: the actions in order, for a model that aligns transcripts
                (``model.transcript``).
            settings: of decoding; None: those of the run.
            decoder: a function of `fact_clip.Scores` to class indices (T,), or the name of one
                that is registered. It replaces the decoding; of the settings `gamma` alone counts.
            progress: called with (rows done, rows in all, name) while a video is encoded.
            span: the part of a video that is read; None: all of it.

        Returns:
            A segmentation of all T frames. The confidence of a segment is the mean score of its
            class, calibrated where the run has validation videos and there is no `decoder`.

        Raises:
            InputError: the source, the names or the settings do not fit the model.
        """
        settings = settings or DecodeSettings()
        candidates = self.choose(actions, settings)
        features, where, clock = self._open_source(source, progress, span)
        rivals = settings.reject is not None
        scores = self.score(features, where, candidates, clock, transcript, rivals=rivals)
        if decoder is None:
            return self.decode(scores, candidates, settings)
        decode = DECODERS.find(decoder, "decoder") if isinstance(decoder, str) else decoder
        return self._segment_decoder(candidates, settings).segmentation_by(decode, scores)

    def scores(
        self,
        source: Reals | str | Path,
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
        span: Span | None = None,
    ) -> FrameScores:
        """Score each frame of one video for the candidates, without decoding.

        Args:
            source: as for `segment`.
            actions: as for `segment`.
            transcript: as for `segment`.
            progress: as for `segment`.
            span: as for `segment`.

        Returns:
            The probabilities of the candidates in each frame.

        Raises:
            InputError: the source or the names do not fit the model.
        """
        candidates = self.choose(actions)
        features, where, clock = self._open_source(source, progress, span)
        scores = self.score(features, where, candidates, clock, transcript)
        return self._segment_decoder(candidates, None).frame_scores(scores)

    def _open_source(
        self, source: Reals | str | Path, progress: Progress | None, span: Span | None
    ) -> tuple[Any, Location, Clock]:
        """Return raw features (T, D), their location in errors, and their times."""
        path = Path(source) if isinstance(source, str | Path) else None
        is_video = path is not None and path.suffix.lower() != FEATURES
        span = span or Span()
        if span != Span() and not is_video:
            raise InputError("start and stop", "only a video has them", "cut the features")
        if path is None:
            return source, "features", Clock(fps=self.scorer.fps)
        if not is_video:
            features, clock = self.open(path)
            return features, path, clock
        check_file(path, KINDS)
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(path, f"the ending {path.suffix!r}", f"give {KINDS}")
        encoder = self.encoder_for(path)
        with TemporaryDirectory(prefix="fact-clip-", ignore_cleanup_errors=True) as folder:
            extraction = replace(self.extraction, span=span)
            file = extract(
                path, encoder, folder, extraction, progress=progress, decoder=self.video_decoder
            )
            features = np.array(load_features(file, "TD"))  # a copy outlives the folder
            clock = read_clock(file, layout="TD")
        return features, FileLocation(path, part=f"features by {encoder.name}"), clock

    def segment_all(
        self,
        inputs: Iterable[Input],
        actions: Sequence[str] | None = None,
        *,
        settings: DecodeSettings | None = None,
        progress: Progress | None = None,
        failed: Callable[[Input, InputError], None] | None = None,
    ) -> Iterator[tuple[Input, Segmentation]]:
        """Segment feature files, videos and arrays one by one, and yield each result when ready.

        Args:
            inputs: paths of feature files and videos, arrays (T, D), or pairs of a name and an
                array. A generator is read one by one.
            actions: as for `segment`.
            settings: as for `segment`.
            progress: called with (inputs done, inputs, name) before each input.
            failed: called with an input that cannot be segmented, and the reason; None: the reason
                is raised.

        Yields:
            The input, or the name of a pair, and its segmentation.

        Raises:
            InputError: the names or the settings do not fit the model, the encoder cannot be
                loaded, or an input fails without `failed`.
        """
        if isinstance(inputs, str | Path) or not isinstance(inputs, Iterable):
            raise InputError("inputs", f"{inputs!r} is not a list of paths")
        self.choose(actions, settings)  # wrong names are no fault of an input
        elements: Iterable[tuple[Any, Any]] = map(_split, inputs)
        if isinstance(inputs, Collection):
            elements = list(elements)  # a wrong type is reported before the work
            names = ["array" if isinstance(name, np.ndarray) else name for name, _ in elements]
            pace = paced(names, "segmenting", logger, progress, tenths=True)
            elements = map(itemgetter(0), zip(elements, pace, strict=True))
        for name, source in elements:
            if not isinstance(source, np.ndarray):
                path = Path(source)
                if path.suffix.lower() in SUFFIXES and path.is_file():
                    self.encoder_for(path).load()
            try:
                result = self.segment(source, actions, settings=settings)
            except InputError as error:
                if failed is None:
                    raise
                failed(name, error)
                continue
            yield name, result

    def segment_together(
        self,
        paths: Sequence[Path],
        actions: Sequence[str] | None = None,
        *,
        settings: DecodeSettings | None = None,
        batch_frames: int = 0,
    ) -> list[Segmentation]:
        """Segment short feature files in one pass of the model.

        Args:
            paths: the feature files.
            actions: as for `segment`.
            settings: as for `segment`.
            batch_frames: rows of a pass, at most; 0: as many as are fast.

        Returns:
            Their segmentations, which equal those of `segment` up to the rounding of confidences.

        Raises:
            InputError: as of `segment`, for the first file that it does not fit.
        """
        settings = settings or DecodeSettings()
        candidates = self.choose(actions, settings)
        videos = []
        clocks = []
        for path in paths:
            features, clock = self.open(path)
            videos.append(self.scorer.checked(features, path))
            clocks.append(clock)
        scores = self.scorer.score_together(
            videos,
            candidates,
            clocks,
            rivals=settings.reject is not None,
            batch_frames=batch_frames,
        )
        return [self.decode(video_scores, candidates, settings) for video_scores in scores]

    def score(
        self,
        features: Any,
        where: Location,
        candidates: CandidateSet,
        clock: Clock,
        transcript: Sequence[str] | None = None,
        *,
        rivals: bool = False,
    ) -> Scores:
        """Check features and score them.

        Args:
            features: raw features (T, D).
            where: location of an error about them.
            candidates: of `choose`.
            clock: times of the frames.
            transcript: as for `segment`.
            rivals: score all classes of the run too, for `reject`.

        Returns:
            The scores of the candidates.
        """
        rows = self.scorer.checked(features, where)
        return self.scorer.score(rows, candidates, clock, transcript, rivals=rivals)

    def decode(
        self, scores: Scores, candidates: CandidateSet, settings: DecodeSettings | None = None
    ) -> Segmentation:
        """Cut a scored video into segments.

        Args:
            scores: of the video; `reject` needs those of rivals, too.
            candidates: the classes that were scored.
            settings: of decoding; None: those of the run.

        Returns:
            A segmentation of all T frames.
        """
        return self._segment_decoder(candidates, settings).segmentation(scores)

    def _segment_decoder(
        self, candidates: CandidateSet, settings: DecodeSettings | None
    ) -> SegmentDecoder:
        complete = (settings or DecodeSettings()).over(self.scorer.settings)
        return SegmentDecoder(self.scorer, candidates, complete)

    def stream(
        self,
        delay: float = 5.0,
        actions: Sequence[str] | None = None,
        settings: DecodeSettings | None = None,
        *,
        fps: float | None = None,
    ) -> Stream:
        """Start to cut a video that is not finished, as a camera's.

        Args:
            delay: seconds after which a label is final, a row of the model at least; ``math.inf``:
                at the end.
            actions: as for `segment`.
            settings: as for `segment`.
            fps: rows or pictures a second; None: those of the run, or of ``load(..., fps=)`` for
                pictures.

        Returns:
            The stream, to which rows are pushed.

        Raises:
            InputError: a value is out of range or does not fit the run.
        """
        if delay != math.inf:
            meaning = "seconds, more than 0, or math.inf"
            number_of(delay, "delay", meaning, sys.float_info.min)
        if fps is not None:
            meaning = f"rows a second, from {LEAST_FPS:g} to {MOST_FPS:g}"
            number_of(fps, "fps", meaning, LEAST_FPS, MOST_FPS)
        self.scorer.check_stream(fps)
        rate = self.scorer.fps if fps is None else fps
        if rate is None and self.encoder_name is not None:
            rate = self.extraction.fps
        decoder = self._segment_decoder(self.choose(actions, settings), settings)
        encoder = partial(self.encoder_for, "pictures")
        return Stream(decoder, delay, rate, encoder, self.extraction.batch)

    def export(self, path: str | Path) -> Path:
        """Write the models of the run as a file that runs without this package.

        It maps ``features`` (1, T, D), rows as the models read them
        (``run.transform(features)[::stride]``), and where the head reads names ``text`` (C, S, E)
        (``choose(actions).scoring.text_embeddings``), to what is decoded outside of it
        (docs/streaming.md): ``frames`` (K, T, C), and for models with update blocks ``tokens``
        (K, T, C) and ``has_token`` (K, T), of K models. T is any from ``model.tokens`` + 1, C any
        from 2. Names and settings of decoding are in its metadata, "fact_clip".

        Args:
            path: of the file, ``.pt2`` (`torch.export`) or ``.onnx``.

        Returns:
            The path.

        Raises:
            InputError: the model cannot be exported.
        """
        if not isinstance(self.scorer, Scorer):
            problem = "a segmenter without training has no model of its own"
            raise InputError("export", problem, "export its encoder")
        return export(self.scorer, path)

    def open(self, path: Path) -> tuple[Array, Clock]:
        """Read a feature file that fits the model, (T, D), and the times of its rows."""
        return self.scorer.needs.open(path)

    @property
    def encoder_name(self) -> str | None:
        """Return the name of the encoder of videos, or None as long as none is known."""
        return None if self._encoder is None else self._encoder.name

    def encoder_for(self, video: Path | str) -> FrameEncoder:
        """Return the encoder that was named, or that of the features of the training."""
        if self._encoder is None:
            self._encoder = self.scorer.frame_encoder(video, self.precision)
        return self._encoder


def _split(element: Any) -> tuple[Any, Any]:
    """Return the name of an input, and what is segmented: a path or an array."""
    name, source = element, element
    if isinstance(element, tuple) and len(element) == 2:
        name, source = element
    if not isinstance(source, np.ndarray):
        path_of(source, "inputs")
    return name, source
