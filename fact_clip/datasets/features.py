"""Feature files, and the transform from raw features to a model's input. Needs only NumPy."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from fact_clip.config import Rate
from fact_clip.core import (
    Array,
    Clock,
    FileLocation,
    Flags,
    Floats,
    InputError,
    Integers,
    Location,
    OrientationError,
    Singles,
    library_errors,
)
from fact_clip.core.arguments import table_of
from fact_clip.core.io import BROKEN_ARRAY, check_file, parse_value, read_mapping
from fact_clip.datasets.benchmarks import Layout

EXTRACT_AGAIN = "extract the features of this video again"
_ONE_RATE = "extract features and labels at one frame rate"

_ROWS = 2048  # frames checked together, to bound the memory of a pass over a mapped file
_ROWS_WIDENED = 256  # minimum number of frames widened to float64 together, which fit a cache
_ROUNDING = 1e-10  # share of the largest square below which a window's variance is rounding

# Limits of a stated rate compared with frame times. One row of `_FEW_ROWS` changes it by 1.1.
MAX_RATE_RATIO = 1.15
_FEW_ROWS = 10  # too few for a mean rate
_FEWEST_VIDEOS = 3  # enough to show two rates
MAX_VALUE = 1e30  # maximum feature value; models compute in float32, which ends at 3e38


def open_array(path: str | Path) -> Array:
    """Open a .npy file of numbers, memory-mapped and read-only.

    Raises:
        InputError: The file is damaged, empty or of a different type.
    """
    check_file(path, "a feature file")
    fix = "save an array with numpy.save"
    damaged = library_errors(path, "not readable as .npy", *BROKEN_ARRAY, fix=fix)
    with damaged, np.errstate(over="raise"):  # for a shape that is larger than any memory
        array: Array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype.kind not in "fiub" or array.size == 0:
        problem = f"an array of {array.dtype} and shape {array.shape}, not numbers"
        raise InputError(path, problem, EXTRACT_AGAIN)
    return array


def load_features(path: str | Path, layout: Layout | None) -> Array:
    """Open a feature file as (T, D), memory-mapped and read-only.

    Raises:
        InputError: The file is damaged, not two-dimensional, or has no clear layout.
    """
    array = open_array(path)
    if array.ndim != 2:
        problem = f"an array of shape {array.shape}"
        raise InputError(path, problem, "features have two dimensions, time and columns")
    if layout is None:
        raise unclear_layout(path)
    return array if layout == "TD" else array.T


# Lengths of features and labels may differ by this share of the labels, or by this number of
# frames. The limit for short videos is only a few frames.
TOLERANCE = 0.01
TOLERANCE_FRAMES = 10
_SHORT_TOLERANCE = 0.1
ROUNDED_FRAMES = 2


def lengths_agree(n_rows: int, n_labels: int) -> bool:
    """Return whether the lengths of features and labels differ at most by the tolerance."""
    frames = min(TOLERANCE_FRAMES, max(_SHORT_TOLERANCE * n_labels, ROUNDED_FRAMES))
    return abs(n_rows - n_labels) <= max(TOLERANCE * n_labels, frames)


def describe_cut(n_rows: int, n_labels: int) -> str:
    """Describe the cut of features and labels whose lengths differ within the tolerance."""
    cut = f"{n_rows} feature rows for {n_labels} labels; cut to {min(n_rows, n_labels)}"
    if abs(n_rows - n_labels) > ROUNDED_FRAMES:
        cut += ", which is wrong if they have two frame rates"
    return cut


def check_one_rate(location: Location, lengths: Iterable[tuple[int, int]]) -> None:
    """Check that different lengths of features and labels do not result from different rates.

    Args:
        location: Location of the features.
        lengths: Numbers of feature rows and labels, for the videos in which they differ.

    Raises:
        InputError: The difference is proportional to the length of the videos.
    """
    table = np.array([*lengths], dtype=np.float64).reshape(-1, 2)
    if len(table) < _FEWEST_VIDEOS:
        return
    rows, labels = table.T
    ratio = rows.sum() / labels.sum()
    difference = rows - labels
    misfit = np.abs(rows - ratio * labels).max()
    if misfit <= ROUNDED_FRAMES < np.abs(difference - difference.mean()).max():
        problem = f"{ratio:.5g} rows per label in {len(table)} videos, as with two frame rates"
        raise InputError(location, problem, _ONE_RATE)


def read_layout(location: Location, shape: tuple[int, ...], n_labels: int) -> Layout | None:
    """Return the layout in which a stored array fits the labels, or None if both layouts do.

    Raises:
        InputError: Neither layout fits.
    """
    rows_fit = lengths_agree(shape[0], n_labels)
    columns_fit = lengths_agree(shape[1], n_labels)
    if rows_fit and columns_fit:
        return None
    if rows_fit:
        return "TD"
    if columns_fit:
        return "DT"
    problem = f"neither axis of shape {shape} is near the {n_labels} labels of the video"
    raise InputError(location, problem, _ONE_RATE)


def unclear_layout(location: Location) -> OrientationError:
    """Return the error for feature files in which either axis could be time."""
    problem = "it is not clear which axis of the features is time"
    return OrientationError(location, problem, "set the layout to TD or DT")


def check_length(location: Location, features: Array, layout: Layout, n_labels: int) -> None:
    """Check that features (T, D) are as long as the labels.

    Raises:
        OrientationError: The other axis is as long as the labels.
        InputError: Neither axis is.
    """
    n_frames, columns = features.shape
    if lengths_agree(n_frames, n_labels):
        return
    problem = f"{n_frames} feature rows for {n_labels} labels, read as {layout}"
    if lengths_agree(columns, n_labels):
        raise OrientationError(location, problem, "the other layout fits: set data.layout")
    raise InputError(location, problem, _ONE_RATE)


def check_width(location: Location, features: Array, columns: int, reference: str) -> None:
    """Check that features (T, D) have as many columns as the reference."""
    if features.shape[1] != columns:
        raise InputError(location, f"{features.shape[1]} columns, but {columns} in {reference}")


def check_finite(location: Location, features: Array) -> None:
    """Check all values of features (T, D). The error names the first frame with an unusable one."""
    if features.dtype.kind != "f":
        return
    for start in range(0, len(features), _ROWS):
        usable = is_usable(features[start : start + _ROWS]).all(axis=1)
        if not usable.all():
            frame = start + int(usable.argmin())
            column = int(is_usable(features[frame]).argmin())
            value = features[frame, column]
            problem = f"{value} in frame {frame}, column {column}: NaN or too large"
            raise InputError(location, problem, EXTRACT_AGAIN)


def is_constant(features: Array) -> bool:
    """Return whether about 100 evenly spaced frames of (T, D) equal the first frame."""
    step = max(1, len(features) // 100)
    return len(features) > 1 and bool((features[::step] == features[0]).all())


def is_usable(values: Array) -> Flags:
    """Return which values remain finite in float32 and after a few multiplications."""
    if values.dtype.itemsize == 2:
        return np.isfinite(values)
    return np.abs(values) <= MAX_VALUE


def _with_context(features: Array, context: Sequence[int]) -> Singles:
    """Map (T, D) to (T, D * (1 + 2 * windows)): columns, then mean and deviation of each window.

    For frame t, these are the mean and deviation of the existing frames in
    [t - window // 2, t - window // 2 + window).
    """
    if not context:
        return features.astype(np.float32)
    columns = features.astype(np.float64)
    centre = columns.mean(axis=0)
    shifted = columns - centre  # prevents cancellation in the difference of squares below
    total = _cumulative(shifted)
    squares = _cumulative(shifted**2)
    smallest = _ROUNDING * (shifted**2).max(axis=0)
    parts = [columns]
    frames = np.arange(len(features))
    for window in context:
        start = frames - window // 2
        stop = np.minimum(start + window, len(features))
        start = np.maximum(start, 0)
        share = 1 / (stop - start)[:, None]
        mean = total[stop]
        mean -= total[start]
        mean *= share
        variance = squares[stop]
        variance -= squares[start]
        variance *= share
        variance -= mean**2
        variance[variance < smallest] = 0.0
        mean += centre
        parts += [mean, np.sqrt(variance, out=variance)]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _cumulative(rows: Array) -> Array:
    """Return the sums of the first 0, 1, ..., T rows of (T, D), (T + 1, D)."""
    sums = np.zeros((len(rows) + 1, rows.shape[1]))
    np.cumsum(rows, axis=0, out=sums[1:])
    return sums


# A column that hardly changes in training may be hundreds of deviations off in a different video
# (885 in KSCGR, which spoilt all predictions for it), so standardised values are clipped.
LIMIT = 5.0


@dataclass(frozen=True, eq=False)
class FeatureTransform:
    """The map from raw features to the input of a model, fitted on training videos.

    Each window of `context`, in frames and centred, adds the mean and standard deviation of every
    column. The transform is saved with the weights.
    """

    context: tuple[int, ...]
    mean: Singles | None  # (width,) for standardisation, which clips at +-LIMIT
    std: Singles | None  # (width,); both are None without standardisation
    input_dim: int  # D, columns of a feature file

    def __post_init__(self) -> None:
        if self.mean is None and self.std is None:
            return
        table_of(self.mean, "mean of the feature transform", (self.width,))
        std = table_of(self.std, "std of the feature transform", (self.width,))
        if std.min() <= 0:
            raise InputError("std of the feature transform", "a deviation that is not positive")

    @property
    def width(self) -> int:
        """Return the number of columns after the transform."""
        return self.input_dim * (1 + 2 * len(self.context))

    @property
    def changes_nothing(self) -> bool:
        """Return whether the transform is the identity, up to the type of the values."""
        return self.mean is None and not self.context

    @classmethod
    def fit(
        cls,
        features: Iterable[Array],
        context: Sequence[int],
        kinds: Integers | None = None,
    ) -> "FeatureTransform":
        """Fit the standardisation on training videos, with one video in memory at a time.

        Statistics cover all frames and include context columns. A column that never changes is not
        rescaled.

        Args:
            features: Features of each video, (T, D).
            context: Windows in frames.
            kinds: Kind of each column, (D,). Columns of one kind share their statistics.

        Returns:
            The fitted transform.
        """
        transform = None
        count = 0
        mean = np.zeros(1)
        spread = np.zeros(1)
        for video in features:
            transform = transform or cls(tuple(context), None, None, video.shape[1])
            # Merging blocks (Chan et al. 1979) avoids cancellation of large sums of squares.
            for rows in transform.blocks(video):
                columns = rows.astype(np.float64)
                block_mean = columns.mean(axis=0)
                block_spread = ((columns - block_mean) ** 2).sum(axis=0)
                total = count + len(columns)
                change = block_mean - mean
                spread = spread + block_spread + change**2 * (count * len(columns) / total)
                mean = mean + change * (len(columns) / total)
                count = total
        if transform is None:
            problem = "none to fit the feature transform on"
            raise InputError("training videos", problem, "give at least one")

        variance = spread / count
        if kinds is not None:
            _share_statistics(mean, variance, kinds)
        std = np.sqrt(variance)
        std[std <= 1e-6 * np.abs(mean)] = 1.0
        return replace(transform, mean=mean.astype(np.float32), std=std.astype(np.float32))

    def __call__(self, features: Array) -> Singles:
        """Map features (T, D) to a new float32 array (T, width)."""
        out = np.empty((len(features), self.width), dtype=np.float32)
        start = 0
        for rows in self.blocks(features):
            out[start : start + len(rows)] = rows
            start += len(rows)
        return out

    def blocks(
        self, features: Array, start: int = 0, stop: int | None = None, step: int = 1
    ) -> Iterator[Singles]:
        """Yield the rows of `features[start:stop:step]`, (T', width), in blocks.

        Context windows include rows before `start` and after `stop`.
        """
        if features.ndim != 2 or features.shape[1] != self.input_dim:
            fix = f"give (T, {self.input_dim}), as in training"
            raise InputError("features", f"shape {features.shape}", fix)
        margin = max(self.context, default=0)
        size = step * -(-max(_ROWS_WIDENED, 2 * margin) // step)
        end = len(features) if stop is None else stop
        for first in range(start, end, size):
            n_before = min(first, margin)
            last = min(first + size, end)
            rows = _with_context(features[first - n_before : last + margin], self.context)
            rows = rows[n_before : n_before + last - first : step]
            if self.mean is not None and self.std is not None:
                rows -= self.mean
                rows /= self.std
                np.clip(rows, -LIMIT, LIMIT, out=rows)
            yield rows

    def to_arrays(self) -> dict[str, Array]:
        """Return plain arrays for a checkpoint. Mean and std are included only if they exist."""
        arrays: dict[str, Array] = {
            "context": np.array(self.context, np.int64),
            "input_dim": np.array([self.input_dim], np.int64),
        }
        if self.mean is not None and self.std is not None:
            arrays["mean"] = self.mean
            arrays["std"] = self.std
        return arrays

    @classmethod
    def read(cls, path: Path, fix: str) -> "FeatureTransform":
        """Read the arrays of `to_arrays` from a safetensors file.

        Args:
            path: Path of the file.
            fix: Advice if the file is damaged.

        Raises:
            InputError: The file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        check_file(path, "feature statistics")
        try:
            return cls.from_arrays(load_file(path))
        except InputError as error:
            where = FileLocation(path, part=str(error.where))
            raise InputError(where, error.problem, fix) from None
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(path, f"not readable ({error})", fix) from None

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "FeatureTransform":
        """Return the inverse of `to_arrays`.

        Raises:
            KeyError, TypeError, ValueError: The arrays are not from `to_arrays`.
        """
        (input_dim,) = arrays["input_dim"].tolist()
        return cls(
            context=tuple(arrays["context"].tolist()),
            mean=arrays.get("mean"),
            std=arrays.get("std"),
            input_dim=int(input_dim),
        )


def _share_statistics(mean: Floats, variance: Floats, kinds: Integers) -> None:
    """Equalise mean and variance within each kind of columns and block of context, in place."""
    dim = len(kinds)
    # A column without an object has its own kind, which may exceed the number of columns.
    n_kinds = kinds.max() + 1
    blocks = [kinds + block * n_kinds for block in range(len(mean) // dim)]
    kind_of = np.concatenate(blocks)
    for kind in np.unique(kind_of):
        same = kind_of == kind
        middle = mean[same].mean()
        variance[same] = (variance[same] + (mean[same] - middle) ** 2).mean()
        mean[same] = middle


def read_clock(
    path: Path,
    fps: float | None = None,
    layout: Layout | None = None,
    sidecar: "Sidecar | None" = None,
) -> Clock:
    """Return the clock of a feature file NAME.npy, with the facts in NAME.json next to it.

    Args:
        path: Path of the feature file.
        fps: Rate if the JSON file has none.
        layout: Layout of the file, or None for (T, D), which the JSON file must confirm.
        sidecar: Content of the JSON file, if already read.

    Returns:
        The clock of the video.
    """
    sidecar = sidecar or read_sidecar(path)
    json_path = path.with_suffix(".json")
    if sidecar.n_frames or sidecar.dim or sidecar.times:  # the code below checks the layout
        layout = layout or "TD"
    features = load_features(path, layout)
    n_frames, columns = features.shape
    for name, stated, length in (
        ("n_frames", sidecar.n_frames, n_frames),
        ("dim", sidecar.dim, columns),
    ):
        if stated not in (None, length):
            problem = f"{name} is {stated}, but the features have {length}"
            raise InputError(json_path, problem, EXTRACT_AGAIN)

    clock = Clock(
        n_frames=n_frames,
        fps=sidecar.fps or fps,
        media=None if sidecar.is_part else sidecar.video,
        video_fps=sidecar.video_fps,
    )
    if sidecar.times is None:
        return clock
    times = np.asarray(sidecar.times, dtype=np.float64)
    if times.shape == (n_frames,):
        step = 1 / (clock.fps or 1.0)
        if n_frames > 1:
            step = float(np.median(np.diff(times)))
        times = np.append(times, times[-1] + step)
    if times.shape != (n_frames + 1,):
        problem = f"{times.size} times for {n_frames} frames"
        raise InputError(json_path, problem, "give one per frame, and the end")
    if clock.fps and n_frames > _FEW_ROWS:
        _check_rate(times, clock.fps, json_path)
    return replace(clock, times=times)


def _check_rate(times: Floats, fps: float, path: Path) -> None:
    """Check that frame times have the rate `fps`, on average or, after pauses, in the median."""
    mean_rate = (len(times) - 2) / float(times[-2] - times[0])
    median_rate = 1 / float(np.median(np.diff(times[:-1])))
    for rate in (mean_rate, median_rate):
        if 1 / MAX_RATE_RATIO <= rate / fps <= MAX_RATE_RATIO:
            return
    problem = f"its times are {mean_rate:.3g} rows per second, but the stated rate is {fps:g}"
    raise InputError(path, problem, "give times in seconds, and fps in rows per second")


def sidecar_faults(
    paths: Iterable[Path], fps: float | None, layout: Layout | None
) -> Iterator[InputError]:
    """Yield faults of the JSON files next to features: damage, or a different rate or encoder."""
    first: dict[str, tuple[Any, object]] = {}
    if fps is not None:
        first["fps"] = (fps, "data.fps")
    for path in paths:
        json_path = path.with_suffix(".json")
        try:
            sidecar = read_sidecar(path)
            if layout is not None:
                read_clock(path, fps, layout, sidecar)
        except InputError as error:
            yield error
            continue

        for key, fix in (
            ("fps", "extract all videos at one rate"),
            ("encoder", "extract all by one encoder"),
        ):
            value = getattr(sidecar, key)
            if value is None:
                continue
            first_value, location = first.setdefault(key, (value, json_path))
            if value != first_value:
                problem = f"{key} is {value}, but {first_value} in {location}"
                yield InputError(json_path, problem, fix)


class Sidecar(BaseModel):
    """The JSON file NAME.json next to a feature file. Other keys are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    fps: Rate | None = None
    video_fps: Rate | None = None
    video: str | None = None
    encoder: str | None = None
    times: tuple[Annotated[float, Field(ge=0, le=1e9)], ...] | None = None  # seconds
    n_frames: int | None = None
    dim: int | None = None
    start: Any = None  # a number: the second of the video at which this part starts

    @property
    def is_part(self) -> bool:
        """Return whether the times refer to a later part of the video, not to its start."""
        return isinstance(self.start, int | float) and self.start > 0

    @field_validator("times")
    @classmethod
    def _rise(cls, times: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if times is not None and any(after <= first for first, after in pairwise(times)):
            raise ValueError("times that rise")
        return times


def read_sidecar(path: Path) -> Sidecar:
    """Read the JSON file next to a feature file. If there is none, return empty facts."""
    json_path = path.with_suffix(".json")
    if not os.path.lexists(json_path):
        return Sidecar()
    tree = read_mapping(json_path, "fps and times of the features")
    values = {str(key).lower(): value for key, value in tree.items()}
    return parse_value(Sidecar, values, json_path, EXTRACT_AGAIN)


def check_whole(path: Path) -> None:
    """Check that features are not from a later part of a video, whose times differ."""
    sidecar = read_sidecar(path)
    if sidecar.is_part:
        problem = f"features of a part of the video, starting at {sidecar.start:g} s"
        raise InputError(path, problem, "extract the whole video")
