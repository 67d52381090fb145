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
from typing import Any, TypeVar

import numpy as np

from fact_clip.core import (
    BACKGROUND,
    LEAST_FPS,
    MOST_FPS,
    InputError,
    Progress,
    Reals,
    Segmentation,
    Vocabulary,
)
from fact_clip.core.arguments import number_of, path_of
from fact_clip.core.progress import paced
from fact_clip.core.scores import Scores
from fact_clip.decoding import CandidateSet, DecodeSettings
from fact_clip.encoders import FrameEncoder
from fact_clip.inference.decoder import DECODERS, Decode, SegmentDecoder
from fact_clip.inference.export import export
from fact_clip.inference.scorer import FrameScorer, Scorer
from fact_clip.inference.sources import ModelOptions, SourceReader
from fact_clip.inference.stream import Stream
from fact_clip.runs.hub import save_pretrained
from fact_clip.runs.run import Run

Input = TypeVar("Input")

logger = logging.getLogger(__name__)


class Segmenter:
    """Cuts videos into actions: an encoder makes features, a scorer scores them; see `load`.

    Args:
        scorer: scores frames.
        encoder: makes features from videos; None: the one that the scorer names.
        options: how it was opened.
    """

    def __init__(
        self,
        scorer: FrameScorer,
        encoder: FrameEncoder | None = None,
        options: ModelOptions | None = None,
    ) -> None:
        self.options = options or ModelOptions()
        self.scorer = scorer
        self.sources = SourceReader(scorer, encoder, self.options)
        self.reopen: Callable[[ModelOptions], Segmenter] | None = None  # set by `open_model`

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle how the segmenter is opened, not its weights."""
        if self.reopen is None:
            raise TypeError("only a segmenter of fact_clip.load can be pickled")
        run = self.scorer.run
        if run is not None and not run.path.exists():
            raise InputError(run.path, "the run is gone", "give FactSegmenter `out` to pickle it")
        return self.reopen, (self.options,)

    def __repr__(self) -> str:
        """Return the model and its classes in one line."""
        name = "without training" if self.scorer.run is None else str(self.scorer.run.path)
        return f"Segmenter({name}, {len(self.vocabulary)} classes)"

    def __call__(self, source: Any, *args: Any, **options: Any) -> Segmentation:
        """Return `segment` of a source."""
        return self.segment(source, *args, **options)

    def save(self, folder: str | Path, *, license: str | None = None) -> Path:
        """Write the run and a model card into a folder, for `load` and the hub.

        Args:
            folder: the folder.
            license: as the hub writes it. None: the card names none.

        Returns:
            The folder.
        """
        return save_pretrained(self.run.path, folder, license=license)

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

    def choose(
        self, actions: Sequence[str] | None = None, settings: DecodeSettings | None = None
    ) -> CandidateSet:
        """Return the candidates for names.

        Args:
            actions: the names; None: those of `load`, else the segmenter's vocabulary.
            settings: of decoding, which are checked against the model.

        Raises:
            InputError: the names or the settings do not fit the model.
        """
        settings = settings or DecodeSettings()
        if not isinstance(settings, DecodeSettings):
            fix = "give fact_clip.decoding.DecodeSettings"
            raise InputError("settings", f"a {type(settings).__name__}", fix)
        for name, value in settings:
            if value is not None and name not in self.scorer.adjustable:
                fix = f"leave it out; this model has {', '.join(self.scorer.adjustable)}"
                raise InputError(name, "this model does not read it", fix)
        candidates = self.scorer.choose(self.options.actions if actions is None else actions)
        vocabulary = candidates.vocabulary
        adds_background = settings.threshold is not None and not vocabulary.background
        if adds_background and BACKGROUND in vocabulary:
            problem = (
                f"{BACKGROUND!r}, which a background threshold adds for frames without an action"
            )
            raise InputError("actions", problem, "leave the name out, or the threshold")
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

        Returns:
            A segmentation of all T frames. The confidence of a segment is the mean score of its
            class, calibrated where the run has validation videos and there is no `decoder`.

        Raises:
            InputError: the source, the names or the settings do not fit the model.
        """
        candidates = self.choose(actions, settings)
        segment_decoder = SegmentDecoder(self.scorer, candidates, settings or DecodeSettings())
        scores = segment_decoder.score(self.sources.read(source, progress), transcript)
        if decoder is None:
            return segment_decoder.segmentation(scores)
        decode = DECODERS.find(decoder, "decoder") if isinstance(decoder, str) else decoder
        return segment_decoder.segmentation_by(decode, scores)

    def scores(
        self,
        source: Reals | str | Path,
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
        *,
        progress: Progress | None = None,
    ) -> Scores:
        """Score each frame of one video for the candidates, without decoding.

        Args:
            source: as for `segment`.
            actions: as for `segment`.
            transcript: as for `segment`.
            progress: as for `segment`.

        Returns:
            The probabilities of the candidates in each frame.

        Raises:
            InputError: the source or the names do not fit the model.
        """
        segment_decoder = SegmentDecoder(self.scorer, self.choose(actions))
        scores = segment_decoder.score(self.sources.read(source, progress), transcript)
        return segment_decoder.frame_scores(scores)

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
            if not isinstance(source, np.ndarray) and Path(source).is_file():
                self.sources.load_encoder(Path(source))
            try:
                result = self.segment(source, actions, settings=settings)
            except InputError as error:
                if failed is None:
                    raise
                failed(name, error)
                continue
            yield name, result

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
        if rate is None and self.sources.encoder_name is not None:
            rate = self.sources.extraction().fps
        settings = settings or DecodeSettings()
        candidates = self.choose(actions, settings)
        # Rules about whole videos need the whole video.
        candidates = replace(candidates, costs=replace(candidates.costs, rules=None))
        decoder = SegmentDecoder(self.scorer, candidates, settings)
        encoder = partial(self.sources.encoder_for, "pictures")
        return Stream(decoder, delay, rate, encoder)

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
        if self.options.actions is not None:
            raise InputError("export", "actions= is not part of the file", "load without it")
        return export(self.scorer, path)


def _split(element: Any) -> tuple[Any, Any]:
    """Return the name of an input, and what is segmented: a path or an array."""
    name, source = element, element
    if isinstance(element, tuple) and len(element) == 2:
        name, source = element
    if not isinstance(source, np.ndarray):
        path_of(source, "inputs")
    return name, source
