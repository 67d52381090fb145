"""Feature files, and what is done to features before a model sees them. NumPy only."""

from __future__ import annotations

import json
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError
from fact_clip.core.clock import Clock
from fact_clip.core.files import is_number, read_text
from fact_clip.datasets.benchmarks import Layout

Array = NDArray[Any]

_ROWS = 4096  # frames looked at together: bounds the memory of a pass over a mapped file
_COLUMNS = 256  # columns widened to float64 together, for the same reason
_ROUNDING = 1e-10  # share of the largest square below which a windowed variance is cumulative-sum rounding

# What NumPy raises on broken files: its header parser lets the errors of Python's tokenizer through.
_BROKEN = (ValueError, OSError, EOFError, SyntaxError, OverflowError, tokenize.TokenError)


def lengths_agree(n_rows: int, n_labels: int, tolerance: float, tolerance_frames: int) -> bool:
    """Whether a feature and a label count are close enough to cut both to the shorter.

    The allowance is the larger of a share of the labels and a number of frames.
    """
    return abs(n_rows - n_labels) <= max(tolerance * n_labels, tolerance_frames)


def _open(path: Path) -> Array:
    try:
        array: Array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(path, "no such file", "a feature file") from None
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        raise InputError(path, f"not readable as .npy ({reason})", "an array saved by numpy.save") from None
    if array.ndim != 2:
        raise InputError(path, f"an array of shape {array.shape}", "two dimensions, time and channels")
    if array.dtype.kind not in "fiub":
        raise InputError(path, f"values of type {array.dtype}", "numbers")
    if array.size == 0:
        raise InputError(path, f"an empty array of shape {array.shape}", "at least one frame and one channel")
    return array


def read_layout(
    path: str | Path, shape: tuple[int, ...], n_labels: int, tolerance: float = 0.01, tolerance_frames: int = 10
) -> Layout | None:
    """Orientation of a feature file by its label count; None where both sides fit.

    Raises:
        InputError: neither side fits.
    """
    rows, columns = (lengths_agree(side, n_labels, tolerance, tolerance_frames) for side in shape)
    if not rows and not columns:
        raise InputError(path, f"features of shape {shape}", f"one side near the {n_labels} labels of the video")
    if rows and columns:
        return None
    return "TD" if rows else "DT"


def load_features(
    path: str | Path,
    layout: Layout | None,
    n_labels: int | None = None,
    *,
    tolerance: float = 0.01,
    tolerance_frames: int = 10,
) -> Array:
    """Open a feature file as (T, D), memory-mapped: nothing is read before it is used.

    Args:
        path: .npy file.
        layout: "TD", "DT", or None: the side that is as long as the labels is time.
        n_labels: labels of this video; None leaves the orientation unchecked.
        tolerance, tolerance_frames: see `lengths_agree`; only to tell the sides apart, nothing is cut here.

    Returns:
        A read-only view (T, D) in the type of the file.

    Raises:
        InputError: unreadable, not two-dimensional, not numbers or empty; an orientation that cannot be told,
            or one that only fits the labels when turned.
    """
    path = Path(path)
    array = _open(path)
    if layout is None and n_labels is None:
        raise InputError(path, f"shape {array.shape} and no layout", "layout TD or DT", "set data.layout")
    if layout is None:
        assert n_labels is not None
        layout = read_layout(path, array.shape, n_labels, tolerance, tolerance_frames)
        if layout is None:
            found = f"shape {array.shape}, where both sides fit the {n_labels} labels"
            raise InputError(path, found, "one side that is time", "set data.layout to TD or DT")
    elif n_labels is not None:
        time, other = array.shape if layout == "TD" else array.shape[::-1]
        turned = lengths_agree(other, n_labels, tolerance, tolerance_frames)
        if turned and not lengths_agree(time, n_labels, tolerance, tolerance_frames):
            found = f"shape {array.shape} read as {layout}: {time} frames for {n_labels} labels"
            raise InputError(path, found, f"labels of shape ({time},)", "the other layout fits: set data.layout")
    return array if layout == "TD" else array.T


def check_finite(path: str | Path, features: Array) -> None:
    """Raise an InputError that names the file and the first frame with a NaN or an infinity."""
    if features.dtype.kind != "f":
        return
    for start in range(0, len(features), _ROWS):
        fine = np.isfinite(features[start : start + _ROWS]).all(axis=1)
        if not fine.all():
            frame = start + int(fine.argmin())
            column = int(np.isfinite(features[frame]).argmin())
            found = f"{features[frame, column]} in frame {frame}, column {column}"
            raise InputError(path, found, "finite numbers", "extract the features of this video again")


def _window_statistics(columns: NDArray[np.float64], window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of (T, d) over frames [t - window // 2, t - window // 2 + window) that exist."""
    n_frames = len(columns)
    start = np.arange(n_frames) - window // 2
    stop = np.minimum(start + window, n_frames)
    start = np.maximum(start, 0)
    count = (stop - start)[:, None]
    centre = columns.mean(axis=0)
    shifted = columns - centre  # keeps the difference of squares below from cancelling
    zero = np.zeros((1, columns.shape[1]))
    total = np.concatenate([zero, np.cumsum(shifted, axis=0)])
    squares = np.concatenate([zero, np.cumsum(shifted**2, axis=0)])
    mean = (total[stop] - total[start]) / count
    variance = (squares[stop] - squares[start]) / count - mean**2
    variance[variance < _ROUNDING * (shifted**2).max(axis=0)] = 0.0
    return mean + centre, np.sqrt(variance)


def _with_context(features: Array, context: Sequence[int]) -> NDArray[np.float32]:
    """(T, D) -> (T, D * (1 + 2 * windows)): the columns, then mean and deviation of each window."""
    n_frames, dim = features.shape
    out = np.empty((n_frames, dim * (1 + 2 * len(context))), dtype=np.float32)
    for first in range(0, dim, _COLUMNS):
        last = min(first + _COLUMNS, dim)
        columns = np.asarray(features[:, first:last], dtype=np.float64)
        out[:, first:last] = columns
        for place, window in enumerate(context):
            mean, deviation = _window_statistics(columns, window)
            at = dim * (1 + 2 * place)
            out[:, at + first : at + last] = mean
            out[:, at + dim + first : at + dim + last] = deviation
    return out


def _share_by_kind(mean: NDArray[np.float64], variance: NDArray[np.float64], kinds: NDArray[np.int64]) -> None:
    """Put the mean and the variance over all columns of a kind in the place of each column's own."""
    for kind in np.unique(kinds):
        own = kinds == kind
        middle = mean[own].mean()
        variance[own] = (variance[own] + (mean[own] - middle) ** 2).mean()
        mean[own] = middle


# A column that hardly moves in training may lie hundreds of deviations off in another video (885 in KSCGR, which
# made a whole video unreadable); standardised values are cut at this many.
LIMIT = 5.0


@dataclass(frozen=True, eq=False)
class FeatureTransform:
    """What turns raw features into a model's input; fitted on training videos, kept in the checkpoint.

    Args:
        context: windows in frames (feature rows before any stride), centred; of an even window the odd frame
            lies before. Each adds its mean and its standard deviation of every column.
        mean, std: (width,) float32, subtracted and divided by, the result cut at +-LIMIT; None: no change.
        input_dim: D, columns of a feature file.
    """

    context: tuple[int, ...]
    mean: NDArray[np.float32] | None
    std: NDArray[np.float32] | None
    input_dim: int

    def __post_init__(self) -> None:
        for window in self.context:
            if window < 1:
                raise InputError("data.context", f"a window of {window} frames", "1 or more")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and values.shape != (self.width,):
                raise InputError(f"feature transform, {name}", f"shape {values.shape}", f"({self.width},)")
        if (self.mean is None) != (self.std is None):
            raise InputError("feature transform", "only one of mean and std", "both or none")

    @property
    def width(self) -> int:
        """Columns after the transform."""
        return self.input_dim * (1 + 2 * len(self.context))

    @classmethod
    def fit(
        cls,
        features: Iterable[Array],
        context: Sequence[int] = (),
        standardize: bool = False,
        kinds: NDArray[np.int64] | None = None,
    ) -> FeatureTransform:
        """Fit on the (T, D) features of training videos, one after another in memory.

        The mean and standard deviation are those of all frames together, after the context columns; a column
        that never changes keeps its scale. Columns of one kind (``kinds``, (D,)) share theirs, as the boxes of all
        things do, so that one network can read them all.

        Raises:
            InputError: no videos, or videos of different width.
        """
        windows = tuple(int(window) for window in context)
        count, mean, spread, dim = 0, np.zeros(0), np.zeros(0), None
        for video in features:
            dim = video.shape[1] if dim is None else dim
            transform = cls(windows, None, None, dim)
            if not standardize:
                return transform
            # one video merged into the rest (Chan et al. 1979), so that no large sums of squares cancel
            columns = transform(video).astype(np.float64)
            own_mean = columns.mean(axis=0)
            own_spread = ((columns - own_mean) ** 2).sum(axis=0)
            if count == 0:
                count, mean, spread = len(columns), own_mean, own_spread
                continue
            total = count + len(columns)
            spread = spread + own_spread + (own_mean - mean) ** 2 * (count * len(columns) / total)
            mean, count = mean + (own_mean - mean) * (len(columns) / total), total
        if dim is None:
            raise InputError("training videos", "none", "at least one to fit the feature transform")
        variance = spread / count
        if kinds is not None:
            _share_by_kind(mean, variance, np.concatenate([kinds + at * dim for at in range(len(mean) // dim)]))
        std = np.sqrt(variance)
        std[std <= 1e-6 * np.abs(mean)] = 1.0
        return cls(windows, mean.astype(np.float32), std.astype(np.float32), dim)

    def __call__(self, features: Array) -> NDArray[np.float32]:
        """(T, D) -> a new float32 array (T, width); an InputError where D is not `input_dim`."""
        if features.ndim != 2 or features.shape[1] != self.input_dim:
            raise InputError("features", f"shape {features.shape}", f"(T, {self.input_dim}), as in training")
        out = _with_context(features, self.context)
        if self.mean is not None and self.std is not None:
            out -= self.mean
            out /= self.std
            np.clip(out, -LIMIT, LIMIT, out=out)
        return out

    def to_arrays(self) -> dict[str, Array]:
        """Plain arrays for a checkpoint; mean and std are missing where there are none."""
        arrays: dict[str, Array] = {
            "context": np.array(self.context, dtype=np.int64),
            "input_dim": np.array([self.input_dim], dtype=np.int64),
        }
        if self.mean is not None and self.std is not None:
            arrays |= {"mean": self.mean, "std": self.std}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> FeatureTransform:
        """The inverse of `to_arrays`; an InputError names a missing array."""
        for name in ("context", "input_dim"):
            if name not in arrays:
                raise InputError("feature transform", f"no array {name!r}", "the arrays that to_arrays gave")
        context = tuple(int(window) for window in arrays["context"])
        return cls(context, arrays.get("mean"), arrays.get("std"), int(arrays["input_dim"][0]))


def read_clock(path: Path, fps: float | None = None, layout: Layout | None = None) -> Clock:
    """The clock of NAME.npy; NAME.json beside it may tell ``fps``, ``times`` (T or T + 1 seconds) and ``video``.

    Args:
        path: the feature file.
        fps: used where the JSON file tells neither.
        layout: of the array; None: (T, D) where there is a JSON file, else an InputError.
    """
    told = _sidecar(path.with_suffix(".json"))
    if layout is None and told is None:
        raise InputError(path, "no .json beside it and no layout", "TD or DT", "set --layout")
    n_frames = len(load_features(path, layout or "TD"))
    told = told or {}
    fps, media = told.get("fps") or fps, told.get("video")
    if told.get("times") is None:
        return Clock(n_frames, fps, None, media)
    times = np.asarray(told["times"], dtype=np.float64)
    if times.shape == (n_frames,):
        step = float(np.median(np.diff(times))) if n_frames > 1 else 1 / (fps or 1.0)
        times = np.append(times, times[-1] + step)
    if times.shape != (n_frames + 1,) or not (np.diff(times) > 0).all():
        found = f"{times.size} times for {n_frames} frames, or times that do not rise"
        raise InputError(path.with_suffix(".json"), found, "one a frame, and the end")
    return Clock(n_frames, fps, times, media)


def encoder_of(features: Iterable[Path]) -> str | None:
    """The frame encoder that the JSON files beside some feature files name; None where none does.

    Raises:
        InputError: two encoders; a model that was trained on both would be one for neither.
    """
    first: dict[str, Path] = {}
    for path in features:
        name = (_sidecar(path.with_suffix(".json")) or {}).get("encoder")
        if isinstance(name, str):
            first.setdefault(name, path)
    if len(first) > 1:
        (one, path), (other, further) = list(first.items())[:2]
        raise InputError(further, f"features by {other}", f"{one}, as {path}", "extract all by one encoder")
    return next(iter(first), None)


def _sidecar(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        told = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}", f"not JSON ({error.msg})", "fps and times of the features") from None
    if not isinstance(told, dict):
        raise InputError(path, "no object", "fps and times of the features")
    fps, times, video = told.get("fps"), told.get("times"), told.get("video")
    if video is not None and not isinstance(video, str):
        raise InputError(path, f"video {video!r}", "the path of a video")
    if fps is not None and not (is_number(fps) and fps > 0):
        raise InputError(path, f"fps {fps!r}", "frames a second, more than 0")
    if times is not None and not (isinstance(times, list) and all(map(is_number, times))):
        raise InputError(path, "times that are no list of numbers", "seconds, one a frame, and the end")
    return told
