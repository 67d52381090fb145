"""The front door: features in, segments out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fact_clip.checkpoint import Run, load_model, open_run
from fact_clip.core import InputError, Segmentation, stretch
from fact_clip.data.features import check_finite, load_features
from fact_clip.decoding import decode_switching, frame_scores
from fact_clip.models import FACT


class Segmenter:
    """A trained model with its vocabulary and feature statistics.

    Args:
        run: the run folder's description.
        model: its model.
        device: where it runs.
    """

    def __init__(self, run: Run, model: FACT, device: torch.device | str = "cpu") -> None:
        self.run, self.device = run, torch.device(device)
        self.model = model.to(self.device).eval()
        self.vocabulary, self.fps = run.vocabulary, run.fps

    def segment(
        self,
        features: NDArray[np.floating] | str | Path,
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
    ) -> Segmentation:
        """Cut one video into actions.

        Args:
            features: (T, D) raw features, or the path of a feature file in the layout of the training data.
            actions: candidates, a part of the vocabulary; None: all of it.
            transcript: the actions in order, for a model that aligns transcripts (``model.transcript``).

        Returns:
            A segmentation of all T frames, with a confidence (mean score of the named class) a segment.

        Raises:
            InputError: a wrong width, NaN, an unreadable file, or a name that the model does not know.
        """
        where = "features"
        if isinstance(features, str | Path):
            where = str(features)
            features = load_features(features, self.run.layout)
        width = self.run.transform.input_dim
        if features.ndim != 2 or not len(features):
            raise InputError(where, f"an array of shape {features.shape}", f"(T, {width}), at least one frame")
        if features.shape[1] != width:
            expected = f"{width}, as {self.run.path} was trained with"
            raise InputError(where, f"{features.shape[1]} columns (of {features.shape[0]} frames)", expected)
        check_finite(where, features)
        labels, confidence = self.predict(features, actions, transcript)
        return Segmentation.from_frames(self.vocabulary.decode(labels), self.fps, confidence.tolist())

    @torch.inference_mode()
    def predict(
        self,
        features: NDArray[np.floating],
        actions: Sequence[str] | None = None,
        transcript: Sequence[str] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Class index and its score for each of T frames, (T,) and (T,), from raw features (T, D)."""
        if self.run.config.model.transcript != (transcript is not None):
            asked = "a model that aligns a transcript" if transcript is None else "a model without model.transcript"
            raise InputError("transcript", asked, "a transcript exactly where the model reads one")
        order = None if transcript is None else torch.from_numpy(self.vocabulary.encode(transcript)).unsqueeze(0)
        stride = self.run.config.data.stride
        values = torch.from_numpy(self.run.transform(features)[::stride])
        order = None if order is None else order.to(self.device)
        output = self.model(values.unsqueeze(0).to(self.device), transcript=order)
        scores = frame_scores(output, blocks=self.run.config.decode.blocks)[0]  # (T', C)
        # Even a score that has become zero stays above what is ruled out.
        logs = scores.clamp(min=torch.finfo(scores.dtype).tiny).log()
        if actions is not None:
            ruled_out = torch.ones(len(self.vocabulary), dtype=torch.bool)
            ruled_out[self.vocabulary.encode(actions)] = False
            if bool(ruled_out.all()):
                raise InputError("actions", "none", "at least one of the vocabulary")
            logs = logs.masked_fill(ruled_out.to(logs.device), float("-inf"))
        labels = decode_switching(logs.cpu().numpy(), self.run.config.decode.switch_penalty)
        index = stretch(np.arange(len(labels)), stride, len(features))
        # Rounding of the mix may end a little above one.
        confidence = scores.clamp(0, 1).cpu().numpy()[np.arange(len(labels)), labels]
        return labels[index], confidence[index]


def load(run_dir: str | Path, device: str = "cpu") -> Segmenter:
    """The segmenter of a run folder; nothing in the folder is executed.

    Raises:
        InputError: see :func:`fact_clip.checkpoint.open_run` and :func:`fact_clip.checkpoint.load_model`.
    """
    run = open_run(run_dir)
    return Segmenter(run, load_model(run), device)
