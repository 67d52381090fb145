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

from fact_clip.config import DataConfig, Rate
from fact_clip.core import Clock, InputError, Location, OrientationError, library_errors
from fact_clip.core.io import BROKEN_ARRAY, check_file, parse_value, read_mapping
from fact_clip.datasets.benchmarks import Layout

Array = NDArray[Any]
EXTRACT_AGAIN = "extract the features of this video again"

_ROWS = 2048  # frames checked together, to bound the memory of a pass over a mapped file
_COLUMNS = 256  # columns widened to float64 together, for the same reason
_ROUNDING = 1e-10  # a windowed variance below this share of the largest square is rounding

MAX_RATE_RATIO = 1.15  # between a stated rate and that of frame times; one row more or less is 1.1 of `_FEW_ROWS`
_FEW_ROWS = 10  # whose mean rate says nothing
MAX_VALUE = 1e30  # of a feature; a model computes in float32, which ends at 3e38


def open_array(path: str | Path) -> Array:
    """Open a .npy file, memory-mapped and read-only; one that is damaged, empty or not of numbers is an InputError."""
    check_file(path, "a feature file")
    damaged = library_errors(
        path, "not readable as .npy", *BROKEN_ARRAY, fix="save an array with numpy.save"
    )
    with damaged, np.errstate(over="raise"):  # of a shape that no memory has
        array: Array = np.lib.format.open_memmap(path, mode="r")
    if array.dtype.kind not in "fiub" or array.size == 0:
        raise InputError(
            path, f"an array of {array.dtype} and shape {array.shape}, not numbers", EXTRACT_AGAIN
        )
    return array


def load_features(path: str | Path, layout: Layout | None) -> Array:
    """Open a feature file as (T, D), see `open_array`; an InputError where it has not two dimensions, or no layout."""
    array = open_array(path)
    if array.ndim != 2:
        raise InputError(
            path,
            f"an array of shape {array.shape}",
            "features have two dimensions, time and columns",
        )
    if layout is None:
        raise unclear_layout(path)
    return array if layout == "TD" else array.T


def lengths_agree(n_rows: int, n_labels: int, config: DataConfig) -> bool:
    """Return whether two lengths differ by ``data.tolerance`` of the labels or ``data.tolerance_frames`` at most."""
    return abs(n_rows - n_labels) <= max(config.tolerance * n_labels, config.tolerance_frames)


def read_layout(
    path: str | Path, shape: tuple[int, ...], n_labels: int, config: DataConfig
) -> Layout | None:
    """Return which side of a stored array fits the labels; None where both do, an InputError where neither does."""
    rows, columns = (lengths_agree(side, n_labels, config) for side in shape)
    if rows == columns:
        if rows:
            return None
        raise InputError(
            path, f"no side of features of shape {shape} is near the {n_labels} labels of the video"
        )
    return "TD" if rows else "DT"


def unclear_layout(path: str | Path) -> OrientationError:
    """Return the error for feature files of which either side could be time."""
    return OrientationError(
        path, "which side of the features is time is not clear", "set data.layout to TD or DT"
    )


def check_length(
    path: Path, features: Array, layout: Layout, n_labels: int, config: DataConfig
) -> None:
    """Raise an InputError where features (T, D) are not as long as the labels; of its own type if the other side is."""
    fits, others_fit = (lengths_agree(side, n_labels, config) for side in features.shape)
    problem = f"{len(features)} feature rows for {n_labels} labels, read as {layout}"
    if not fits and others_fit:
        raise OrientationError(path, problem, "the other layout fits: set data.layout")
    if not fits:
        raise InputError(
            path, problem, "extract features and labels at one frame rate, or raise data.tolerance"
        )


def check_width(path: Path, features: Array, columns: int, reference: str) -> None:
    """Raise an InputError where features (T, D) have other columns than those of the reference."""
    if features.shape[1] != columns:
        raise InputError(path, f"{features.shape[1]} columns, but {columns} in {reference}")


def check_finite(path: Location, features: Array) -> None:
    """Raise an InputError that names the file and the first frame with a value that is not `is_usable`."""
    if features.dtype.kind != "f":
        return
    for start in range(0, len(features), _ROWS):
        usable = is_usable(features[start : start + _ROWS]).all(axis=1)
        if not usable.all():
            frame = start + int(usable.argmin())
            column = int(is_usable(features[frame]).argmin())
            problem = (
                f"{features[frame, column]} in frame {frame}, column {column}, NaN or too large"
            )
            raise InputError(path, problem, EXTRACT_AGAIN)


def is_constant(features: Array) -> bool:
    """Return whether about 100 frames of several (T, D), spread over them, have the values of the first."""
    return len(features) > 1 and bool(
        (features[:: max(1, len(features) // 100)] == features[0]).all()
    )


def is_usable(values: Array) -> NDArray[np.bool_]:
    """Return which values a model can take: finite ones, in float32 too and when a few of them are multiplied."""
    usable: NDArray[np.bool_] = (
        np.isfinite(values) if values.dtype.itemsize == 2 else np.abs(values) <= MAX_VALUE
    )
    return usable


def _with_context(features: Array, context: Sequence[int]) -> NDArray[np.float32]:
    """Map (T, D) to (T, D * (1 + 2 * windows)): the columns, then mean and deviation of each window.

    Frame t has those of the frames [t - window // 2, t - window // 2 + window) that exist.
    """
    n_frames, dim = features.shape
    out = np.empty((n_frames, dim * (1 + 2 * len(context))), dtype=np.float32)
    for first in range(0, dim, _COLUMNS):
        last = min(first + _COLUMNS, dim)
        columns = np.asarray(features[:, first:last], dtype=np.float64)
        out[:, first:last] = columns
        centre = columns.mean(axis=0)
        shifted = columns - centre  # keeps the difference of squares below from cancelling
        zero = np.zeros((1, last - first))
        total = np.concatenate([zero, np.cumsum(shifted, axis=0)])
        squares = np.concatenate([zero, np.cumsum(shifted**2, axis=0)])
        for number, window in enumerate(context):
            start = np.arange(n_frames) - window // 2
            stop, start = np.minimum(start + window, n_frames), np.maximum(start, 0)
            count = (stop - start)[:, None]
            mean = (total[stop] - total[start]) / count
            variance = (squares[stop] - squares[start]) / count - mean**2
            variance[variance < _ROUNDING * (shifted**2).max(axis=0)] = 0.0
            offset = dim * (1 + 2 * number)
            out[:, offset + first : offset + last] = mean + centre
            out[:, offset + dim + first : offset + dim + last] = np.sqrt(variance)
    return out


# A column that hardly changes in training may lie hundreds of deviations off in another video (885 in KSCGR, where it
# spoilt every prediction of that video), so standardised values are clipped.
LIMIT = 5.0


@dataclass(frozen=True, eq=False)
class FeatureTransform:
    """Turns raw features into the input of a model. It is fitted on training videos and saved with the weights.

    Each window of `context`, in frames, centred, adds mean and standard deviation of every column.
    """

    context: tuple[int, ...]
    mean: (
        NDArray[np.float32] | None
    )  # (width,), for standardisation, clipped at +-LIMIT; None: no standardisation
    std: NDArray[np.float32] | None
    input_dim: int  # D, columns of a feature file

    def __post_init__(self) -> None:
        statistics = [values for values in (self.mean, self.std) if values is not None]
        fit = all(
            values.shape == (self.width,) and np.isfinite(values).all() for values in statistics
        )
        if len(statistics) == 1 or not fit or (self.std is not None and self.std.min() <= 0):
            raise InputError(
                "feature transform", f"mean and std are not {self.width} numbers and deviations"
            )

    @property
    def width(self) -> int:
        """Return the number of columns after the transform."""
        return self.input_dim * (1 + 2 * len(self.context))

    @classmethod
    def fit(
        cls,
        features: Iterable[Array],
        context: Sequence[int],
        kinds: NDArray[np.int64] | None = None,
    ) -> FeatureTransform:
        """Fit the standardisation on the (T, D) features of training videos, with one video in memory at a time.

        Statistics are taken over all frames, with the context columns; a column that never changes keeps its scale, and
        columns of one kind (``kinds``, (D,)) share theirs.
        """
        count, mean, spread, transform = 0, np.zeros(1), np.zeros(1), None
        for video in features:
            transform = transform or cls(tuple(context), None, None, video.shape[1])
            # merging video by video (Chan et al. 1979) avoids large sums of squares that cancel
            columns = transform(video).astype(np.float64)
            video_mean = columns.mean(axis=0)
            video_spread = ((columns - video_mean) ** 2).sum(axis=0)
            total = count + len(columns)
            spread = (
                spread + video_spread + (video_mean - mean) ** 2 * (count * len(columns) / total)
            )
            mean, count = mean + (video_mean - mean) * (len(columns) / total), total
        if transform is None:
            raise InputError(
                "training videos", "none to fit the feature transform on", "give at least one"
            )
        variance = spread / count
        if kinds is not None:
            dim = transform.input_dim
            kind_of = np.concatenate([kinds + block * dim for block in range(len(mean) // dim)])
            for kind in np.unique(kind_of):
                same = kind_of == kind
                middle = mean[same].mean()
                variance[same] = (variance[same] + (mean[same] - middle) ** 2).mean()
                mean[same] = middle
        std = np.sqrt(variance)
        std[std <= 1e-6 * np.abs(mean)] = 1.0
        return replace(transform, mean=mean.astype(np.float32), std=std.astype(np.float32))

    def __call__(self, features: Array) -> NDArray[np.float32]:
        """Map (T, D) to a new float32 array (T, width); an InputError where D is not `input_dim`."""
        if features.ndim != 2 or features.shape[1] != self.input_dim:
            raise InputError(
                "features", f"shape {features.shape}", f"give (T, {self.input_dim}), as in training"
            )
        out = _with_context(features, self.context)
        if self.mean is not None and self.std is not None:
            out -= self.mean
            out /= self.std
            np.clip(out, -LIMIT, LIMIT, out=out)
        return out

    def to_arrays(self) -> dict[str, Array]:
        """Return plain arrays for a checkpoint, mean and std only if there are any."""
        numbers = {
            "context": np.array(self.context, np.int64),
            "input_dim": np.array([self.input_dim], np.int64),
        }
        statistics = {"mean": self.mean, "std": self.std}
        return numbers | {name: values for name, values in statistics.items() if values is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> FeatureTransform:
        """Return the inverse of `to_arrays`; KeyError, TypeError or ValueError for other arrays."""
        (input_dim,) = arrays["input_dim"].tolist()
        return cls(
            tuple(arrays["context"].tolist()), arrays.get("mean"), arrays.get("std"), int(input_dim)
        )


def read_clock(
    path: Path,
    fps: float | None = None,
    layout: Layout | None = None,
    sidecar: Sidecar | None = None,
) -> Clock:
    """Return the clock of NAME.npy, with what NAME.json beside it says: ``fps``, ``times``, ``video``, ``video_fps``.

    `fps` counts where the JSON file (`sidecar`, if it has been read) has none; without a `layout` there must be one.
    """
    sidecar = sidecar or read_sidecar(path)
    features, json_path = load_features(path, layout or "TD"), path.with_suffix(".json")
    if layout is None and not json_path.is_file():
        raise InputError(
            path,
            f"there is no {json_path.name} beside it, and no layout",
            "set --layout to TD or DT",
        )
    n_frames = len(features)
    for name, stated, length in (
        ("n_frames", sidecar.n_frames, n_frames),
        ("dim", sidecar.dim, features.shape[1]),
    ):
        if stated not in (None, length):
            raise InputError(
                json_path, f"{name} is {stated}, but the features have {length}", EXTRACT_AGAIN
            )
    clock = Clock(n_frames, sidecar.fps or fps, None, sidecar.video, sidecar.video_fps)
    if sidecar.times is None:
        return clock
    starts = np.asarray(sidecar.times, dtype=np.float64)
    if starts.shape == (n_frames,):
        step = float(np.median(np.diff(starts))) if n_frames > 1 else 1 / (clock.fps or 1.0)
        starts = np.append(starts, starts[-1] + step)
    if starts.shape != (n_frames + 1,):
        raise InputError(
            json_path,
            f"{starts.size} times for {n_frames} frames",
            "give one per frame, and the end",
        )
    if clock.fps and n_frames > _FEW_ROWS:
        # their mean, and where a recorder paused their median
        rates = (
            (n_frames - 1) / float(starts[-2] - starts[0]),
            1 / float(np.median(np.diff(starts[:-1]))),
        )
        if not any(1 / MAX_RATE_RATIO <= rate / clock.fps <= MAX_RATE_RATIO for rate in rates):
            problem = f"its times are {rates[0]:.3g} rows a second, but the rate is said to be {clock.fps:g}"
            raise InputError(json_path, problem, "times are seconds, fps are rows a second")
    return replace(clock, times=starts)


def sidecar_faults(
    paths: Iterable[Path], fps: float | None, layout: Layout | None
) -> Iterator[InputError]:
    """Yield what is wrong with the JSON files beside features: damaged, of others, or of another rate or encoder."""
    first: dict[str, tuple[Any, object]] = {} if fps is None else {"fps": (fps, "data.fps")}
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
            if (value := getattr(sidecar, key)) is not None:
                other, where = first.setdefault(key, (value, json_path))
                if value != other:
                    yield InputError(json_path, f"{key} is {value}, but {other} in {where}", fix)


class Sidecar(BaseModel):
    """The JSON file beside features, NAME.json; further keys belong to those who wrote it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    fps: Rate | None = None
    video_fps: Rate | None = None
    video: str | None = None
    encoder: str | None = None
    times: tuple[Annotated[float, Field(ge=0, le=1e9)], ...] | None = None  # seconds
    n_frames: int | None = None
    dim: int | None = None

    @field_validator("times")
    @classmethod
    def _rise(cls, times: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if times is not None and any(after <= before for before, after in pairwise(times)):
            raise ValueError("times that rise")
        return times


def read_sidecar(features: Path) -> Sidecar:
    """Return the JSON file beside a feature file; empty where there is none."""
    path = features.with_suffix(".json")
    if not os.path.lexists(path):
        return Sidecar()
    values = read_mapping(path, "fps and times of the features")
    for key in values:
        if key not in Sidecar.model_fields and str(key).lower() in Sidecar.model_fields:
            raise InputError(path, f"unknown key {key!r}", f"write {str(key).lower()!r}")
    return parse_value(Sidecar, values, path, EXTRACT_AGAIN)
