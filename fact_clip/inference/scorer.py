"""From features to scores, with the models of a run (windows, interleaved strides, several models) or without any."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.config import Config
from fact_clip.core import Clock, ConfigKey, InputError, Location, Vocabulary
from fact_clip.core.arguments import array_of, names_of, number_of
from fact_clip.core.distributed import Precision, pick_device, pick_precision
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import check_finite, load_features, read_clock, read_sidecar
from fact_clip.datasets.labels import UNLABELLED, unlabelled
from fact_clip.decoding import CandidateSet, DecodeSettings, Scores, Voters, decode_scores, voters
from fact_clip.decoding.fusion import with_factors
from fact_clip.decoding.scores import Labels
from fact_clip.decoding.similarity import similarity_probabilities
from fact_clip.encoders import Runtime, frame_encoder
from fact_clip.encoders.image import ImageTextModel
from fact_clip.encoders.vectors import embed
from fact_clip.inference.candidates import CandidateReader, KeptVectors, check_actions
from fact_clip.models import FACT
from fact_clip.models.blocks import convolution_reach
from fact_clip.run import LoadedRun
from fact_clip.text.prompts import TEMPLATES
from fact_clip.video.decode import probe
from fact_clip.video.extract import Settings

logger = logging.getLogger(__name__)

ROWS_AT_ONCE, ROWS_AT_ONCE_GPU = 1024, 16_384
"""Rows of windows that go through a model together, at most; a longer window goes alone. More is no faster on a CPU."""

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureSpec:
    """The features that a model reads."""

    origin: str  # where this comes from, as errors say it: "RUN was trained with"
    layout: Layout = "TD"  # of their files
    fps: float | None = None  # rows a second; None: any
    encoder: str | None = None  # name of what made them; None: unknown
    named: bool = False  # whether their files must say which encoder made them

    def open(self, path: Path) -> tuple[NDArray[Any], Clock]:
        """Read a feature file, (T, D), and the times of its rows; an InputError for another rate or encoder."""
        features, clock = load_features(path, self.layout), read_clock(path, self.fps, self.layout)
        encoder, beside = read_sidecar(path).encoder, path.with_suffix(".json")
        if self.fps is not None and clock.fps != self.fps:
            raise InputError(beside, f"{clock.fps:g} rows a second, but {self.origin} {self.fps:g}")
        if (
            self.encoder is not None
            and encoder != self.encoder
            and (self.named or encoder is not None)
        ):
            problem = (
                f"features by {encoder or 'an unknown encoder'}, but {self.origin} {self.encoder}"
            )
            raise InputError(beside, problem, "extract them with that encoder")
        if clock.video_fps is None and clock.media is not None and Path(clock.media).is_file():
            try:
                clock = replace(clock, video_fps=probe(clock.media).fps)
            except InputError as error:
                logger.info("the frame rate of the video is unknown: %s", error)
        return features, clock


def check_features(features: Any, where: Location, width: int, origin: str) -> NDArray[Any]:
    """Return features as an array; an InputError unless these are finite rows (T, `width`), as `origin` has them."""
    rows = array_of(features, where, f"an array of numbers, (T, {width})")
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != width:
        raise InputError(where, f"an array of shape {rows.shape}, but {origin} (T, {width})")
    check_finite(where, rows)
    return rows


class Scorer:
    """The models of a run: features in, scores out. `settings` is how the run decodes where nothing else is asked for.

    Args:
        loaded: the run with its models; the scores of several are averaged (the mean of their logs).
        device: where they run: auto, cpu, cuda, cuda:N or mps.
        window: frames that a model reads in one pass, 0 for all; None: as ``decode.window`` of the run says (see
            docs/long_videos.md).
        trust_encoder: load an encoder that the run names by a path; whoever made the run chose that path.
        precision: of the models' products: float32, bf16, or auto, which is float32.
    """

    def __init__(
        self,
        loaded: LoadedRun,
        device: torch.device | str = "auto",
        *,
        window: int | None = None,
        trust_encoder: bool = False,
        precision: Precision = "auto",
    ) -> None:
        self.run, self.calibration, self.confidence = (
            loaded.run,
            loaded.calibration,
            loaded.confidence,
        )
        self.device = device if isinstance(device, torch.device) else pick_device(device, "device")
        self.bf16 = pick_precision(precision, self.device, "--precision", ()) == "bf16"
        self.models: list[FACT] = [model.to(self.device).eval() for model in loaded.models]
        self.reader = CandidateReader(loaded, self.device, trust_encoder=trust_encoder)
        self.vocabulary, self.fps, config = self.run.vocabulary, self.run.fps, self.run.config
        self.unlabelled = unlabelled(config.data)
        self.window = config.decode.window if window is None else window
        self.settings = DecodeSettings(switch_penalty=config.decode.switch_penalty)
        self.frames_per_score = 1 if config.data.interleave else config.data.stride
        if config.decode.training_free:
            text = self.model.text if config.model.is_open else None
            check_joint_space(config, self.width, None if text is None else text.shape[-1])

    @property
    def model(self) -> FACT:
        """The model, or the first of several."""
        return self.models[0]

    @property
    def width(self) -> int:
        """Columns of the features."""
        return self.run.transform.input_dim

    @property
    def needs(self) -> FeatureSpec:
        """The features that the run was trained with."""
        run = self.run
        return FeatureSpec(f"{run.path} was trained with", run.layout, run.fps, run.encoder)

    @property
    def adjustable(self) -> tuple[str, ...]:
        """The settings of decoding that mean something to the run."""
        gamma = ["gamma"] if self.run.config.model.is_open or self.calibration is not None else []
        reject = [] if self.confidence is None else ["reject"]
        return ("threshold", *gamma, "switch_penalty", "shortest", *reject)

    def choose(self, actions: Sequence[str] | None = None) -> CandidateSet:
        """Return the candidates for some names; None: the classes of the run."""
        return self.reader.read(actions)

    def calibrated(self, shares: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the confidences (T,) of the scores (T,) of labels; the scores where the run learned none."""
        return (
            shares.astype(np.float64)
            if self.confidence is None
            else self.confidence.calibrated(shares)
        )

    def load(self) -> None:
        """Load what embeds and compares names, where the head reads text."""
        self.reader.load()

    def predict(
        self,
        features: NDArray[np.floating],
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
    ) -> Labels:
        """Return the index among the candidates and its score for each of T frames, from raw features (T, D)."""
        candidates = self.choose(actions)
        return decode_scores(
            self.score(features, candidates, transcript=transcript), candidates, self.settings
        )

    @torch.inference_mode()
    def score(
        self,
        features: NDArray[np.floating],
        candidates: CandidateSet,
        clock: Clock | None = None,
        transcript: Sequence[str] | None = None,
        *,
        rivals: bool = False,
    ) -> Scores:
        """Return what the models say of raw features (T, D) for some candidates of :meth:`choose`.

        `clock` says when the frames are; `transcript`, for a model that aligns one, has the actions in order. With
        `rivals` all classes of the run are scored beside the candidates, too.
        """
        config, clock = self.run.config, clock or Clock()
        decode, rows_per_pass = config.decode, config.data.stride if config.data.interleave else 1
        read = self._voters(features, candidates, self._order(transcript, len(features)))
        similarity = None
        if not read[0].aligned:
            if decode.factor_weight:
                deviation = decode.factor_frames * rows_per_pass / config.data.stride
                read = [
                    with_factors(voter, candidates.vocabulary, decode.factor_weight, deviation)
                    for voter in read
                ]
            if decode.training_free:
                similarity = self._similarity(features, candidates).to(self.device)
        everything = self.reader.with_run_classes(candidates) if rivals else candidates
        others = None
        if everything.vocabulary.names != candidates.vocabulary.names:
            others = self.score(features, everything, clock)
        weights, stride = (decode.frame_weight, decode.training_free), self.frames_per_score
        rate = (clock.fps or self.fps or 1.0) / stride
        return Scores(len(features), tuple(read), similarity, *weights, stride, rate, clock, others)

    def _order(self, transcript: Sequence[str] | None, n_frames: int) -> Tensor | None:
        """(M,) the classes of a transcript."""
        if self.run.config.model.transcript != (transcript is not None):
            problem = (
                "the model aligns a transcript"
                if transcript is None
                else "the model reads no transcript"
            )
            raise InputError(
                "transcript", problem, "give one" if transcript is None else "leave it out"
            )
        if transcript is None:
            return None
        if len(self._windows(n_frames)) > 1:
            raise InputError(
                ConfigKey("decode.window"), f"{self.window}, and a transcript", "set it to 0"
            )
        return torch.from_numpy(self.vocabulary.encode(transcript)).to(self.device)

    def _voters(
        self, features: NDArray[np.floating], candidates: CandidateSet, order: Tensor | None
    ) -> list[Voters]:
        """What each model says of raw features (T, D), window by window."""
        config, windows = self.run.config, self._windows(len(features))
        # model -> window -> its interleaved starts
        parts: list[list[list[Voters]]] = [[[] for _ in windows] for _ in self.models]
        budget = ROWS_AT_ONCE if self.device.type == "cpu" else ROWS_AT_ONCE_GPU
        for group in grouped(self._passes(features, windows), budget):
            for model, of_model in zip(self.models, parts, strict=True):
                results = self._read(model, [rows for _, rows in group], candidates, order)
                for (index, _), result in zip(group, results, strict=True):
                    of_model[index].append(result)
        scale = (
            config.data.stride if config.data.interleave else 1
        )  # rows of scores for a row of a window
        joined = []
        for of_model in parts:
            stretches = []
            for window, starts in zip(windows, of_model, strict=True):
                first, last = (scale * (row - window.start) for row in (window.first, window.last))
                stretches.append(Voters.interleaved(starts).rows(slice(first, last)))
            joined.append(Voters.joined(stretches))
        tables = [
            table for pair in joined for table in (pair.frames, pair.tokens) if table is not None
        ]
        if not all((table < math.inf).all() for table in tables):  # NaN is not below it either
            problem = "scores that are not finite for these features"
            raise InputError(self.run.path / "model.safetensors", problem, "train the model again")
        return joined

    def _similarity(self, features: NDArray[np.floating], candidates: CandidateSet) -> Tensor:
        """(T', C) training-free probabilities of the candidates of raw features (T, D); 0 for one without a text."""
        config, text = (
            self.run.config,
            self.model.text if candidates.text is None else candidates.text,
        )
        assert text is not None
        phrases = text[:, :1] if "sentence" in config.text.parts else text
        vectors = torch.nn.functional.normalize(phrases.sum(1), dim=-1).cpu().numpy()  # (C, E)
        named, stride = vectors.any(-1), self.frames_per_score
        table = np.zeros((-(-len(features) // stride), len(vectors)), dtype=np.float32)
        if named.any():
            window = round((self.fps or Settings().fps) / stride)  # a second
            shares = similarity_probabilities(
                np.asarray(features)[::stride], vectors[named], window
            )
            table[:, named] = np.maximum(shares, np.finfo(np.float32).tiny)
        return torch.from_numpy(table)

    def _passes(
        self, features: NDArray[np.floating], windows: Sequence[Window]
    ) -> Iterator[tuple[int, Rows]]:
        """What the model reads, window by window: the index of the window and (T', D'), one for each start of it."""
        data, margin = self.run.config.data, max(self.run.transform.context, default=0)
        for index, window in enumerate(windows):
            # context columns see beyond the ends of a window as in one pass
            start, stop = window.start * data.stride, min(window.stop * data.stride, len(features))
            before = min(start, margin)
            frames = self.run.transform(features[start - before : stop + margin])[
                before : before + stop - start
            ]
            for first in range(min(data.stride, len(frames)) if data.interleave else 1):
                yield index, frames[first :: data.stride]

    def _windows(self, n_frames: int) -> list[Window]:
        """In rows of the model, each of which stands for ``data.stride`` frames."""
        config = self.run.config
        stride, overlap = config.data.stride, config.decode.overlap
        window = -(-self.window // stride)
        # unless told, neighbours share what the convolutions see, and at most half a window
        shared = (
            min(2 * convolution_reach(config.model), window // 2)
            if overlap is None
            else -(-overlap // stride)
        )
        return cut_windows(-(-n_frames // stride), window, shared)

    def _read(
        self, model: FACT, passes: Sequence[Rows], candidates: CandidateSet, order: Tensor | None
    ) -> list[Voters]:
        """The voters of a model on several (T', D') at once, padded to the longest; `order` (M,) is a transcript."""
        lengths = torch.tensor([len(rows) for rows in passes])
        values = torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(rows) for rows in passes], batch_first=True
        )
        transcript, mask = None if order is None else order.expand(len(passes), -1), None  # (B, M)
        if lengths.min() < values.shape[1]:
            mask = (torch.arange(values.shape[1]) < lengths.unsqueeze(1)).to(self.device)  # (B, T')
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            output = model(
                values.to(self.device), mask=mask, text=candidates.text, transcript=transcript
            )
        batch = voters(output, self.run.config.decode.blocks)
        return [batch.unpadded(index, length) for index, length in enumerate(lengths.tolist())]


class SimilarityScorer:
    """Compares frames with the names of actions; used as a `Scorer` is, without having been trained on any.

    The list of actions has no order, and not all of them need to occur. A single action always has probability 1, so
    that with a background threshold such a list also needs names for what else happens. Arguments as of
    `load_training_free`; `fps` is the rate of features whose files do not say it.
    """

    run = calibration = confidence = None
    unlabelled = (UNLABELLED,)
    settings = DecodeSettings(shortest=1.0)
    adjustable = ("threshold", "shortest")
    window, frames_per_score = 0, 1

    def __init__(
        self,
        encoder: str,
        actions: Sequence[str],
        prompts: str = "ensemble",
        smoothing: float = 1.0,
        fps: float = 5.0,
        device: str = "auto",
    ) -> None:
        if prompts not in TEMPLATES:
            raise InputError(
                "prompts",
                f"no wording {prompts!r} of names",
                f"choose one of {', '.join(TEMPLATES)}",
            )
        self.prompts, self.smoothing = (
            prompts,
            number_of(smoothing, "smoothing", "seconds, 0 or more", 0, 1e6),
        )
        model = frame_encoder(encoder, Runtime(device))
        if not isinstance(model, ImageTextModel):
            fix = "use a model of images and texts, clip:... or transformers:..."
            raise InputError(f"frame encoder {encoder!r}", "no text side", fix)
        self.encoder, self.fps = model, fps
        self._vectors = KeptVectors(
            lambda names: embed(model, Vocabulary.from_names(names), prompts).classes
        )
        self.vocabulary = self.choose(actions).vocabulary

    @property
    def width(self) -> int:
        """Columns of the features."""
        return len(self._vectors(["something new"])[0])

    @property
    def needs(self) -> FeatureSpec:
        """The features of the model."""
        return FeatureSpec("the model needs", encoder=self.encoder.name, named=True)

    def load(self) -> None:
        """Load both sides of the model; an InputError says what is missing."""
        self.encoder.load()
        self._vectors(["something new"])

    def calibrated(self, shares: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the scores (T,) of labels as confidences (T,)."""
        return shares.astype(np.float64)

    def choose(self, actions: Sequence[str] | None = None) -> CandidateSet:
        """Return the candidates for some names; None: those that the scorer was made with."""
        if actions is None:
            return CandidateSet(self.vocabulary)
        names = names_of(actions, "actions", typed=True)
        check_actions(names)
        return CandidateSet(Vocabulary.from_names(names))

    def score(
        self,
        features: NDArray[np.floating],
        candidates: CandidateSet,
        clock: Clock | None = None,
        transcript: Sequence[str] | None = None,
        *,
        rivals: bool = False,
    ) -> Scores:
        """Return the probabilities (T, K) of raw features (T, D); arguments as for `Scorer.score`."""
        if transcript is not None:
            raise InputError("transcript", "nothing was trained to align one", "leave it out")
        clock = clock or Clock()
        rate, texts = clock.fps or self.fps, np.stack(self._vectors(candidates.vocabulary.names))
        table = similarity_probabilities(features, texts, round(self.smoothing * rate))
        return Scores(len(features), similarity=torch.from_numpy(table), rate=rate, clock=clock)


def check_joint_space(config: Config, width: int, text_width: int | None) -> None:
    """Raise an InputError where ``decode.training_free`` is set and frames and texts do not lie in one space."""
    if config.decode.training_free and width != text_width:
        texts = "no texts" if text_width is None else f"text vectors of {text_width}"
        problem = f"{config.decode.training_free:g}, but features of {width} columns and {texts}"
        fix = "set it to 0, or use features and texts of one model, and a head that reads text"
        raise InputError(ConfigKey("decode.training_free"), problem, fix)


@dataclass(frozen=True)
class Window:
    """Rows [start, stop) that a model reads in one pass, and the rows [first, last) of them that are kept."""

    start: int
    stop: int
    first: int
    last: int


def grouped(passes: Iterable[tuple[int, Rows]], budget: int) -> Iterator[list[tuple[int, Rows]]]:
    """Yield consecutive passes in groups that have at most `budget` rows when padded, or one pass each."""
    group: list[tuple[int, Rows]] = []
    for item in passes:
        longest = max(len(rows) for _, rows in [*group, item])
        if group and longest * (len(group) + 1) > budget:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def cut_windows(n_rows: int, window: int, overlap: int) -> list[Window]:
    """Return windows of equal length over a video; each row is kept from the one in which it lies deepest.

    Two neighbours share `overlap` rows and meet in the middle of them; the last window is moved back to end with the
    video. With a window of 0, or a video that is no longer, there is one for all.
    """
    if window == 0 or n_rows <= window:
        return [Window(0, n_rows, 0, n_rows)]
    if not 0 <= overlap < window:
        raise InputError(
            ConfigKey("decode.overlap"), f"{overlap} rows of a window of {window}", "overlap fewer"
        )
    starts = [*range(0, n_rows - window, window - overlap), n_rows - window]
    cuts = [(left + window + right) // 2 for left, right in pairwise(starts)]
    return [
        Window(start, start + window, first, last)
        for start, first, last in zip(starts, [0, *cuts], [*cuts, n_rows], strict=True)
    ]
