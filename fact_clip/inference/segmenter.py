"""The front door: an array, a feature file or a video in, segments out."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.config import Config
from fact_clip.core import InputError, Segmentation, stretch
from fact_clip.core.arguments import number_of, whole_of
from fact_clip.core.clock import Clock
from fact_clip.core.distributed import pick_device
from fact_clip.core.errors import CommandOption, ConfigKey
from fact_clip.core.public import public, public_class
from fact_clip.core.segments import MOST_FRAMES
from fact_clip.datasets.features import load_features, read_clock, read_sidecar
from fact_clip.datasets.layout import unlabelled
from fact_clip.decoding import (
    Calibration,
    Confidence,
    Voters,
    decode_switching,
    fuse,
    fuse_gammas,
    mix,
    similarity_probabilities,
    voters,
    with_factors,
)
from fact_clip.encoders import FrameEncoder, Runtime, frame_encoder
from fact_clip.inference.candidates import Candidates, Choice, check_trust
from fact_clip.inference.prepared import Adjust, PreparedScores, absorb_short, raise_background
from fact_clip.inference.sources import SegmentsMany, check_features
from fact_clip.inference.windows import Window, cut_windows, grouped, overlap_of
from fact_clip.models import FACT
from fact_clip.run import Run
from fact_clip.video.extract import Settings

ROWS_AT_ONCE, ROWS_AT_ONCE_GPU = 1024, 16_384
"""Rows of windows that go through a model together, at most; a longer window goes alone. More is no faster on a CPU."""

TEMPERATURE = 0.01
"""Divides cosines before the softmax over actions; CLIP was trained at it."""

_VALUES = 4_000_000  # scores that are decoded at once where one video is decoded in several ways: 32 MB in float64

logger = logging.getLogger(__name__)


@public_class
class Segmenter(SegmentsMany):
    """A trained model with its vocabulary and feature statistics. Made by :func:`load`.

    Args:
        run: the description of the run folder.
        models: its model, or several whose scores are averaged (the mean of their logs); they read the same texts.
        device: where they run: auto, cpu, cuda, cuda:N or mps.
        calibration: of a model that was trained with classes held out, else None.
        confidence: what scores are worth, learned on validation videos; None: scores as they are.
        encoder: what turns videos into features; None: the encoder of the training features, where the run names it.
        extraction: how videos are read; None: at the rate of the run.
        trust_encoder: load an encoder that the run names by a path; whoever made the run chose that path.

    Attributes:
        window: frames that the model reads in one pass, 0 for all; at first ``decode.window`` of the run. A longer
            video goes through in windows that overlap, and all scores are decoded together; see docs/long_videos.md.
    """

    def __init__(
        self,
        run: Run,
        models: FACT | Sequence[FACT],
        device: torch.device | str = "auto",
        calibration: Calibration | None = None,
        *,
        confidence: Confidence | None = None,
        encoder: FrameEncoder | None = None,
        extraction: Settings | None = None,
        trust_encoder: bool = False,
    ) -> None:
        self.run, self.confidence, self.trust_encoder = run, confidence, trust_encoder
        self.device = device if isinstance(device, torch.device) else pick_device(device, "device")
        self.models = [each.to(self.device).eval() for each in (models if isinstance(models, Sequence) else [models])]
        self.vocabulary, self.fps, self.unlabelled = run.vocabulary, run.fps, unlabelled(run.config.data)
        self.window = run.config.decode.window
        self.extraction = extraction or Settings(fps=run.fps or Settings().fps)
        self._encoder = encoder
        self.candidates = Candidates(run, self.model, self.device, calibration, trusted=trust_encoder)

    @property
    def model(self) -> FACT:
        """The model, or the first of several."""
        return self.models[0]

    @property
    def calibration(self) -> Calibration | None:
        """That of a model which was trained with classes held out."""
        return self.candidates.calibration

    def _segment(
        self,
        features: NDArray[np.floating],
        where: str,
        clock: Clock,
        actions: Sequence[str] | None,
        transcript: Sequence[str] | None,
        adjust: Adjust,
    ) -> Segmentation:
        return self.prepare(features, where, clock, actions, transcript).segmentation(adjust)

    def prepare(
        self,
        features: NDArray[np.floating],
        where: str,
        clock: Clock,
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
    ) -> PreparedScores:
        """The scores of a video, which :meth:`PreparedScores.segmentation` decodes; see `SegmentsMany.prepare`."""
        features = check_features(features, where, self.run.transform.input_dim, f"{self.run.path} was trained with")
        choice = self.choose(actions)
        return PreparedScores(self, self.voters(features, choice, transcript), choice, features, clock)

    def _open(self, path: Path) -> tuple[NDArray[Any], Clock]:
        features, clock = load_features(path, self.run.layout), read_clock(path, self.fps, self.run.layout)
        if self.fps is not None and clock.fps != self.fps:
            expected = f"{self.fps:g}, as {self.run.path} was trained with"
            raise InputError(path.with_suffix(".json"), f"{clock.fps:g} rows a second; expected {expected}")
        made_by = read_sidecar(path).encoder
        if made_by is not None and self.run.encoder not in (None, made_by):
            expected = f"{self.run.encoder}, as {self.run.path} was trained with"
            raise InputError(
                path.with_suffix(".json"), f"features by {made_by}; expected {expected}", "extract them by that encoder"
            )
        return features, clock

    def encoder_for(self, video: Path) -> FrameEncoder:
        """The encoder that was named, or that of the features which the run was trained on."""
        if self._encoder is None:
            known = self.run.encoder
            if known is None or "@" in known:  # a name with @ says what a local checkpoint holds, not where it lies
                wanted = f"the encoder of the features that the run was trained on{f', {known}' if known else ''}"
                raise InputError(
                    video, f"a video; expected {wanted}", "name it with --encoder, or give the feature file"
                )
            check_trust(self.run, known, self.trust_encoder, "name it with --encoder, or ")
            self._encoder = frame_encoder(known, Runtime(str(self.device)))
        return self._encoder

    def choose(self, actions: Sequence[str] | None = None) -> Choice:
        """The candidates for `actions` (see :meth:`segment`), with the calibration that the run was trained with."""
        return self.candidates.choose(actions)

    def load(self) -> None:
        """Load what embeds and compares names, where the head reads text."""
        self.candidates.load()

    def predict(
        self,
        features: NDArray[np.floating],
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Index among the candidates and its score for each of T frames, (T,) and (T,), from raw features (T, D)."""
        features = check_features(
            features, "features", self.run.transform.input_dim, f"{self.run.path} was trained with"
        )
        choice = self.choose(actions)
        return self.decode(self.voters(features, choice, transcript), choice, len(features))

    @torch.inference_mode()
    def voters(
        self, features: NDArray[np.floating], choice: Choice, transcript: Sequence[str] | None = None
    ) -> list[Voters]:
        """What each model says of raw features (T, D), window by window: all that decoding needs of them."""
        config, windows = self.run.config, self._windows(len(features))
        if config.model.transcript != (transcript is not None):
            found = "a model that aligns a transcript" if transcript is None else "a model without model.transcript"
            raise InputError("transcript", f"{found}; expected a transcript exactly where the model reads one")
        if len(windows) > 1 and transcript is not None:
            todo = "0: a transcript needs the whole video"
            raise InputError(ConfigKey("decode.window"), f"{self.window}, and a transcript; expected {todo}")
        order = None if transcript is None else torch.from_numpy(self.vocabulary.encode(transcript)).to(self.device)
        # model -> window -> its interleaved starts
        found_by: list[list[list[Voters]]] = [[[] for _ in windows] for _ in self.models]
        budget = ROWS_AT_ONCE if self.device.type == "cpu" else ROWS_AT_ONCE_GPU
        for group in grouped(self._passes(features, windows), budget):
            for model, of_model in zip(self.models, found_by, strict=True):
                read = self._read(model, [rows for _, rows in group], choice, order)
                for (place, _), each in zip(group, read, strict=True):
                    of_model[place].append(each)
        scale = config.data.stride if config.data.interleave else 1  # rows of scores for a row of a window
        kept = [slice(scale * (each.first - each.start), scale * (each.last - each.start)) for each in windows]
        joined = [
            Voters.joined([Voters.interleaved(starts).rows(own) for starts, own in zip(of_model, kept, strict=True)])
            for of_model in found_by
        ]
        decode = config.decode
        if decode.factor_weight and not joined[0].aligned:
            deviation = decode.factor_frames * scale / config.data.stride
            joined = [with_factors(each, choice.vocabulary, decode.factor_weight, deviation) for each in joined]
        if not decode.training_free or joined[0].aligned:
            return joined
        similarity = self._similarity(features, choice).to(self.device).unsqueeze(0)
        return [replace(each, similarity=similarity) for each in joined]

    def _similarity(self, features: NDArray[np.floating], choice: Choice) -> Tensor:
        """(T', C) training-free probabilities of the candidates of raw features (T, D); 0 for one without a text."""
        config, text = self.run.config, self.model.text if choice.text is None else choice.text
        check_joint_space(config, self.run.transform.input_dim, None if text is None else text.shape[-1])
        assert text is not None
        whole = text[:, :1] if "sentence" in config.text.parts else text
        vectors = torch.nn.functional.normalize(whole.sum(1), dim=-1).cpu().numpy()  # (C, E)
        named, stride = vectors.any(-1), 1 if config.data.interleave else config.data.stride
        found = np.zeros((-(-len(features) // stride), len(vectors)), dtype=np.float32)
        if named.any():
            window = round((self.fps or Settings().fps) / stride)  # a second
            rows = np.asarray(features)[::stride]
            own = similarity_probabilities(rows, vectors[named], window, TEMPERATURE)
            found[:, named] = np.maximum(own, np.finfo(np.float32).tiny)
        return torch.from_numpy(found)

    def _passes(
        self, features: NDArray[np.floating], windows: Sequence[Window]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """What the model reads, window by window: the place of the window and (T', D'), one for each start of it."""
        data = self.run.config.data
        for place, window in enumerate(windows):
            frames = self._input(features, window)
            for start in range(min(data.stride, len(frames)) if data.interleave else 1):
                yield place, frames[start :: data.stride]

    def _windows(self, n_frames: int) -> list[Window]:
        """In rows of the model, each of which stands for ``data.stride`` frames."""
        config = self.run.config
        stride, overlap = config.data.stride, config.decode.overlap
        window = -(-whole_of(self.window, "window", 0, MOST_FRAMES) // stride)
        shared = overlap_of(config.model, window) if overlap is None else -(-overlap // stride)
        return cut_windows(-(-n_frames // stride), window, shared)

    def _input(self, features: NDArray[np.floating], window: Window) -> NDArray[np.float32]:
        """The frames of a window as the model takes them; context columns see beyond its ends as in one pass."""
        stride, margin = self.run.config.data.stride, max(self.run.transform.context, default=0)
        start, stop = window.start * stride, min(window.stop * stride, len(features))
        before = min(start, margin)
        return self.run.transform(features[start - before : stop + margin])[before : before + stop - start]

    def _read(
        self, model: FACT, passes: Sequence[NDArray[np.float32]], choice: Choice, order: Tensor | None
    ) -> list[Voters]:
        """The voters of a model on several (T', D') at once, padded to the longest; `order` (M,) is a transcript."""
        lengths = torch.tensor([len(rows) for rows in passes])
        values = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(rows) for rows in passes], batch_first=True)
        how = {"text": choice.text, "transcript": None if order is None else order.expand(len(passes), -1)}  # (B, M)
        if lengths.min() < values.shape[1]:
            how["mask"] = (torch.arange(values.shape[1]) < lengths.unsqueeze(1)).to(self.device)  # (B, T')
        whole = voters(model(values.to(self.device), **how), self.run.config.decode.blocks)
        return [whole.of_video(place, length) for place, length in enumerate(lengths.tolist())]

    @torch.inference_mode()
    def scores(self, of: Sequence[Voters], choice: Choice) -> Tensor:
        """(T', C) class probabilities of the candidates before decoding: of one model, or the mean over several."""
        offset = None if choice.offset is None else torch.from_numpy(choice.offset).float().to(self.device)
        scores = _mean([fuse(each, self.run.config.decode.frame_weight, offset)[0] for each in of])
        if not scores.isfinite().all():
            found, expected = "scores that are not finite for these features", "weights and features of usual size"
            raise InputError(
                self.run.path / "model.safetensors", f"{found}; expected {expected}", "train the model again"
            )
        return self._mixed(scores, of, choice)

    def _mixed(self, scores: Tensor, of: Sequence[Voters], choice: Choice) -> Tensor:
        """The scores (..., T', C) mixed with the training-free ones, where the run asks for it."""
        similarity = of[0].similarity
        if similarity is None:
            return scores
        allowed = torch.from_numpy(~choice.ruled_out).to(similarity.device)
        return mix(scores, similarity[0] * allowed, self.run.config.decode.training_free)

    def frame_scores(
        self, of: Sequence[Voters], choice: Choice, n_frames: int, gamma: float | None = None
    ) -> NDArray[np.floating]:
        """(n_frames, C) the same for each of the frames that the voters were made from; `gamma` as in `Adjust`."""
        scores = self.scores(of, self._with_gamma(choice, gamma)).cpu().numpy()
        return scores[self._row_of_frame(len(scores), n_frames)]

    def calibrated(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """The scores (T,) of decoded labels as confidences (T,); as they are where the run has no validation videos."""
        return scores.astype(np.float64) if self.confidence is None else self.confidence.calibrated(scores)

    def least_confidence(self, reject: float) -> float:
        """See `SegmentsMany`; the confidences of the validation videos were kept when the run was trained."""
        if self.confidence is None:
            todo = "train with data.validation above 0, without model.transcript"
            raise InputError(
                "reject", f"{self.run.path} has no confidence.json; expected a run with validation videos", todo
            )
        return self.confidence.least(reject)

    @torch.inference_mode()
    def decode(
        self,
        of: Sequence[Voters],
        choice: Choice,
        n_frames: int,
        adjust: Adjust | None = None,
        fps: float | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Index among the candidates and its score for each of the `n_frames` frames that the voters were made from.

        This is the one way from scores to labels: `segment`, validation, evaluation and calibration all decode here.
        `adjust` changes how (with a threshold and no background among the candidates, index C is the background); its
        seconds are those of frames at `fps`.
        """
        asked = adjust or Adjust()
        scores = self.scores(of, self._with_gamma(choice, asked.gamma))
        ruled_out = choice.ruled_out
        if asked.threshold is not None:
            values, background = scores.cpu().numpy(), choice.vocabulary.background_indices
            scores = torch.from_numpy(raise_background(values, background, asked.threshold))
            ruled_out = np.append(ruled_out, [False] * (scores.shape[1] - len(ruled_out)))
        labels = self._switching(scores.clone(), ruled_out, asked.switch_penalty)
        found = scores.clamp(0, 1).cpu().numpy()  # the rounding of a mean may end a little above one
        if asked.shortest:
            data = self.run.config.data
            rate = (fps or self.fps or 1.0) / (1 if data.interleave else data.stride)
            labels = absorb_short(labels, found, math.ceil(asked.shortest * rate - 1e-6))
        confidence = found[np.arange(len(labels)), labels]
        index = self._row_of_frame(len(labels), n_frames)
        return labels[index], confidence[index]

    @torch.inference_mode()
    def votes(
        self, of: Sequence[Voters], choice: Choice, n_frames: int
    ) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """What each voter alone says: "frames" and, where there are any, "tokens" -> as `decode`, frame by frame.

        Where all tokens are null the token voter has no say, and the row shows the frame voter.
        """
        offset = None if choice.offset is None else torch.from_numpy(choice.offset).float().to(self.device)
        weights = {"frames": 1.0, "tokens": 0.0} if of[0].tokens is not None else {"frames": 1.0}
        index, found = self._row_of_frame(of[0].frames.shape[1], n_frames), {}
        for name, weight in weights.items():
            best = _mean([fuse(each, weight, offset)[0] for each in of]).max(-1)
            found[name] = best.indices.cpu().numpy()[index], best.values.clamp(0, 1).cpu().numpy()[index]
        return found

    @torch.inference_mode()
    def decode_gammas(
        self, of: Sequence[Voters], choice: Choice, seen: NDArray[np.bool_], gammas: Sequence[float], n_frames: int
    ) -> NDArray[np.int64]:
        """(G, T) the labels of `decode` with each of G gammas subtracted from the scores of the `seen` classes (C,).

        All are decoded together, as many at once as ``_VALUES`` scores allow.
        """
        n_rows, n_classes = of[0].frames.shape[1:]
        index = self._row_of_frame(n_rows, n_frames)
        if of[0].aligned:  # they use no offset
            return np.tile(self.decode(of, choice, n_frames)[0], (len(gammas), 1))
        offset = torch.from_numpy(np.zeros(n_classes) if choice.offset is None else choice.offset).float()
        subtracted, weight = torch.from_numpy(seen).to(self.device), self.run.config.decode.frame_weight
        parts = []
        for some in torch.tensor(gammas, device=self.device).split(max(_VALUES // (n_rows * n_classes), 1)):
            scores = _mean([fuse_gammas(each, weight, offset.to(self.device), subtracted, some) for each in of])
            parts.append(self._switching(self._mixed(scores, of, choice), choice.ruled_out))
        return np.concatenate(parts)[:, index]

    def _with_gamma(self, choice: Choice, gamma: float | None) -> Choice:
        """The candidates with another gamma; without a calibration it is taken from the classes of the run."""
        if gamma is None:
            return choice
        number_of(gamma, "gamma", "nats")
        own = self.calibration
        known, before = (self.vocabulary.names, 0.0) if own is None else (own.seen, own.gamma)
        seen = np.array([name in known for name in choice.vocabulary.names])
        offset = np.zeros(len(seen)) if choice.offset is None else choice.offset
        return replace(choice, offset=offset - (gamma - before) * seen)

    def _switching(
        self, scores: Tensor, ruled_out: NDArray[np.bool_], penalty: float | None = None
    ) -> NDArray[np.int64]:
        """Scores (T', C) or (G, T', C), which are overwritten, to labels (T',) or (G, T'); `ruled_out` is (C,)."""
        penalty = self.run.config.decode.switch_penalty if penalty is None else penalty
        if penalty:
            # A score that has become zero still stays above what is ruled out.
            scores = scores.clamp_(min=torch.finfo(scores.dtype).tiny).log_()
        if ruled_out.any():
            scores[..., torch.from_numpy(ruled_out)] = -math.inf
        return decode_switching(scores.cpu().numpy(), penalty)

    def _row_of_frame(self, n_rows: int, n_frames: int) -> NDArray[np.int64]:
        """(n_frames,) the row of scores that each frame is named by."""
        data = self.run.config.data
        return stretch(np.arange(n_rows), 1 if data.interleave else data.stride, n_frames)


def _mean(found: Sequence[Tensor]) -> Tensor:
    """The scores (..., C) of one model, or the mean of the logs over several, as probabilities."""
    if len(found) == 1:
        return found[0]
    return torch.stack(list(found)).clamp(min=torch.finfo(found[0].dtype).tiny).log().mean(0).softmax(-1)


def check_joint_space(config: Config, width: int, text_width: int | None) -> None:
    """An InputError where ``decode.training_free`` is asked for and frames and texts do not lie in one space."""
    if not config.decode.training_free or width == text_width:
        return
    told = "no texts" if text_width is None else f"text vectors of {text_width}"
    found = f"{config.decode.training_free:g}, features of {width} columns and {told}"
    raise InputError(
        ConfigKey("decode.training_free"),
        f"{found}; expected 0, or features and texts of one model, and a head that reads text",
    )


def warn_of_no_calibration(run: Run, calibration: Calibration | None) -> None:
    """Warn where a run with classes held out has lost its calibration."""
    if calibration is None and run.config.data.holdout is not None and run.config.model.is_open:
        logger.warning("no calibration.json in %s, so gamma is 0 and no prior is taken off", run.path)


@public
def load(
    run_dir: str | Path,
    device: str = "auto",
    *,
    encoder: str | None = None,
    fps: float | None = None,
    window: float | None = None,
    keep_going: bool = False,
    trust_encoder: bool = False,
) -> Segmenter:
    """The segmenter of a run folder; nothing in the folder is executed.

    Args:
        run_dir: the folder, or its ckpts/best.net.
        device: auto, cpu, cuda, cuda:N or mps.
        encoder: frame encoder for videos, as "clip:ViT-B-32/openai"; None: that of the training features.
        fps: rows a second of features that are made from videos; None: those of the run, or 5.
        window: seconds of a video that the model reads in one pass; None: as ``decode.window`` of the run says.
        keep_going: take what decodes of a damaged video, with a warning.
        trust_encoder: load an encoder that the run names by a path (docs/reliability.md).

    """
    run = Run.read(run_dir)
    for name, value in (("--fps", fps), ("--window", window)):
        if value is not None:
            number_of(value, name)
    if fps is not None and run.fps is not None and fps != run.fps:
        raise InputError(CommandOption("--fps"), f"{fps:g}; expected {run.fps:g}, as {run.path} was trained with")
    place = pick_device(device, "device")
    given = None if encoder is None else frame_encoder(encoder, Runtime(str(place)))
    if given is not None and run.encoder not in (None, given.name):
        raise InputError(
            CommandOption("--encoder"), f"{given.name}; expected {run.encoder}, as {run.path} was trained with"
        )
    rate = run.fps if fps is None else fps
    settings = Settings(fps=Settings().fps if rate is None else rate, keep_going=keep_going)
    calibration = Calibration.read(run.path / "calibration.json", run.vocabulary)
    confidence = Confidence.read(run.path / "confidence.json")
    warn_of_no_calibration(run, calibration)
    segmenter = Segmenter(
        run,
        run.models(),
        place,
        calibration,
        confidence=confidence,
        encoder=given,
        extraction=settings,
        trust_encoder=trust_encoder,
    )
    if window is not None:
        rate = settings.fps if rate is None and given else rate
        if rate is None:
            raise InputError(
                CommandOption("--window"),
                f"seconds, and no frame rate in {run.path}; expected frames a second",
                "set --fps",
            )
        if not 0 < window <= 1e7:
            raise InputError(CommandOption("--window"), f"{window:g}; expected seconds, more than 0 and at most 1e+07")
        if window * rate < 2:
            raise InputError(
                CommandOption("--window"), f"{window:g} seconds; expected two rows or more, at {rate:g} a second"
            )
        segmenter.window = round(window * rate)
    return segmenter
