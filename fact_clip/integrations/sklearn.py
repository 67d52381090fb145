"""An estimator of scikit-learn whose samples are videos (docs/python.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fact_clip.core import InputError, Reals, Segmentation
from fact_clip.core.extras import require
from fact_clip.datasets.features import check_length
from fact_clip.datasets.labels import unlabelled
from fact_clip.datasets.memory import from_arrays
from fact_clip.inference.loading import load
from fact_clip.inference.segmenter import Segmenter
from fact_clip.training import train

require("fact_clip.integrations.sklearn", "sklearn", "sklearn")
from sklearn.base import BaseEstimator  # noqa: E402
from sklearn.utils.validation import check_is_fitted  # noqa: E402

__all__ = ["FactSegmenter"]


class FactSegmenter(BaseEstimator):
    """A model that is trained on features of videos and the labels of their frames.

    Args:
        recipe: Name or path of the recipe.
        epochs: Number of training epochs, or None to use the recipe's.
        lr: Learning rate, or None to use the recipe's.
        settings: Other settings, such as ("model.tokens=20", ...).
        fps: Feature rows per second, if known.
        background: Classes that mean "no action", or None to guess them by their names.
        out: Run folder to write, which must be new for each `fit`, or None to keep no folder, as
            cross-validation needs. A fitted estimator can be pickled only if it has a folder.
        device: Device: auto, cpu, cuda, cuda:N or mps.

    Attributes:
        classes_: Names of the classes.
        segmenter_: The trained `Segmenter`.
    """

    segmenter_: Segmenter
    classes_: NDArray[np.str_]

    def __init__(
        self,
        recipe: str = "own",
        epochs: int | None = None,
        lr: float | None = None,
        settings: Sequence[str] = (),
        fps: float | None = None,
        background: Sequence[str] | None = None,
        out: str | Path | None = None,
        device: str = "auto",
    ) -> None:
        self.recipe = recipe
        self.epochs = epochs
        self.lr = lr
        self.settings = settings
        self.fps = fps
        self.background = background
        self.out = out
        self.device = device

    def fit(self, X: Sequence[ArrayLike], y: Sequence[Sequence[str]]) -> FactSegmenter:
        """Train a model.

        Args:
            X: Features (T, D) of each video.
            y: Class name of each frame (T,) of each video, or "?" if it is unknown.

        Returns:
            The estimator.

        Raises:
            InputError: Features and labels do not match.
        """
        _check_count(X, y)
        names = [f"video{number}" for number in range(len(X))]
        data = from_arrays(
            dict(zip(names, X, strict=True)),
            dict(zip(names, y, strict=True)),
            fps=self.fps,
            background=self.background,
        )
        values = {"train.epochs": self.epochs, "train.lr": self.lr, "train.device": self.device}
        overrides = [f"{key}={value}" for key, value in values.items() if value is not None]
        with TemporaryDirectory(prefix="fact-clip-") as folder:
            out = Path(folder) / "run" if self.out is None else self.out
            train(self.recipe, out, data=data, overrides=[*overrides, *self.settings])
            self.segmenter_ = load(out, self.device)
        self.classes_ = np.array(self.segmenter_.vocabulary.names)
        self.n_features_in_ = self.segmenter_.run.transform.input_dim
        return self

    def segment(self, X: Sequence[ArrayLike]) -> list[Segmentation]:
        """Return the segments of each video."""
        check_is_fitted(self)
        return [self.segmenter_.segment(np.asarray(features)) for features in X]

    def predict(self, X: Sequence[ArrayLike]) -> list[NDArray[np.str_]]:
        """Return the class name of each frame (T,) of each video."""
        return [np.array(segmentation.to_frames()) for segmentation in self.segment(X)]

    def predict_proba(self, X: Sequence[ArrayLike]) -> list[Reals]:
        """Return the probabilities (T, C) of the classes, in the order of `classes_`."""
        check_is_fitted(self)
        return [self.segmenter_.scores(np.asarray(features)).array for features in X]

    def score(self, X: Sequence[ArrayLike], y: Sequence[Sequence[str]]) -> float:
        """Return the share of correct frames over all videos, without ignored labels.

        If the lengths of labels and features differ slightly, both are cut to the shorter, as in
        `fit`.
        """
        _check_count(X, y)
        ignored = unlabelled(self.segmenter_.run.config.data)
        n_right = 0
        n_frames = 0
        for features, labels, predicted in zip(X, y, self.predict(X), strict=True):
            check_length("X", np.asarray(features), "TD", len(labels))
            length = min(len(predicted), len(labels))
            true = np.array(labels[:length])
            is_labelled = ~np.isin(true, ignored)
            n_right += int((true == predicted[:length])[is_labelled].sum())
            n_frames += int(is_labelled.sum())
        if n_frames == 0:
            raise InputError("y", "no frame has a label")
        return n_right / n_frames


def _check_count(X: Sequence[ArrayLike], y: Sequence[Sequence[str]]) -> None:
    if len(X) != len(y):
        raise InputError("y", f"labels of {len(y)} videos, but features of {len(X)}")
