"""The front door: features in, segments out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fact_clip.checkpoint import Run, load_models, open_run
from fact_clip.core import InputError, Segmentation, Vocabulary, stretch
from fact_clip.core.clock import Clock
from fact_clip.datasets.benchmarks import parse_factors
from fact_clip.datasets.features import check_finite, load_features, read_clock
from fact_clip.decoding import Calibration, decode_switching, frame_scores
from fact_clip.encoders.cache import class_texts
from fact_clip.inference.windows import Window, cut_windows, overlap_of
from fact_clip.models import FACT, Output


@dataclass(frozen=True)
class Choice:
    """What frames are named with.

    Attributes:
        vocabulary: the candidates; class indices count from its start.
        text: (C, S, E) for a head that reads text; None: that of the training vocabulary.
        offset: (C,) added to the log scores before the softmax (see :class:`fact_clip.decoding.Calibration`), -inf for
            what is no candidate; None: nothing.
    """

    vocabulary: Vocabulary
    text: Tensor | None = None
    offset: NDArray[np.float64] | None = None

    def among(self, vocabulary: Vocabulary) -> tuple[Vocabulary, NDArray[np.int64]]:
        """Another vocabulary with the candidates that it lacks behind its classes, and each candidate's place in it."""
        own = self.vocabulary
        new = [name for name in own if name not in vocabulary]
        factors = dict(zip(own.names, own.factors, strict=True))
        whole = vocabulary.extended(new, factors={name: factors[name] for name in new}) if new else vocabulary
        return whole, whole.encode(own.names)


class Segmenter:
    """A trained model with its vocabulary and feature statistics.

    Args:
        run: the run folder's description.
        models: its model, or several whose scores are averaged (the mean of the logs); they read the same texts.
        device: where they run.
        calibration: of a model that was trained with classes held out, else None.

    Attributes:
        window: frames that the model reads in one pass, 0 for all; at first ``decode.window`` of the run. A longer
            video goes through in windows that overlap (``decode.overlap``), each frame is scored by the window in which
            it lies deepest, and all scores are decoded together. In memory are one window at a time and the scores,
            O(T * C). The result is that of one pass where the overlap covers what a frame's score depends on: twice
            :func:`fact_clip.windows.reach` for a model of the input block alone. Update blocks look at the whole video
            (attention, GRU over segments), so that with them windows are an approximation.
    """

    def __init__(
        self,
        run: Run,
        models: FACT | Sequence[FACT],
        device: torch.device | str = "cpu",
        calibration: Calibration | None = None,
    ) -> None:
        self.run, self.device, self.calibration = run, torch.device(device), calibration
        self.models = [each.to(self.device).eval() for each in (models if isinstance(models, Sequence) else [models])]
        self.vocabulary, self.fps = run.vocabulary, run.fps
        self.window = run.config.decode.window
        self._choices: dict[tuple[str, ...] | None, Choice] = {}  # new names are embedded once, not once a video

    @property
    def model(self) -> FACT:
        """The model, or the first of several."""
        return self.models[0]

    def segment(
        self,
        features: NDArray[np.floating] | str | Path,
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
    ) -> Segmentation:
        """Cut one video into actions.

        Args:
            features: (T, D) raw features, or the path of a feature file in the layout of the training data. NAME.json
                beside it may tell frame times and the video (:class:`fact_clip.data.annotations.Clock`).
            actions: candidates; None: the training vocabulary. A model with head "text" takes any names, others only
                names of their vocabulary. The background is a candidate always.
            transcript: the actions in order, for a model that aligns transcripts (``model.transcript``).

        Returns:
            A segmentation of all T frames, with a confidence (mean score of the named class) a segment.

        Raises:
            InputError: a wrong width, NaN, an unreadable file, another frame rate than in training, or a name that the
                model does not know.
        """
        where, clock = "features", Clock(fps=self.fps)
        if isinstance(features, str | Path):
            where, clock = str(features), self._clock(Path(features))
            features = load_features(features, self.run.layout)
        width = self.run.transform.input_dim
        if features.ndim != 2 or not len(features):
            raise InputError(where, f"an array of shape {features.shape}", f"(T, {width}), at least one frame")
        if features.shape[1] != width:
            expected = f"{width}, as {self.run.path} was trained with"
            raise InputError(where, f"{features.shape[1]} columns (of {features.shape[0]} frames)", expected)
        check_finite(where, features)
        choice = self.choose(actions)
        labels, confidence = self._predict(features, choice, transcript)
        return clock.put_on(Segmentation.from_frames(choice.vocabulary.decode(labels), None, confidence.tolist()))

    def _clock(self, path: Path) -> Clock:
        clock = read_clock(path, self.fps, self.run.layout)
        if self.fps is not None and clock.fps != self.fps:
            expected = f"{self.fps:g}, as {self.run.path} was trained with"
            raise InputError(path.with_suffix(".json"), f"{clock.fps:g} rows a second", expected)
        return clock

    def choose(self, actions: Sequence[str] | None = None) -> Choice:
        """The candidates for `actions` (see :meth:`segment`), with the calibration that the run was trained with."""
        if isinstance(actions, str):
            raise InputError("actions", f"one text, {actions!r}", "a list of names")
        key = None if actions is None else tuple(actions)
        if key not in self._choices:
            self._choices[key] = self._chosen(key)
        return self._choices[key]

    def _chosen(self, actions: tuple[str, ...] | None) -> Choice:
        known = self.vocabulary
        if actions is None:
            return Choice(known, None, self._offset(known))
        if not actions:
            raise InputError("actions", "none", "at least one")
        if self.run.config.model.head != "text":
            ruled_out = np.full(len(known), -np.inf)
            ruled_out[[*known.encode(actions), *known.background_indices]] = 0
            return Choice(known, None, ruled_out)
        names = dict.fromkeys([*actions, *known.background])
        new = [name for name in names if name not in known]
        whole, text = known, self.models[0].text
        assert text is not None
        if new:
            config = self.run.config
            whole = known.extended(new, factors=parse_factors(config.data.name, known))
            # Known names keep the vectors that they were trained with.
            added = torch.from_numpy(class_texts(config.text, whole.subset(new)))
            text = torch.cat([text, added.to(text)])
        vocabulary = whole.subset(names)
        return Choice(vocabulary, text[whole.encode(names).tolist()], self._offset(vocabulary))

    def _offset(self, vocabulary: Vocabulary) -> NDArray[np.float64] | None:
        return None if self.calibration is None else self.calibration.offset(vocabulary)

    def predict(
        self,
        features: NDArray[np.floating],
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Index among the candidates and its score for each of T frames, (T,) and (T,), from raw features (T, D)."""
        return self._predict(features, self.choose(actions), transcript)

    def _predict(
        self, features: NDArray[np.floating], choice: Choice, transcript: Sequence[str] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Window by window, then one decoding of all scores."""
        windows = self._windows(len(features))
        if len(windows) > 1 and transcript is not None:
            raise InputError(
                "decode.window", f"{self.window}, and a transcript", "0: a transcript needs the whole video"
            )
        data, parts = self.run.config.data, []
        rows = data.stride if data.interleave else 1  # of scores, for a row of a window
        for each in windows:
            scores = self._scores(self._outputs(self._input(features, each), choice, transcript), choice)
            parts.append(scores[rows * (each.first - each.start) : rows * (each.last - each.start)])
        return self._decode(torch.cat(parts), choice, len(features))

    def _windows(self, n_frames: int) -> list[Window]:
        """In rows of the model, of which each stands for ``data.stride`` frames."""
        config = self.run.config
        stride, overlap = config.data.stride, config.decode.overlap
        window = -(-self.window // stride)
        shared = overlap_of(config.model, window) if overlap is None else -(-overlap // stride)
        return cut_windows(-(-n_frames // stride), window, shared)

    def _input(self, features: NDArray[np.floating], window: Window) -> NDArray[np.float32]:
        """A window's frames as the model takes them; context columns see beyond its ends as they would in one pass."""
        stride, margin = self.run.config.data.stride, max(self.run.transform.context, default=0)
        start, stop = window.start * stride, min(window.stop * stride, len(features))
        before = min(start, margin)
        return self.run.transform(features[start - before : stop + margin])[before : before + stop - start]

    @torch.inference_mode()
    def outputs(
        self, features: NDArray[np.floating], choice: Choice, transcript: Sequence[str] | None = None
    ) -> tuple[Output, ...]:
        """The output of each model on raw features (T, D) in one pass, a batch of one; with ``data.interleave`` one a
        start for each.
        """
        return self._outputs(self.run.transform(features), choice, transcript)

    @torch.inference_mode()
    def _outputs(
        self, frames: NDArray[np.float32], choice: Choice, transcript: Sequence[str] | None
    ) -> tuple[Output, ...]:
        if self.run.config.model.transcript != (transcript is not None):
            asked = "a model that aligns a transcript" if transcript is None else "a model without model.transcript"
            raise InputError("transcript", asked, "a transcript exactly where the model reads one")
        order = None if transcript is None else torch.from_numpy(self.vocabulary.encode(transcript)).unsqueeze(0)
        order = None if order is None else order.to(self.device)
        values, data = torch.from_numpy(frames).unsqueeze(0).to(self.device), self.run.config.data  # (1, T, D')
        starts = range(min(data.stride, len(frames)) if data.interleave else 1)
        return tuple(
            model(values[:, start :: data.stride], text=choice.text, transcript=order)
            for model in self.models
            for start in starts
        )

    @torch.inference_mode()
    def decode(
        self, outputs: Sequence[Output], choice: Choice, n_frames: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Class index and its score for each of the `n_frames` frames that the outputs were made from."""
        return self._decode(self._scores(outputs, choice), choice, n_frames)

    def scores(self, outputs: Sequence[Output], choice: Choice) -> NDArray[np.float32]:
        """(T', C) class probabilities of the candidates before decoding, none of them zero."""
        scores = self._scores(outputs, choice)
        return scores.clamp(min=torch.finfo(scores.dtype).tiny).cpu().numpy()

    @torch.inference_mode()
    def _scores(self, outputs: Sequence[Output], choice: Choice) -> Tensor:
        """(T', C) scores of the candidates, a row for each row of the outputs in the order of time."""
        blocks, shift = self.run.config.decode.blocks, self._shift(choice)
        parts = [frame_scores(output, blocks=blocks, offset=shift)[0] for output in outputs]
        starts = len(parts) // len(self.models)
        merged = []
        for first in range(0, len(parts), starts):
            own = parts[first : first + starts]
            scores = own[0].new_empty(sum(len(part) for part in own), own[0].shape[1])
            for start, part in enumerate(own):
                scores[start::starts] = part
            merged.append(scores)
        if len(merged) == 1:
            return merged[0]
        return torch.stack(merged).clamp(min=torch.finfo(merged[0].dtype).tiny).log().mean(0).softmax(-1)

    def _shift(self, choice: Choice) -> Tensor | None:
        return None if choice.offset is None else torch.from_numpy(choice.offset).float().to(self.device)

    def _decode(self, scores: Tensor, choice: Choice, n_frames: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        config, offset = self.run.config, self._shift(choice)
        # Even a score that has become zero stays above what is ruled out.
        logs = scores.clamp(min=torch.finfo(scores.dtype).tiny).log()
        if offset is not None:
            logs = logs.masked_fill(torch.isneginf(offset), float("-inf"))
        labels = decode_switching(logs.cpu().numpy(), config.decode.switch_penalty)
        index = stretch(np.arange(len(labels)), 1 if config.data.interleave else config.data.stride, n_frames)
        # Rounding of the mix may end a little above one.
        confidence = scores.clamp(0, 1).cpu().numpy()[np.arange(len(labels)), labels]
        return labels[index], confidence[index]


def load(run_dir: str | Path, device: str = "cpu") -> Segmenter:
    """The segmenter of a run folder; nothing in the folder is executed.

    Raises:
        InputError: see :func:`fact_clip.checkpoint.open_run` and :func:`fact_clip.checkpoint.load_models`.
    """
    run = open_run(run_dir)
    return Segmenter(run, load_models(run), device, Calibration.read(run.path / "calibration.json"))
