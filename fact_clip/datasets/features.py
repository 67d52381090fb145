"""Feature files, and the transform from raw features to the input of a model. NumPy only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from fact_clip.config import DataConfig, Rate, checked
from fact_clip.core import InputError
from fact_clip.core.arrays import BROKEN_ARRAY
from fact_clip.core.clock import Clock
from fact_clip.core.errors import ConfigKey, OrientationError
from fact_clip.core.files import check_file, read_mapping
from fact_clip.core.public import public
from fact_clip.core.segments import MOST_FRAMES
from fact_clip.datasets.benchmarks import Layout

Array = NDArray[Any]

_ROWS = 2048  # frames checked together, to bound the memory of a pass over a mapped file
_COLUMNS = 256  # columns widened to float64 together, for the same reason
_ROUNDING = 1e-10  # a windowed variance below this share of the largest square is rounding


# What Python and NumPy say of a broken file, and what that means.
_REASONS = {
    "mmap length is greater than file size": "the file is cut off: it has less than its header says",
    "Python objects": "it holds Python objects, which may run code",
    "max_header_size": "its header is far too long",
    "memory mapped length must be positive": "its header gives a shape that is none",
    "malformed node": "its header is damaged",
}
_SOME = 100  # rows that are compared
_FEW = 10  # rows, whose mean rate says nothing

MOST_OFF = 1.15
"""How many times a stated rate that of frame times may be, or its inverse; a row more or less is 1.1 of `_FEW`."""

BOTH_SIDES_FIT = "both sides of the feature files fit the labels, so which one is time is not clear"
SET_LAYOUT = "set data.layout to TD or DT"

LARGEST_VALUE = 1e30
"""Of a feature. A model computes in float32, which ends at 3e38."""


@public
def open_array(path: str | Path) -> Array:
    """Open a .npy file, memory-mapped and read-only: an InputError if missing, unreadable, empty or not numeric."""
    check_file(path, "a feature file")
    try:
        with np.errstate(over="raise"):  # of a shape that no memory has
            array: Array = np.lib.format.open_memmap(path, mode="r")
    except BROKEN_ARRAY as error:
        reason = " ".join(str(error).split())
        reason = next((plain for said, plain in _REASONS.items() if said in reason), reason)
        raise InputError(path, f"not readable as .npy ({reason}); expected an array saved by numpy.save") from None
    if array.dtype.kind not in "fiub":
        raise InputError(path, f"values of type {array.dtype}; expected numbers")
    if array.size == 0:
        raise InputError(path, f"an empty array of shape {array.shape}; expected at least one frame and one column")
    further = Path(path).stat().st_size - array.offset - array.nbytes  # type: ignore[attr-defined]
    if further > 0:
        raise InputError(
            path, f"{further:,} bytes after its array; expected one array", "save each array to a file of its own"
        )
    return array


@public
def load_features(path: str | Path, layout: Layout | None) -> Array:
    """Open a feature file as (T, D), see `open_array`; an InputError where it has not two dimensions, or no layout."""
    array = open_array(path)
    if array.ndim != 2:
        raise InputError(path, f"an array of shape {array.shape}; expected two dimensions, time and columns")
    if layout is None:
        raise OrientationError(path, f"shape {array.shape} and no layout; expected layout TD or DT", "set data.layout")
    rows = array if layout == "TD" else array.T
    if min(array.shape) > MOST_FRAMES or (len(rows) > MOST_FRAMES and max(array.shape) == len(rows)):
        raise InputError(
            path, f"{len(rows):,} rows (shape {array.shape} as {layout}); expected {MOST_FRAMES:,} at most"
        )
    return rows


def lengths_agree(n_rows: int, n_labels: int, config: DataConfig) -> bool:
    """Whether two lengths differ by ``data.tolerance`` of the labels or ``data.tolerance_frames`` at most."""
    return abs(n_rows - n_labels) <= max(config.tolerance * n_labels, config.tolerance_frames)


def read_layout(path: str | Path, shape: tuple[int, ...], n_labels: int, config: DataConfig) -> Layout | None:
    """Orientation of a stored array by its labels; None where both sides fit, an InputError where neither does."""
    rows, columns = (lengths_agree(side, n_labels, config) for side in shape)
    if rows == columns:
        if rows:
            return None
        raise InputError(path, f"features of shape {shape}; expected one side near the {n_labels} labels of the video")
    return "TD" if rows else "DT"


def length_fault(
    path: str | Path, features: Array, layout: Layout, n_labels: int, config: DataConfig
) -> tuple[str, InputError] | None:
    """What is wrong with the length of features (T, D), read from a file with this layout; None if they fit the labels.

    The kind of fault is "orientation" where only the other side fits the labels, else "length".
    """
    n_rows, other = features.shape
    if lengths_agree(n_rows, n_labels, config):
        return None
    if lengths_agree(other, n_labels, config):
        shape = features.shape if layout == "TD" else features.shape[::-1]
        found = f"shape {shape} read as {layout}: {n_rows} frames for {n_labels} labels"
        error = OrientationError(
            path, f"{found}; expected about {n_labels} frames", "the other layout fits: set data.layout"
        )
        return "orientation", error
    allowed = f"a difference of at most {config.tolerance:.0%} or {config.tolerance_frames} frames"
    todo = "extract features and labels at one frame rate, or raise data.tolerance"
    return "length", InputError(path, f"{n_rows} feature rows for {n_labels} labels; expected {allowed}", todo)


def width_fault(path: Path, shape: tuple[int, ...], columns: int, reference: str) -> InputError | None:
    """Return what is wrong with the width of features (T, D); None if they have as many columns as the reference."""
    if shape[1] == columns:
        return None
    return InputError(path, f"{shape[1]} columns (shape {shape}), but {columns} in {reference}")


def check_finite(path: str | Path, features: Array) -> None:
    """Raise an InputError that names the file and the first frame with a value that is not `is_usable`."""
    if features.dtype.kind != "f":
        return
    for start in range(0, len(features), _ROWS):
        finite = is_usable(features[start : start + _ROWS]).all(axis=1)
        if not finite.all():
            frame = start + int(finite.argmin())
            column = int(is_usable(features[frame]).argmin())
            raise not_finite(path, features[frame, column], frame, column)


def is_constant(features: Array) -> bool:
    """Whether about `_SOME` frames of several (T, D), spread over them, have the values of the first."""
    return len(features) > 1 and bool((features[:: max(1, len(features) // _SOME)] == features[0]).all())


def is_usable(values: Array) -> NDArray[np.bool_]:
    """Which values a model can take: finite ones, in float32 too and when a few of them are multiplied."""
    usable: NDArray[np.bool_] = np.isfinite(values) if values.dtype.itemsize == 2 else np.abs(values) <= LARGEST_VALUE
    return usable


def not_finite(path: str | Path, value: float, frame: int, column: int) -> InputError:
    """The error for a NaN or an infinity in a feature file."""
    found = f"{value} in frame {frame}, column {column}"
    expected = f"numbers between -{LARGEST_VALUE:g} and {LARGEST_VALUE:g}" if np.isfinite(value) else "finite numbers"
    return InputError(path, f"{found}; expected {expected}", "extract the features of this video again")


def _window_statistics(columns: NDArray[np.float64], window: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of (T, d) over frames [t - window // 2, t - window // 2 + window) that exist."""
    start = np.arange(len(columns)) - window // 2
    stop, start = np.minimum(start + window, len(columns)), np.maximum(start, 0)
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


# A column that hardly changes in training may lie hundreds of deviations off in another video (885 in KSCGR, where it
# spoilt every prediction of that video), so standardised values are clipped.
LIMIT = 5.0


@dataclass(frozen=True, eq=False)
class FeatureTransform:
    """Turns raw features into the input of a model. It is fitted on training videos and kept in the checkpoint.

    Each window of `context` adds the mean and the standard deviation of every column. Windows are centred and counted
    in frames (feature rows before any stride); an even one has its extra frame before the centre.
    """

    context: tuple[int, ...]
    mean: NDArray[np.float32] | None  # (width,), for standardisation, clipped at +-LIMIT; None: no standardisation
    std: NDArray[np.float32] | None
    input_dim: int  # D, columns of a feature file

    def __post_init__(self) -> None:
        if min(self.context, default=1) < 1:
            raise InputError(ConfigKey("data.context"), f"a window of {min(self.context)} frames; expected 1 or more")
        if max(self.context, default=1) > 1_000_000 or not 1 <= self.input_dim <= 10_000_000:
            raise InputError(
                "feature transform", f"{self.input_dim} columns, windows {self.context}; expected smaller numbers"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and values.shape != (self.width,):
                raise InputError(f"feature transform, {name}", f"shape {values.shape}; expected ({self.width},)")
            if values is not None and not (values.dtype.kind == "f" and np.isfinite(values).all()):
                raise InputError(
                    f"feature transform, {name}", "values that are no finite numbers; expected finite numbers"
                )
        if self.std is not None and not (self.std > 0).all():
            column = int((self.std > 0).argmin())
            raise InputError("feature transform, std", f"{self.std[column]} in column {column}; expected more than 0")
        if (self.mean is None) != (self.std is None):
            raise InputError("feature transform", "only one of mean and std; expected both or none")

    @property
    def width(self) -> int:
        """Columns after the transform."""
        return self.input_dim * (1 + 2 * len(self.context))

    def keeps(self, features: Array) -> bool:
        """Whether float32 or float16 features (T, D) stay as they are but for their type."""
        fits = features.dtype in (np.float32, np.float16) and features.shape[1:] == (self.input_dim,)
        return fits and not self.context and self.mean is None

    @classmethod
    def fit(
        cls,
        features: Iterable[Array],
        context: Sequence[int] = (),
        standardize: bool = False,
        kinds: NDArray[np.int64] | None = None,
    ) -> FeatureTransform:
        """Fit on the (T, D) features of training videos, with one video in memory at a time.

        Mean and standard deviation are taken over all frames, after the context columns are added; a column that
        never changes keeps its scale. Columns of one kind (``kinds``, (D,)) share both, so that one network can read
        the boxes of all objects.
        """
        windows = tuple(int(window) for window in context)
        count, mean, spread, dim = 0, np.zeros(1), np.zeros(1), None
        for video in features:
            dim = video.shape[1] if dim is None else dim
            transform = cls(windows, None, None, dim)
            if not standardize:
                return transform
            # merging video by video (Chan et al. 1979) avoids large sums of squares that cancel
            columns = transform(video).astype(np.float64)
            own_mean = columns.mean(axis=0)
            own_spread = ((columns - own_mean) ** 2).sum(axis=0)
            total = count + len(columns)
            spread = spread + own_spread + (own_mean - mean) ** 2 * (count * len(columns) / total)
            mean, count = mean + (own_mean - mean) * (len(columns) / total), total
        if dim is None:
            raise InputError("training videos", "none; expected at least one to fit the feature transform")
        variance = spread / count
        if kinds is not None:
            kind_of = np.concatenate([kinds + at * dim for at in range(len(mean) // dim)])
            for kind in np.unique(kind_of):
                own = kind_of == kind
                middle = mean[own].mean()
                variance[own] = (variance[own] + (mean[own] - middle) ** 2).mean()
                mean[own] = middle
        std = np.sqrt(variance)
        std[std <= 1e-6 * np.abs(mean)] = 1.0
        return cls(windows, mean.astype(np.float32), std.astype(np.float32), dim)

    def __call__(self, features: Array) -> NDArray[np.float32]:
        """(T, D) -> a new float32 array (T, width); an InputError where D is not `input_dim`."""
        if features.ndim != 2 or features.shape[1] != self.input_dim:
            raise InputError("features", f"shape {features.shape}; expected (T, {self.input_dim}), as in training")
        out = _with_context(features, self.context)
        if self.mean is not None and self.std is not None:
            out -= self.mean
            out /= self.std
            np.clip(out, -LIMIT, LIMIT, out=out)
        return out

    def to_arrays(self) -> dict[str, Array]:
        """Plain arrays for a checkpoint, mean and std only if there are any."""
        numbers = {"context": np.array(self.context, np.int64), "input_dim": np.array([self.input_dim], np.int64)}
        return numbers | {name: own for name, own in (("mean", self.mean), ("std", self.std)) if own is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> FeatureTransform:
        """The inverse of `to_arrays`; an InputError where an array is missing."""
        for name in ("context", "input_dim"):
            if name not in arrays:
                raise InputError("feature transform", f"no array {name!r}; expected the arrays of to_arrays")
            if arrays[name].ndim != 1 or arrays[name].dtype.kind not in "iu" or len(arrays[name]) > 100:
                found = f"{arrays[name].dtype} of shape {arrays[name].shape}"
                raise InputError(f"feature transform, {name}", f"{found}; expected a few whole numbers")
        if len(arrays["input_dim"]) != 1:
            raise InputError("feature transform, input_dim", f"{len(arrays['input_dim'])} numbers; expected one")
        context = tuple(int(window) for window in arrays["context"])
        return cls(context, arrays.get("mean"), arrays.get("std"), int(arrays["input_dim"][0]))


def read_clock(path: Path, fps: float | None = None, layout: Layout | None = None) -> Clock:
    """The clock of NAME.npy, with what NAME.json beside it says: ``fps``, ``times``, ``video`` and ``video_fps``.

    `fps` counts where the JSON file has none; `layout` may be None where there is a JSON file, which belongs to (T, D).
    """
    return _clock(path, read_sidecar(path), fps, layout)


def _clock(path: Path, known: Sidecar, fps: float | None, layout: Layout | None) -> Clock:
    features, beside = load_features(path, layout or "TD"), path.with_suffix(".json")
    if layout is None and not beside.is_file():
        raise InputError(path, "no .json beside it and no layout; expected TD or DT", "set --layout")
    n_frames, times = len(features), known.times
    for name, said, here in (("n_frames", known.n_frames, n_frames), ("dim", known.dim, features.shape[1])):
        if said not in (None, here):
            todo = "it belongs to other features: extract the video again"
            raise InputError(beside, f"{name} = {said}; expected {here}, as {path.name} has", todo)
    clock = Clock(n_frames, known.fps or fps, None, known.video, known.video_fps)
    if times is None:
        return clock
    starts = np.asarray(times, dtype=np.float64)
    if starts.shape == (n_frames,):
        step = float(np.median(np.diff(starts))) if n_frames > 1 else 1 / (clock.fps or 1.0)
        starts = np.append(starts, starts[-1] + step)
    if starts.shape != (n_frames + 1,) or not (np.diff(starts) > 0).all():
        found = f"{starts.size} times for {n_frames} frames, or times that do not rise"
        raise InputError(beside, f"{found}; expected one per frame, and the end")
    if clock.fps and n_frames > _FEW:
        # their mean, and where a recorder paused their median
        rates = (n_frames - 1) / float(starts[-2] - starts[0]), 1 / float(np.median(np.diff(starts[:-1])))
        if not any(1 / MOST_OFF <= rate / clock.fps <= MOST_OFF for rate in rates):
            source = "its fps" if known.fps else "data.fps, --fps or the run"
            found, expected = f"times of {rates[0]:.3g} rows a second", f"about {clock.fps:g}, as {source} says"
            raise InputError(beside, f"{found}; expected {expected}", "times are seconds, fps are rows a second")
    return replace(clock, times=starts)


def sidecar_faults(paths: Iterable[Path], fps: float | None, layout: Layout | None) -> Iterator[InputError]:
    """What is wrong with the JSON files beside the feature files of a data set.

    Each may be damaged or that of other features (which only a `layout` tells), and name another rate than `fps`, or
    another rate or encoder than the first that names one.
    """
    rate, encoder = (fps, "data.fps says"), ("", "")
    for path in paths:
        try:
            known = read_sidecar(path)
            if layout is not None:
                _clock(path, known, fps, layout)
        except InputError as fault:
            yield fault
            continue
        beside = path.with_suffix(".json")
        if known.fps is not None:
            rate = (known.fps, f"{beside} says") if rate[0] is None else rate
            if known.fps != rate[0]:
                todo = "extract all videos at one rate" if fps is None else "set data.fps, or extract all at one rate"
                yield InputError(beside, f"{known.fps:g} rows a second; expected {rate[0]:g}, as {rate[1]}", todo)
        if known.encoder is not None:
            encoder = encoder if encoder[0] else (known.encoder, str(beside))
            if known.encoder != encoder[0]:
                todo = "extract all by one encoder"
                yield InputError(
                    beside, f"features by {known.encoder}; expected {encoder[0]}, as {encoder[1]} says", todo
                )


def encoder_of(features: Iterable[Path]) -> str | None:
    """The frame encoder named in the JSON files beside feature files, None without any; an InputError where two are."""
    first: dict[str, Path] = {}
    for path in features:
        name = read_sidecar(path).encoder
        if name is not None:
            first.setdefault(name, path)
    if len(first) > 1:
        (one, path), (other, further) = list(first.items())[:2]
        raise InputError(further, f"features by {other}; expected {one}, as {path}", "extract all by one encoder")
    return next(iter(first), None)


def rate_of(features: Iterable[Path]) -> float | None:
    """The rows per second that all JSON files beside feature files name; None where one has none, or they differ."""
    rates = {read_sidecar(path).fps for path in features}
    return rates.pop() if len(rates) == 1 else None


class Sidecar(BaseModel):
    """What a JSON file beside features says of their rows; further keys belong to those who wrote it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    fps: Rate | None = None
    video_fps: Rate | None = None
    video: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    encoder: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")] | None = None
    times: tuple[Annotated[float, Field(ge=0, le=1e9)], ...] | None = None  # seconds
    n_frames: int | None = None
    dim: int | None = None

    @field_validator("times")
    @classmethod
    def _rise(cls, times: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if times is not None and any(later <= sooner for sooner, later in pairwise(times)):
            raise ValueError("times that rise")
        return times


def read_sidecar(features: Path) -> Sidecar:
    """The JSON file beside a feature file; empty where there is none."""
    path = features.with_suffix(".json")
    if not os.path.lexists(path):
        return Sidecar()
    values = read_mapping(path, "fps and times of the features")
    for key in values:
        if key not in Sidecar.model_fields and str(key).lower() in Sidecar.model_fields:
            raise InputError(path, f"the key {key!r}; expected {str(key).lower()!r}")
    return checked(Sidecar, values, path, "extract the video again")
