"""Scores of features by the models of a run, with windows, interleaved strides and ensembles."""

import logging
import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fact_clip.config.rows import frames_per_row
from fact_clip.core import (
    Array,
    Clock,
    Floats,
    InputError,
    Location,
    Reals,
    Vocabulary,
)
from fact_clip.core.arguments import array_of
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.features import check_finite, load_features, read_clock, read_sidecar
from fact_clip.datasets.labels import UNLABELLED, unlabelled
from fact_clip.decoding import (
    Calibration,
    CandidateSet,
    Confidence,
    DecodeSettings,
    ModelScores,
    Voters,
    decode_scores,
    voters,
)
from fact_clip.decoding.fusion import FACTOR_FRAMES, with_factors
from fact_clip.decoding.scores import DecodedFrames
from fact_clip.devices.device import Precision, pick_device, pick_precision
from fact_clip.encoders import FrameEncoder, Runtime, frame_encoder
from fact_clip.inference.candidates import CandidateReader, check_trust
from fact_clip.inference.windows import Pass, Window, cut_windows, grouped
from fact_clip.models import FACT
from fact_clip.models.blocks import convolution_reach
from fact_clip.models.heads import is_open
from fact_clip.runs.run import LoadedRun, Run
from fact_clip.runs.seen import Seen
from fact_clip.video.frames import probe

logger = logging.getLogger(__name__)

# Maximum number of rows in a joint pass over several windows. A longer window is read separately.
# Larger values are not faster on a CPU.
ROWS_AT_ONCE = 1024
ROWS_AT_ONCE_GPU = 16_384


@dataclass(frozen=True)
class FeatureSpec:
    """The features that a model reads.

    Attributes:
        origin: Start of an error message about other features, such as "RUN was trained with".
        layout: Layout of feature files: time or channels first.
        fps: Rows per second, or None for any rate.
        encoder: Name of the frame encoder that made the features, or None if unknown.
        named: Whether feature files must name their encoder.
    """

    origin: str
    layout: Layout = "TD"
    fps: float | None = None
    encoder: str | None = None
    named: bool = False

    def open(
        self, path: Path, layout: Layout | None = None, fps: float | None = None
    ) -> tuple[Array, Clock]:
        """Read a feature file (T, D) and the times of its rows.

        Args:
            path: Path of the file.
            layout: Layout of the file, or None to use the model's layout.
            fps: Rate of the file if its JSON file gives none, or None to use the model's rate.

        Raises:
            InputError: The file has a different rate or encoder.
        """
        layout = layout or self.layout
        features = load_features(path, layout)
        clock = read_clock(path, fps or self.fps, layout)
        sidecar_path = path.with_suffix(".json")
        if self.fps is not None and clock.fps != self.fps:
            problem = f"{clock.fps:g} rows per second, but {self.origin} {self.fps:g}"
            raise InputError(sidecar_path, problem)
        encoder = read_sidecar(path).encoder
        is_checked = self.encoder is not None and (self.named or encoder is not None)
        if is_checked and encoder != self.encoder:
            name = encoder or "an unknown encoder"
            problem = f"features by {name}, but {self.origin} {self.encoder}"
            raise InputError(sidecar_path, problem, "extract them with that encoder")
        if clock.video_fps is None and clock.media and Path(clock.media).is_file():
            try:
                clock = replace(clock, video_fps=probe(clock.media).fps)
            except InputError as error:
                logger.info("the frame rate of the video is unknown: %s", error)
        return features, clock


class FrameScorer(ABC):
    """Scores the frames of a video for a list of candidates, with or without training.

    A subclass sets the attributes that have no default, and defines the abstract methods. The
    defaults suit a scorer without training.

    Attributes:
        run: Trained run, or None without training.
        calibration: Score corrections of the run, if it learned any.
        confidence: Calibrated confidences of the run, if it learned any.
        seen: Record of what the models have seen, if known.
        vocabulary: Classes of the run, or names that the scorer was created with.
        unlabelled: Labels that are not classes.
        settings: Decoding settings for calls that give none.
        adjustable: Names of the decoding settings that have an effect.
        frames_per_score: Number of frames per row of scores.
        fps: Default number of feature rows per second, or None if unknown.
        rows_per_pass: Best number of frames for the model to read at once, or None if unknown.
    """

    run: Run | None = None
    calibration: Calibration | None = None
    confidence: Confidence | None = None
    seen: Seen | None = None
    vocabulary: Vocabulary
    unlabelled: Sequence[str] = (UNLABELLED,)
    settings: DecodeSettings
    adjustable: Sequence[str]
    frames_per_score: int = 1
    fps: float | None = None
    rows_per_pass: int | None = None

    @property
    @abstractmethod
    def width(self) -> int:
        """Return the number of feature columns."""

    @property
    @abstractmethod
    def needs(self) -> FeatureSpec:
        """Return the features that the model reads."""

    def checked(self, features: Any, where: Location) -> Array:
        """Return features as an array of finite rows (T, `width`).

        Args:
            features: Array-like features, (T, D).
            where: Location for errors.

        Raises:
            InputError: The shape or type is wrong, or values are not finite.
        """
        rows = array_of(features, where, f"an array of numbers, (T, {self.width})")
        if rows.ndim != 2 or not len(rows) or rows.shape[1] != self.width:
            expected = f"{self.needs.origin} (T, {self.width})"
            raise InputError(where, f"an array of shape {rows.shape}, but {expected}")
        check_finite(where, rows)
        return rows

    def load(self) -> None:  # noqa: B027, a scorer may have nothing to load
        """Load the encoders that embed and compare names, if the scorer reads names."""

    @abstractmethod
    def choose(self, actions: Sequence[str] | None = None) -> CandidateSet:
        """Return the candidates for some names, or for `vocabulary` if `actions` is None."""

    def calibrated(self, shares: Reals) -> Floats:
        """Return the confidences (T,) of labels with the given scores (T,).

        If no confidences were learned, return the scores.
        """
        if self.confidence is None:
            return shares.astype(np.float64)
        return self.confidence.calibrated(shares)

    def with_run_classes(self, candidates: CandidateSet) -> CandidateSet:
        """Return candidates and all classes of the run, which rejection compares them with."""
        return candidates

    @abstractmethod
    def score_together(
        self,
        videos: Sequence[Reals],
        candidates: CandidateSet,
        clocks: Sequence[Clock],
        transcript: Sequence[str] | None = None,
        *,
        rivals: bool = False,
    ) -> list[ModelScores]:
        """Score several videos for candidates from `choose`. Short videos share a pass.

        Args:
            videos: Raw features (T, D) of each video.
            candidates: Classes for naming frames.
            clocks: Frame times of each video.
            transcript: Actions of a single video in order, for a model that aligns transcripts.
            rivals: Whether to also score all classes of the run.

        Returns:
            The scores of each video. Up to rounding, they equal its scores when scored separately.
        """

    def score(
        self,
        features: Reals,
        candidates: CandidateSet,
        clock: Clock | None = None,
        transcript: Sequence[str] | None = None,
        *,
        rivals: bool = False,
    ) -> ModelScores:
        """Score raw features (T, D) of one video; see `score_together`."""
        clocks = [clock or Clock()]
        (scores,) = self.score_together([features], candidates, clocks, transcript, rivals=rivals)
        return scores

    @abstractmethod
    def frame_encoder(self, video: Location, precision: Precision) -> FrameEncoder:
        """Return the encoder that extracts features from this video."""

    def check_stream(self, fps: float | None) -> None:
        """Raise an InputError if the scorer cannot read an unfinished video at this rate."""
        return


class Scorer(FrameScorer):
    """Scores features with the models of a run.

    Args:
        loaded: Run with its models. The logs of several models' scores are averaged.
        device: Device of the models: auto, cpu, cuda, cuda:N or mps.
        window: Frames that a model reads in one pass, 0 for all, or None for the run's
            ``decode.window`` (see docs/long_videos.md).
        trust_encoder: Whether to load an encoder that the run names by a path. Whoever created the
            run chose that path.
        precision: Precision of matrix products: float32, bf16 or auto (float32).
    """

    run: Run

    def __init__(
        self,
        loaded: LoadedRun,
        device: torch.device | str = "auto",
        *,
        window: int | None = None,
        trust_encoder: bool = False,
        precision: Precision = "auto",
    ) -> None:
        self.run = loaded.run
        self.calibration = loaded.calibration
        self.confidence = loaded.confidence
        self.seen = loaded.seen
        self.device = pick_device(device)
        self.bf16 = pick_precision(precision, self.device, "precision", ()) == "bf16"
        self.models: list[FACT] = [model.to(self.device).eval() for model in loaded.models]
        self.reader = CandidateReader(loaded, self.device, trust_encoder=trust_encoder)
        self.vocabulary = self.run.vocabulary
        self.fps = self.run.fps

        # Groups of settings that scoring reads.
        config = self.run.config
        self._data = config.data
        self._decode = config.decode
        self._has_transcript = config.model.transcript
        self._reach = convolution_reach(config.model)

        self.unlabelled = unlabelled(config.data)
        self.window = config.decode.window if window is None else window
        # The number of rows is a window or, without windows, the length of a training video.
        self.rows_per_pass = self.window or self.run.n_frames
        self.settings = DecodeSettings(switch_penalty=config.decode.switch_penalty)
        self.frames_per_score = frames_per_row(config.data.stride, config.data.interleave)
        self.adjustable = ["threshold", "switch_penalty", "shortest"]
        if is_open(config.model.head) or self.calibration is not None:
            self.adjustable.insert(1, "gamma")
        if self.confidence is not None:
            self.adjustable.append("reject")

    @property
    def model(self) -> FACT:
        """Return the model, or the first model of an ensemble."""
        return self.models[0]

    @property
    def width(self) -> int:
        """Return the number of feature columns."""
        return self.run.transform.input_dim

    @property
    def needs(self) -> FeatureSpec:
        """Return the features that the run was trained with."""
        return FeatureSpec(
            origin=f"{self.run.path} was trained with",
            layout=self.run.layout,
            fps=self.run.fps,
            encoder=self.run.encoder,
        )

    def choose(self, actions: Sequence[str] | None = None) -> CandidateSet:
        """Return the candidates for some names, or for the run's classes if `actions` is None."""
        return self.reader.read(actions)

    def with_run_classes(self, candidates: CandidateSet) -> CandidateSet:
        """Return candidates together with all classes of the run, as in validation."""
        return self.reader.with_run_classes(candidates)

    def load(self) -> None:
        """Load the encoders that embed and compare names, if the head reads text."""
        self.reader.load()

    def frame_encoder(self, video: Location, precision: Precision) -> FrameEncoder:
        """Return the encoder of the features that the run was trained on.

        Raises:
            InputError: The run does not name the encoder, or names it by a path that is not
                trusted.
        """
        name = self.run.encoder
        # A name with @ identifies the content of a local checkpoint, not its path.
        if name is None or "@" in name:
            suffix = f", {name}" if name else ""
            problem = f"a video needs the encoder of the run's training features{suffix}"
            raise InputError(video, problem, "name it with encoder=, or give the feature file")
        check_trust(self.run, name, self.reader.trust_encoder, "name it with encoder=, or ")
        return frame_encoder(name, Runtime(str(self.device), precision))

    def check_stream(self, fps: float | None) -> None:
        """Raise an InputError if the run cannot read an unfinished video at this rate."""
        self.run.check_rate(fps, "fps")
        if self._has_transcript:
            problem = "the model aligns the transcript of a whole video"
            raise InputError(self.run.path, problem, "use segment")

    def predict(
        self,
        features: Reals,
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
    ) -> DecodedFrames:
        """Return the candidate index and the probability of each of T frames.

        Args:
            features: Raw features (T, D).
            actions: Names of the candidates, or None for the classes of the run.
            transcript: Actions in order, for a model that aligns transcripts.
        """
        candidates = self.choose(actions)
        scores = self.score(features, candidates, transcript=transcript)
        return decode_scores(scores, candidates, self.settings)

    @torch.inference_mode()
    def score_together(
        self,
        videos: Sequence[Reals],
        candidates: CandidateSet,
        clocks: Sequence[Clock],
        transcript: Sequence[str] | None = None,
        *,
        rivals: bool = False,
    ) -> list[ModelScores]:
        """Score several videos; see `FrameScorer.score_together`."""
        order = self._order(transcript, max(map(len, videos)))
        voters_of = self._voters(videos, candidates, order)
        rival_scores: Sequence[ModelScores | None] = [None] * len(videos)
        everything = self.with_run_classes(candidates) if rivals else candidates
        if everything.vocabulary.names != candidates.vocabulary.names:
            rival_scores = self.score_together(videos, everything, clocks)
        results = []
        for features, clock, parts, rival in zip(
            videos, clocks, voters_of, rival_scores, strict=True
        ):
            results.append(self._scores(len(features), clock, parts, candidates, rival))
        return results

    def _scores(
        self,
        n_frames: int,
        clock: Clock,
        parts: list[Voters],
        candidates: CandidateSet,
        rivals: ModelScores | None,
    ) -> ModelScores:
        """Return the scores of a video from the voters of each model."""
        decode = self._decode
        if decode.factor_weight and not parts[0].aligned:
            deviation = FACTOR_FRAMES / self.frames_per_score
            parts = [
                with_factors(part, candidates.vocabulary, decode.factor_weight, deviation)
                for part in parts
            ]
        fps = clock.rate or self.fps
        return ModelScores(
            n_frames=n_frames,
            voters=tuple(parts),
            frame_weight=decode.frame_weight,
            stride=self.frames_per_score,
            rate=None if fps is None else fps / self.frames_per_score,
            clock=clock,
            rivals=rivals,
        )

    def _order(self, transcript: Sequence[str] | None, n_frames: int) -> Tensor | None:
        """Return the class indices of a transcript, (M,)."""
        if transcript is None:
            if self._has_transcript:
                raise InputError("transcript", "the model aligns a transcript", "give one")
            return None
        if not self._has_transcript:
            raise InputError("transcript", "the model does not read transcripts", "omit it")
        if len(self._windows(n_frames)) > 1:
            problem = f"{self.window}, but a transcript needs the whole video"
            raise InputError("decode.window", problem, "set it to 0")
        return torch.from_numpy(self.vocabulary.encode(transcript)).to(self.device)

    def _voters(
        self, videos: Sequence[Reals], candidates: CandidateSet, order: Tensor | None
    ) -> list[list[Voters]]:
        """Return the voters of each model for the raw features (T, D) of each video."""
        windows = [self._windows(len(features)) for features in videos]
        data = self._data
        scores_per_row = data.stride if data.interleave else 1
        budget = ROWS_AT_ONCE if self.device.type == "cpu" else ROWS_AT_ONCE_GPU
        # Voters by (model, video, window), with one element for each interleaved start.
        starts: defaultdict[tuple[int, int, Window], list[Voters]] = defaultdict(list)
        for group in grouped(self._passes(videos, windows), budget):
            for number, model in enumerate(self.models):
                inputs = [part.inputs[number] for part in group]
                results = self._read(model, inputs, candidates, order)
                for part, result in zip(group, results, strict=True):
                    starts[number, part.video, part.window].append(result)

        joined: list[list[Voters]] = []
        for video, of_video in enumerate(windows):
            of_models = []
            for number in range(len(self.models)):
                stretches = []
                for window in of_video:
                    first = scores_per_row * (window.first - window.start)
                    last = scores_per_row * (window.last - window.start)
                    read = Voters.interleaved(starts[number, video, window])
                    stretches.append(read.rows(slice(first, last)))
                voter = Voters.joined(stretches)
                self._check(voter)
                of_models.append(voter)
            joined.append(of_models)
        return joined

    def _check(self, voter: Voters) -> None:
        for table in (voter.frames, voter.tokens):
            # This form of the comparison also detects NaN.
            if table is not None and not (table < math.inf).all():
                where = self.run.path / "model.safetensors"
                problem = "scores that are not finite for these features"
                raise InputError(where, problem, "train the model again")

    def _passes(
        self, videos: Sequence[Reals], windows: Sequence[Sequence[Window]]
    ) -> Iterator[Pass]:
        """Yield the passes for each start in each window."""
        data = self._data
        for video, features in enumerate(videos):
            for window in windows[video]:
                start = window.start * data.stride
                stop = min(window.stop * data.stride, len(features))
                if not data.interleave:
                    yield Pass(video, window, self._inputs(features, start, stop, data.stride))
                    continue
                inputs = self._inputs(features, start, stop, 1)
                for first in range(min(data.stride, stop - start)):
                    yield Pass(video, window, [rows[first :: data.stride] for rows in inputs])

    def _inputs(self, features: Reals, start: int, stop: int, step: int) -> list[Tensor]:
        """Return what each model reads from features (T, D), computed in blocks to save memory."""
        blocks: list[list[Tensor]] = [[] for _ in self.models]
        for rows in self.run.transform.blocks(features, start, stop, step):
            values = torch.from_numpy(rows).to(self.device).unsqueeze(0)
            for model, embedded in zip(self.models, blocks, strict=True):
                with self._autocast():
                    embedded.append(model.embed(values)[0])
        return [torch.cat(embedded) for embedded in blocks]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def _windows(self, n_frames: int) -> list[Window]:
        """Return the windows, in rows of the model. Each row covers ``data.stride`` frames."""
        stride = self._data.stride
        window = -(-self.window // stride)
        return cut_windows(-(-n_frames // stride), window, self._overlap(window))

    def _overlap(self, window: int) -> int:
        """Return the rows shared by neighbours: the reach of convolutions, up to half a window."""
        return min(2 * self._reach, window // 2)

    def _read(
        self, model: FACT, inputs: list[Tensor], candidates: CandidateSet, order: Tensor | None
    ) -> list[Voters]:
        """Return the voters of a model for inputs (T', F), padded to the longest input."""
        lengths = torch.tensor(list(map(len, inputs)))
        values = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True)  # (B, T', F)
        mask = None
        if lengths.min() < values.shape[1]:
            mask = torch.arange(values.shape[1]) < lengths.unsqueeze(1)  # (B, T')
            mask = mask.to(self.device)
        transcript = None if order is None else order.expand(len(inputs), -1)  # (B, M)
        with self._autocast():
            output = model(
                values,
                mask=mask,
                text=candidates.scoring.text_embeddings,
                transcript=transcript,
                is_embedded=True,
            )
        batch = voters(output, self._decode.blocks)
        return [batch.unpadded(index, length) for index, length in enumerate(lengths.tolist())]
