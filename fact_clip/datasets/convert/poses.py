"""Conversion of tracked body points to feature columns. movement reads the trackers' files."""

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
"""Confidence below which a point counts as not seen."""

MAX_GAP = 5
"""Maximum number of video frames without a point that are filled from their neighbours."""

ADDED_BY_TRACKERS = re.compile(r"(?<=.)DLC_.*|(\.(?i:mp4|avi|mov))?\.(analysis|predictions)$")
"""Text that trackers append to the name of a video."""


@dataclass(frozen=True)
class PoseReader:
    """Reads the files of one tracker.

    Attributes:
        software: Name in movement: DeepLabCut, SLEAP, LightningPose or Anipose.
        rate: Frames per second of the video, or the time of each frame (T,) in seconds.
        axis: Points at the back and the front of a body, or () to leave it unrotated.
    """

    software: str
    rate: float | Floats
    axis: Names = ()

    def __call__(self, path: Path) -> NumberTable:
        """Read points, and compute columns from them. Unknown values are 0.

        The columns of each individual are its points, centred on their mean and rotated so that the
        axis points along x, the speeds of the points and of their mean, the distances between
        points, and whether each point is seen. The distances between individuals follow.

        Args:
            path: File with P points of I individuals in S dimensions.

        Returns:
            The columns of T video frames.
        """
        movement = library(path, "movement.io", "pose")
        with library_errors(path, f"not read as a file of {self.software}", Exception):
            data = movement.load_dataset(path, source_software=self.software)
        # Dimension names differ between versions.
        dims = sorted(data.position.dims, key=lambda dim: "tiks".index(dim[0]))
        tracks = data.position.where(~(data.confidence < CONFIDENCE)).transpose(*dims)
        is_seen = tracks.notnull().all(dims[3]).values  # (T, I, P)
        tracks = tracks.interpolate_na(dims[0], max_gap=MAX_GAP + 1)  # measured between its ends
        points = tracks.values  # (T, I, P, S)
        centres = tracks.mean(dims[2], skipna=False).values  # (T, I, S); missing points move it
        seconds = np.asarray(self.rate)
        if seconds.ndim == 0:
            seconds = np.arange(len(points)) / seconds
        if len(seconds) != len(points):
            problem = f"{len(points)} rows for {len(seconds)} video frames"
            raise InputError(path, problem, "track the whole video")
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
        """Rotate points (T, I, P, S) in x and y, so that the axis of their body points to +x."""
        if not self.axis:
            return points
        if len(self.axis) != 2 or not {*self.axis} <= {*names}:
            fix = f"name two of {', '.join(names)}"
            raise InputError("--axis", f"{', '.join(self.axis)} is not an axis in {path}", fix)
        plane = points[..., 0] + 1j * points[..., 1]  # (T, I, P)
        back, front = (plane[..., names.index(name)] for name in self.axis)
        plane *= np.exp(-1j * np.angle(front - back))[..., None]
        return np.concatenate([plane.real[..., None], plane.imag[..., None], points[..., 2:]], -1)


def _speeds(paths: Floats, seconds: Floats) -> Floats:
    """Return speeds (T, ...) per second along paths (T, ..., S) at times (T,)."""
    steps = np.diff(paths, axis=0, prepend=paths[:1])
    # The first step has zero length, so its duration does not matter.
    return (np.linalg.norm(steps, axis=-1).T / np.diff(seconds, prepend=seconds[0] - 1)).T


def _distances(points: Floats) -> Floats:
    """Return the distances (T, ..., pairs) between points (T, ..., P, S)."""
    first, second = np.triu_indices(points.shape[-2], 1)
    return np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1)


def _pairs(names: Sequence[str]) -> list[str]:
    """Return the names of the pairs of `_distances`."""
    return [" to ".join(pair) for pair in combinations(names, 2)]


def _named(values: Floats, *titles: Sequence[str]) -> dict[str, Floats]:
    """Return columns (T,) of values (T, ...), named by the titles of the other dimensions."""
    names = [" ".join(parts) for parts in product(*titles)]
    return dict(zip(names, values.reshape(len(values), -1).T, strict=True))
