"""Tracked points of bodies to feature columns. movement reads the files of the trackers."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np

from fact_clip.core import Floats, InputError, Names
from fact_clip.core.errors import library_errors
from fact_clip.datasets.convert.tables import NumberTable
from fact_clip.formats.base import library

CONFIDENCE = 0.6
"""A point with less is not seen."""

MAX_GAP = 5
"""Pictures without a point that are filled from their neighbours, at most."""

ADDED_BY_TRACKERS = re.compile(r"(?<=.)DLC_.*|(\.(?i:mp4|avi|mov))?\.(analysis|predictions)$")
"""What trackers put behind the name of a video."""


@dataclass(frozen=True)
class PoseReader:
    """Reads the files of one tracker.

    Attributes:
        software: as movement calls it: DeepLabCut, SLEAP, LightningPose or Anipose.
        rate: pictures per second of the film, or the time of each picture (T,) in seconds.
        axis: the points at the back and at the front of a body. Empty: it is not turned.
    """

    software: str
    rate: float | Floats
    axis: Names = ()

    def __call__(self, path: Path) -> NumberTable:
        """Read points, and make columns of them; what is not known is 0.

        Of each individual these are its points, centred on their mean and turned so that the axis
        lies along x, their speeds and that of the mean, the distances between its points, and which
        of them are seen; then the distances between individuals.

        Args:
            path: the file, with P points in S dimensions of I individuals.

        Returns:
            The columns of T pictures.
        """
        movement = library(path, "movement.io", "pose")
        with library_errors(path, f"not read as a file of {self.software}", Exception):
            data = movement.load_dataset(path, source_software=self.software)
        # The names of the dimensions differ between versions.
        dims = sorted(data.position.dims, key=lambda dim: "tiks".index(dim[0]))
        tracks = data.position.where(~(data.confidence < CONFIDENCE)).transpose(*dims)
        is_seen = tracks.notnull().all(dims[3]).values  # (T, I, P)
        tracks = tracks.interpolate_na(dims[0], max_gap=MAX_GAP + 1)  # between the ends of a gap
        points = tracks.values  # (T, I, P, S)
        centres = tracks.mean(dims[2], skipna=False).values  # (T, I, S); a point less moves it
        seconds = np.asarray(self.rate)
        if seconds.ndim == 0:
            seconds = np.arange(len(points)) / seconds
        if len(seconds) != len(points):
            problem = f"{len(points)} rows for {len(seconds)} pictures"
            raise InputError(path, problem, "track the whole film")
        bodies, names, letters = ([*map(str, tracks[dim].values)] for dim in dims[1:])
        turned = self._turned(path, points - centres[:, :, None], names)
        columns = {
            **_named(turned, bodies, names, letters),
            **_named(_speeds(points, seconds), bodies, names, ["speed"]),
            **_named(_speeds(centres, seconds), bodies, ["speed"]),
            **_named(_distances(points), bodies, _pairs(names)),
            **_named(_distances(centres), _pairs(bodies)),
            **_named(is_seen, bodies, names, ["seen"]),
        }
        values = np.nan_to_num(np.stack([*columns.values()], axis=1))
        video = ADDED_BY_TRACKERS.sub("", path.stem)
        digest = hashlib.sha256("\0".join(columns).encode()).hexdigest()[:8]
        encoder = f"pose:{', '.join(self.axis)}@{digest}"
        return NumberTable(video, tuple(columns), seconds, values, encoder)

    def _turned(self, path: Path, points: Floats, names: Sequence[str]) -> Floats:
        """Turn points (T, I, P, S) in x and y, so that the axis of their body points to +x."""
        if not self.axis:
            return points
        if len(self.axis) != 2 or not {*self.axis} <= {*names}:
            fix = f"name two of {', '.join(names)}"
            raise InputError("--axis", f"{', '.join(self.axis)}: no axis in {path}", fix)
        plane = points[..., 0] + 1j * points[..., 1]  # (T, I, P)
        back, front = (plane[..., names.index(name)] for name in self.axis)
        plane *= np.exp(-1j * np.angle(front - back))[..., None]
        return np.concatenate([plane.real[..., None], plane.imag[..., None], points[..., 2:]], -1)


def _speeds(paths: Floats, seconds: Floats) -> Floats:
    """Return the speeds (T, ...) along paths (T, ..., S) at some times (T,), per second."""
    steps = np.diff(paths, axis=0, prepend=paths[:1])
    # The first step has no length, so any time will do.
    return (np.linalg.norm(steps, axis=-1).T / np.diff(seconds, prepend=seconds[0] - 1)).T


def _distances(points: Floats) -> Floats:
    """Return the distances (T, ..., pairs) between points (T, ..., P, S)."""
    first, second = np.triu_indices(points.shape[-2], 1)
    return np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1)


def _pairs(names: Sequence[str]) -> list[str]:
    """Return the names of the pairs of `_distances`."""
    return [" to ".join(pair) for pair in combinations(names, 2)]


def _named(values: Floats, *titles: Sequence[str]) -> dict[str, Floats]:
    """Return the columns (T,) of values (T, ...), by the titles of each further dimension."""
    names = [" ".join(parts) for parts in product(*titles)]
    return dict(zip(names, values.reshape(len(values), -1).T, strict=True))
