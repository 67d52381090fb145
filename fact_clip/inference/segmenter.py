"""The front door: an array, a feature file or a video in, segments out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import (
    Clock,
    CommandOption,
    FileLocation,
    InputError,
    Location,
    Segment,
    Segmentation,
    Vocabulary,
)
from fact_clip.core.arguments import number_of, path_of, validated
from fact_clip.core.distributed import Precision, pick_device
from fact_clip.core.io import check_file
from fact_clip.core.progress import paced
from fact_clip.datasets.features import load_features, read_clock
from fact_clip.decoding import CandidateSet, DecodeSettings, Scores, class_scores, decode_scores
from fact_clip.encoders import FrameEncoder, Runtime, frame_encoder
from fact_clip.inference.candidates import NONE_OF_THESE, check_trust
from fact_clip.inference.scorer import Scorer, SimilarityScorer, check_features
from fact_clip.inference.stream import FrameLabels, LabelRun, Stream, label_runs
from fact_clip.run import Run
from fact_clip.video.decode import SUFFIXES
from fact_clip.video.extract import Progress, Settings, extract

FEATURES = ".npy"
KINDS = f"features ({FEATURES}) or a video ({', '.join(SUFFIXES)})"
BACKGROUND = (
    "background"  # What frames under a threshold are called where the vocabulary has no background
)

NEEDS = {
    "reject": "it needs a run with confidence.json: train with data.validation above 0, without model.transcript",
    "gamma": "it needs a run whose head reads text, so that not all classes were trained",
}
"""What some settings of decoding need, where they mean nothing to a model."""

Input = TypeVar("Input", str, Path)

logger = logging.getLogger(__name__)


class Segmenter:
    """Cuts videos into actions: an encoder makes features, a scorer scores them, decoding makes labels. See `load`."""

    def __init__(
        self,
        scorer: Scorer | SimilarityScorer,
        encoder: FrameEncoder | None = None,
        extraction: Settings | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.scorer, self._encoder, self.precision = scorer, encoder, precision
        self.extraction = extraction or Settings(fps=scorer.fps or Settings().fps)

    @property
    def run(self) -> Run:
        """The description of the run folder."""
        if self.scorer.run is None:
            raise AttributeError("a segmenter without training has no run")
        return self.scorer.run

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes of the run, or the names that a segmenter without training began with."""
        return self.scorer.vocabulary

    @property
    def encodes(self) -> bool:
        """Whether an encoder of pictures was named."""
        return self._encoder is not None

    def choose(
        self, actions: Sequence[str] | None = None, settings: DecodeSettings | None = None
    ) -> CandidateSet:
        """Return the candidates for some names; an InputError where these or the settings do not fit the model."""
        for name, value in settings or DecodeSettings():
            if value is not None and name not in self.scorer.adjustable:
                fix = f"leave it out; this model has {', '.join(self.scorer.adjustable)}"
                raise InputError(name, NEEDS.get(name, "only a trained run has it"), fix)
        candidates = self.scorer.choose(actions)
        adds_background = (
            self.scorer.run is None and settings is not None and settings.threshold is not None
        )
        if adds_background and BACKGROUND in candidates.vocabulary:
            problem = (
                f"{BACKGROUND!r}, which a background threshold adds for frames without an action"
            )
            raise InputError("actions", problem, "leave the name out, or the threshold")
        return candidates

    def segment(
        self,
        source: NDArray[np.floating] | str | Path,
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
        *,
        settings: DecodeSettings | None = None,
        progress: Progress | None = None,
    ) -> Segmentation:
        """Cut one video into actions.

        Args:
            source: raw features (T, D), the path of a feature file, or a video. NAME.json beside a feature file may
                hold frame times and the path of the video.
            actions: candidates; None: the segmenter's own. A run whose head reads text takes any names, others only
                names of their vocabulary. The background is always a candidate.
            transcript: the actions in order, for a model that aligns transcripts (``model.transcript``).
            settings: of decoding; None: those of the run.
            progress: called with (rows done, rows in all, name) while a video is encoded.

        Returns:
            A segmentation of all T frames; the confidence of a segment is the mean score of its class, calibrated where
            the run has validation videos. Input that does not fit the model is an InputError.
        """
        settings = settings or DecodeSettings()
        candidates = self.choose(actions, settings)

        def cut(features: Any, where: Location, clock: Clock) -> Segmentation:
            rivals = settings.reject is not None
            scores = self.score(features, where, candidates, clock, transcript, rivals=rivals)
            return self.decode(scores, candidates, settings)

        if not isinstance(source, str | Path):
            return cut(source, "features", Clock(fps=self.scorer.fps))
        path = Path(source)
        suffix = path.suffix.lower()
        if suffix == FEATURES:
            features, clock = self.open(path)
            return cut(features, path, clock)
        check_file(path, KINDS)
        if suffix not in SUFFIXES:
            raise InputError(path, f"the ending {path.suffix!r}", f"give {KINDS}")
        encoder = self.encoder_for(path)
        with TemporaryDirectory(prefix="fact-clip-", ignore_cleanup_errors=True) as folder:
            file = extract(path, encoder, folder, self.extraction, progress)
            where = FileLocation(path, part=f"features by {encoder.name}")
            return cut(load_features(file, "TD"), where, read_clock(file, layout="TD"))

    def segment_all(
        self,
        inputs: Iterable[Input],
        actions: Sequence[str] | None = None,
        *,
        settings: DecodeSettings | None = None,
        progress: Progress | None = None,
        within: Progress | None = None,
        failed: Callable[[Input, InputError], None] | None = None,
    ) -> Iterator[tuple[Input, Segmentation]]:
        """Segment feature files and videos one by one, each result as soon as it is there; arguments as for `segment`.

        `progress` is called with (inputs done, inputs, name) before each input, `within` with (rows done, rows in all,
        name) while a video is encoded, `failed` with an input that cannot be segmented and the reason, which is raised
        otherwise. An encoder that does not load is raised in any case.
        """
        if isinstance(inputs, str | Path) or not isinstance(inputs, Iterable):
            raise InputError("inputs", f"{inputs!r} is not a list of paths")
        sources = list(inputs)
        for source in sources:
            path_of(source, "inputs")
        for source in paced(sources, "segmenting", logger, progress, tenths=True):
            if Path(source).suffix.lower() in SUFFIXES and Path(source).is_file():
                self.encoder_for(Path(source)).load()
            try:
                result = self.segment(source, actions, settings=settings, progress=within)
            except InputError as error:
                if failed is None:
                    raise
                failed(source, error)
                continue
            yield source, result

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
        """Score features (T, D), which errors call `where`; see `Scorer.score`."""
        features = check_features(features, where, self.scorer.width, self.scorer.needs.origin)
        return self.scorer.score(features, candidates, clock, transcript, rivals=rivals)

    def decode(
        self, scores: Scores, candidates: CandidateSet, settings: DecodeSettings | None = None
    ) -> Segmentation:
        """Cut a scored video into segments; settings default to those of the run, and `reject` needs rivals."""
        settings = (settings or DecodeSettings()).over(self.scorer.settings)
        segments = self.named(
            label_runs([], 0, self.label(scores, candidates, settings)), candidates, settings
        )
        return self.segmentation(segments, candidates, settings, scores.clock)

    def label(
        self,
        scores: Scores,
        candidates: CandidateSet,
        settings: DecodeSettings,
        final: NDArray[np.int64] | None = None,
    ) -> FrameLabels:
        """Label the frames of a scored video; `settings` are complete, and `final` is as in `decode_scores`."""
        labels, shares = decode_scores(scores, candidates, settings, final)
        confidence = self.scorer.calibrated(shares)
        if settings.reject is None:
            return FrameLabels(labels, confidence, confidence)
        assert isinstance(self.scorer, Scorer)
        everything = self.scorer.reader.with_run_classes(candidates)  # as in validation
        index = everything.vocabulary.encode(candidates.vocabulary)
        table = (
            class_scores(scores.rivals or scores, everything.with_gamma(settings.gamma))
            .cpu()
            .numpy()
        )  # (T', C')
        among_all = np.clip(
            table[scores.row_of_frame, index[np.minimum(labels, len(index) - 1)]], 0, 1
        )
        sure = self.scorer.calibrated(np.where(labels < len(index), among_all, shares))
        return FrameLabels(labels, confidence, sure)

    def named(
        self, runs: Iterable[LabelRun], candidates: CandidateSet, settings: DecodeSettings
    ) -> list[Segment]:
        """Return runs as segments, `NONE_OF_THESE` where the model is less sure than `reject` asks."""
        names = [*candidates.vocabulary.names, BACKGROUND]  # the last one is that of a threshold
        least = -math.inf
        if settings.reject is not None and self.scorer.confidence is not None:
            least = self.scorer.confidence.least(settings.reject)
        segments = list[Segment]()
        for run in runs:
            if run.sure / run.duration >= least:
                confidence = min(run.confidence / run.duration, 1.0)
                segments.append(Segment(run.start, run.stop, names[run.label], confidence))
            elif segments and segments[-1].label == NONE_OF_THESE:
                segments[-1] = replace(segments[-1], stop=run.stop)
            else:
                segments.append(Segment(run.start, run.stop, NONE_OF_THESE))
        return segments

    def segmentation(
        self,
        segments: Sequence[Segment],
        candidates: CandidateSet,
        settings: DecodeSettings,
        clock: Clock,
    ) -> Segmentation:
        """Return all segments of a video with its clock, the background and the new words of the candidates."""
        background = candidates.vocabulary.background
        if settings.threshold is not None and not background:
            background = (BACKGROUND,)
        if settings.reject is not None:
            background = tuple(dict.fromkeys((*background, NONE_OF_THESE)))
        result = clock.apply_to(Segmentation(tuple(segments)))
        return replace(result, background=background, new_words=candidates.new_words)

    def stream(
        self,
        delay: float = 5.0,
        actions: Sequence[str] | None = None,
        settings: DecodeSettings | None = None,
        *,
        fps: float | None = None,
    ) -> Stream:
        """Begin to cut a video that goes on, as a camera's.

        Args:
            delay: seconds after which a label is final, a row of the model at least; ``math.inf``: at the end.
            actions: as for `segment`.
            settings: as for `segment`.
            fps: rows or pictures a second; None: those of the run, or of ``load(..., fps=)`` for pictures.
        """
        return Stream(self, delay, actions, settings or DecodeSettings(), fps)

    def export(self, path: str | Path) -> Path:
        """Write the models of the run as a file that runs without this package, ``.pt2`` (`torch.export`) or ``.onnx``.

        It maps ``features`` (1, T, D), rows as the models read them (``run.transform(features)[::stride]``), and where
        the head reads names ``text`` (C, S, E) (``choose(actions).text``), to what is decoded outside of it
        (docs/streaming.md): ``frames`` (K, T, C), and for models with update blocks ``tokens`` (K, T, C) and
        ``has_token`` (K, T), of K models. T is any from ``model.tokens`` + 1, C any from 2. Names and settings of
        decoding are in its metadata, "fact_clip". A model that cannot be exported is an InputError.
        """
        if not isinstance(self.scorer, Scorer):
            raise InputError(
                "export",
                "a segmenter without training has no model of its own",
                "export its encoder",
            )
        from fact_clip.inference.export import export

        return export(self.scorer, path)

    def open(self, path: Path) -> tuple[NDArray[Any], Clock]:
        """Read a feature file that fits the model, (T, D), and the times of its rows."""
        return self.scorer.needs.open(path)

    def encoder_for(self, video: Path | str) -> FrameEncoder:
        """Return the encoder that was named, or that of the features which the run was trained on."""
        if self._encoder is None:
            assert isinstance(self.scorer, Scorer)
            name = self.run.encoder
            if (
                name is None or "@" in name
            ):  # a name with @ says what a local checkpoint holds, not where it lies
                name = f", {name}" if name else ""
                problem = (
                    f"a video needs the encoder of the features that the run was trained on{name}"
                )
                raise InputError(video, problem, "name it with --encoder, or give the feature file")
            check_trust(
                self.run, name, self.scorer.reader.trust_encoder, "name it with --encoder, or "
            )
            self._encoder = frame_encoder(name, Runtime(str(self.scorer.device), self.precision))
        return self._encoder


@validated()
def load(
    run_dir: str | Path,
    device: str = "auto",
    *,
    encoder: str | None = None,
    fps: float | None = None,
    window: float | None = None,
    keep_going: bool = False,
    trust_encoder: bool = False,
    precision: Precision = "auto",
) -> Segmenter:
    """Return the segmenter of a run folder; nothing in the folder is executed.

    Args:
        run_dir: the folder, or its ckpts/best.net.
        device: auto, cpu, cuda, cuda:N or mps.
        encoder: frame encoder for videos, as "clip:ViT-B-32/openai"; None: that of the training features.
        fps: rows a second of features that are made from videos; None: those of the run, or 5.
        window: seconds of a video that the model reads in one pass; None: as ``decode.window`` of the run says.
        keep_going: take what decodes of a damaged video, with a warning.
        trust_encoder: load an encoder that the run names by a path (docs/security.md).
        precision: float32, bf16, or auto: bf16 for an encoder of pictures where the device computes in it natively, and
            float32 for the model.

    """
    loaded = Run.open(run_dir)
    run, torch_device = loaded.run, pick_device(device, "device")
    run.check_rate(fps, "--fps")
    frames = (
        None if encoder is None else frame_encoder(encoder, Runtime(str(torch_device), precision))
    )
    if frames is not None and run.encoder not in (None, frames.name):
        raise InputError(
            CommandOption("--encoder"),
            f"{frames.name}, but {run.path} was trained with {run.encoder}",
        )
    extraction = Settings(
        fps=(run.fps or Settings().fps) if fps is None else fps, keep_going=keep_going
    )
    rows = None
    if window is not None:
        if fps is None and run.fps is None and frames is None:
            raise InputError(
                CommandOption("--window"), f"seconds, but {run.path} has no frame rate", "set --fps"
            )
        least = 2 / extraction.fps
        number_of(
            window,
            "--window",
            f"seconds, two rows at {extraction.fps:g} a second at least",
            least,
            1e7,
        )
        rows = round(window * extraction.fps)
    scorer = Scorer(
        loaded, torch_device, window=rows, trust_encoder=trust_encoder, precision=precision
    )
    return Segmenter(scorer, frames, extraction, precision)


@validated()
def load_training_free(
    encoder: str,
    actions: Sequence[str],
    device: str = "auto",
    *,
    prompts: str = "ensemble",
    smoothing: float = 1.0,
    fps: float | None = None,
    keep_going: bool = False,
) -> Segmenter:
    """Return a segmenter that was not trained: an image-text model compares pictures with the names of actions.

    Args:
        encoder: the model, as "clip:ViT-B-32/openai" or "transformers:FOLDER".
        actions: the names; :meth:`Segmenter.segment` takes others.
        device: auto, cpu, cuda, cuda:N or mps.
        prompts: how names are put into sentences, plain, person or ensemble.
        smoothing: seconds over which similarities are averaged.
        fps, keep_going: as in :func:`load`.
    """
    extraction = Settings(fps=Settings().fps if fps is None else fps, keep_going=keep_going)
    scorer = SimilarityScorer(encoder, actions, prompts, smoothing, extraction.fps, device)
    return Segmenter(scorer, scorer.encoder, extraction)
