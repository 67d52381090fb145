"""A linear test on unseen videos of whether features were probably learned from the labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fact_clip.core import Floats, Integers
from fact_clip.core.frames import IGNORED
from fact_clip.datasets.dataset import Dataset

# Share of rows in unseen training videos that a linear map labels correctly, above which features
# have probably seen the labels and so will be worse on test videos.
SEPARABLE = 0.75
# The same for clicked rows, which short and long segments have equally (experiments/clicks.md).
SEPARABLE_CLICKS = 0.6

# A linear map of this size is computed within a second.
_ROWS_PER_VIDEO = 500  # a long video gives at least this many, and fewer than twice as many
_MAX_COLUMNS = 1024
_RIDGE_PER_ROW = 0.01  # keeps the map unique if columns are duplicated


@dataclass(frozen=True, eq=False)
class _Rows:
    """Labelled rows sampled from some videos."""

    features: Floats  # (N, D)
    labels: Integers  # (N,)


def has_seen_labels(dataset: Dataset, share: float) -> bool:
    """Return whether the features have probably seen the labels, by their `separability`."""
    return share >= (SEPARABLE_CLICKS if dataset.clicks(dataset.learning) else SEPARABLE)


def separability(dataset: Dataset) -> float:
    """Return the accuracy of a ridge regression that is fitted on every other training video.

    For videos with clicks, only the clicked rows count, because their labels are certain.
    """
    names = dataset.labelled(dataset.learning)
    even = _sampled_rows(dataset, names[0::2])
    odd = _sampled_rows(dataset, names[1::2])
    if not len(even.labels) or not len(odd.labels):
        return 0.0
    n_classes = len(dataset.vocabulary)
    correct = _ridge_hits(even, odd, n_classes) + _ridge_hits(odd, even, n_classes)
    return correct / (len(even.labels) + len(odd.labels))


def _ridge_hits(train: _Rows, test: _Rows, n_classes: int) -> int:
    """Return how many test rows a ridge regression on the training rows labels correctly."""
    mean = train.features.mean(0)
    deviation = train.features.std(0) + 1e-6

    def scaled(features: Floats) -> Floats:
        standardised = ((features - mean) / deviation).clip(-5, 5)
        return np.pad(standardised, ((0, 0), (0, 1)), constant_values=1)  # (N, D + 1)

    inputs = scaled(train.features)
    targets = np.eye(n_classes)[train.labels]
    ridge = _RIDGE_PER_ROW * len(inputs) * np.eye(inputs.shape[1])
    weights = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ targets)
    predicted = (scaled(test.features) @ weights).argmax(1)
    return int((predicted == test.labels).sum())


def _sampled_rows(dataset: Dataset, names: Sequence[str]) -> _Rows:
    """Return labelled rows spread over each video, with at most `_MAX_COLUMNS` columns."""
    rows = [np.zeros((0, min(dataset.input_dim, _MAX_COLUMNS)))]
    labels = [np.zeros(0, np.int64)]
    clicks = dataset.clicks(names)
    for name in names:
        features = dataset.features(name)
        video_labels = dataset.labels(name)
        index = np.arange(0, len(video_labels), max(1, len(video_labels) // _ROWS_PER_VIDEO))
        index = np.array(clicks.get(name, index))
        index = index[video_labels[index] != IGNORED]
        rows.append(np.asarray(features[index, :_MAX_COLUMNS], dtype=np.float64))
        labels.append(video_labels[index])
    return _Rows(np.concatenate(rows), np.concatenate(labels))
