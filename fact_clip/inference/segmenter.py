"""`Segmenter`: turns an array, a feature file or a video into segments."""

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
    MAX_FPS,
    MIN_FPS,
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
    """Divides videos into actions. An encoder extracts features, and a scorer scores them.

    Create one with `load`.

    Args:
        scorer: Scorer of frames.
        encoder: Encoder that extracts features from videos, or None for the scorer's encoder.
        options: Options with which the segmenter was opened.
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
        """Pickle the way to open the segmenter, but not its weights."""
        if self.reopen is None:
            raise TypeError("only a segmenter of fact_clip.load can be pickled")
        run = self.scorer.run
        if run is not None and not run.path.exists():
            raise InputError(run.path, "the run is gone", "give FactSegmenter `out` to pickle it")
        return self.reopen, (self.options,)

    def __repr__(self) -> str:
        """Return a line with the model and its number of classes."""
        name = "without training" if self.scorer.run is None else str(self.scorer.run.path)
        return f"Segmenter({name}, {len(self.vocabulary)} classes)"

    def __call__(self, source: Any, *args: Any, **options: Any) -> Segmentation:
        """Call `segment`."""
        return self.segment(source, *args, **options)

    def save(self, folder: str | Path, *, license: str | None = None) -> Path:
        """Write the run and a model card into a folder, for `load` and the hub.

        Args:
            folder: Folder to write.
            license: License as the hub writes it, or None to omit it from the card.

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
            actions: Names of actions, or None for the names passed to `load`, or else the
                vocabulary.
            settings: Decoding settings, which are checked against the model.

        Raises:
            InputError: The names or the settings do not fit the model.
        """
        settings = settings or DecodeSettings()
        if not isinstance(settings, DecodeSettings):
            fix = "give fact_clip.decoding.DecodeSettings"
            raise InputError("settings", f"a {type(settings).__name__}", fix)
        for name, value in settings:
            if value is not None and name not in self.scorer.adjustable:
                fix = f"omit it; this model has {', '.join(self.scorer.adjustable)}"
                raise InputError(name, "this model does not use it", fix)
        candidates = self.scorer.choose(self.options.actions if actions is None else actions)
        vocabulary = candidates.vocabulary
        adds_background = settings.threshold is not None and not vocabulary.background
        if adds_background and BACKGROUND in vocabulary:
            problem = (
                f"{BACKGROUND!r}, which a background threshold adds for frames without an action"
            )
            raise InputError("actions", problem, "omit this name or the threshold")
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
        """Divide one video into actions.

        Args:
            source: Raw features (T, D), path of a feature file, or path of a video. A file
                NAME.json next to a feature file may contain frame times and the path of the video.
            actions: Candidates, or None for the segmenter's own. A run whose head reads text
                accepts any names. Other runs accept only names in their vocabulary. Background is
                always a candidate.
            transcript: Actions in order, for a model that aligns transcripts
                (``model.transcript``).
            settings: Decoding settings, or None for the settings of the run.
            decoder: Function from `fact_clip.Scores` to class indices (T,), or the name of a
                registered one. It replaces the decoding, so of the settings it uses only `gamma`.
            progress: Function called with (rows done, total rows, name) while a video is encoded.

        Returns:
            A segmentation of all T frames. The confidence of a segment is the mean score of its
            class, which is calibrated if the run has validation videos and `decoder` is not set.

        Raises:
            InputError: The source, the names or the settings do not fit the model.
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
            source: Source, as for `segment`.
            actions: Candidates, as for `segment`.
            transcript: Transcript, as for `segment`.
            progress: Progress function, as for `segment`.

        Returns:
            The probabilities of the candidates in each frame.

        Raises:
            InputError: The source or the names do not fit the model.
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
        """Segment feature files, videos and arrays, and yield each result when it is ready.

        Args:
            inputs: Paths of feature files and videos, arrays (T, D), or pairs of a name and an
                array. A generator is read element by element.
            actions: Candidates, as for `segment`.
            settings: Decoding settings, as for `segment`.
            progress: Function called with (completed inputs, inputs, name) before each input.
            failed: Function called with an input that cannot be segmented, and the error. None
                raises the error instead.

        Yields:
            The input, or the name in a pair, and its segmentation.

        Raises:
            InputError: The names or the settings do not fit the model, the encoder cannot be
                loaded, or an input fails and `failed` is None.
        """
        if isinstance(inputs, str | Path) or not isinstance(inputs, Iterable):
            raise InputError("inputs", f"{inputs!r} is not a list of paths")
        self.choose(actions, settings)  # report wrong names once, not for each input
        elements: Iterable[tuple[Any, Any]] = map(_split, inputs)
        if isinstance(inputs, Collection):
            elements = list(elements)  # report a wrong type before the work starts
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
        """Start to segment a video that has not ended, such as a camera's.

        Args:
            delay: Seconds after which a label is final, at least one row of the model. With
                ``math.inf``, labels are final at the end.
            actions: Candidates, as for `segment`.
            settings: Decoding settings, as for `segment`.
            fps: Rows or images per second. None uses the rate of the run or, for images, of
                ``load(..., fps=)``.

        Returns:
            The stream, which accepts rows.

        Raises:
            InputError: A value is out of range or does not fit the run.
        """
        if delay != math.inf:
            meaning = "seconds, more than 0, or math.inf"
            number_of(delay, "delay", meaning, sys.float_info.min)
        if fps is not None:
            meaning = f"rows per second, from {MIN_FPS:g} to {MAX_FPS:g}"
            number_of(fps, "fps", meaning, MIN_FPS, MAX_FPS)
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
        """Write the models of the run to a file that runs without this package.

        The exported function computes the inputs of decoding (docs/streaming.md) from ``features``
        (1, T, D). These are rows as the models read them: ``run.transform(features)[::stride]``. If
        the head reads names, there is a second input ``text`` (C, S, E), which is
        ``choose(actions).scoring.text_embeddings``. The outputs of K models are ``frames`` (K, T,
        C) and, for models with update blocks, ``tokens`` (K, T, C) and ``has_token`` (K, T). T must
        be at least ``model.tokens`` + 1, and C at least 2. The metadata entry "fact_clip" contains
        the names and the decoding settings.

        Args:
            path: Path of the file, ``.pt2`` (`torch.export`) or ``.onnx``.

        Returns:
            The path.

        Raises:
            InputError: The model cannot be exported.
        """
        if not isinstance(self.scorer, Scorer):
            problem = "a segmenter without training has no model to export"
            raise InputError("export", problem, "export its encoder")
        if self.options.actions is not None:
            raise InputError("export", "actions= is not part of the file", "load without it")
        return export(self.scorer, path)


def _split(element: Any) -> tuple[Any, Any]:
    """Return the name of an input and the path or array to segment."""
    name, source = element, element
    if isinstance(element, tuple) and len(element) == 2:
        name, source = element
    if not isinstance(source, np.ndarray):
        path_of(source, "inputs")
    return name, source
