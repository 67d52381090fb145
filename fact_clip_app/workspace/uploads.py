"""Uploaded files: their limits, kinds and names, and the files that make a video."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fact_clip.core import Floats, InputError
from fact_clip.core.io import read_mapping
from fact_clip.core.messages import printable
from fact_clip.formats import FORMATS
from fact_clip.video.extract import FORMAT
from fact_clip.video.frames import ROUNDING, SUFFIXES

LABELS = sorted({form.ending for form in FORMATS.values()}, key=len, reverse=True)
"""Endings of label files, the longest first."""

FEATURES = ".npy"

POSES = ".csv"
"""The ending of tracked points. HDF5 of trackers may hold code, or name files of this machine."""

POSE_RATE = 10.0
"""Rows a second of features of tracked points, unless the model in use has a rate."""

_MAX_NAME = 150  # characters of a file name
_FACTS = (
    "format",
    "encoder",
    "precision",
    "start",
    "fps",
    "times",
    "video_fps",
    "n_frames",
    "dim",
    "columns",
)


@dataclass(frozen=True)
class Limits:
    """Limits of one page."""

    file_bytes: int = 2_000_000_000  # of an uploaded file
    label_bytes: int = 50_000_000  # of a label or JSON file
    minutes: float = 120.0  # duration of a video
    videos: int = 2000  # of a project
    uploads: int = 32  # at once
    uploads_each: int = 8  # at once, of one address
    waiting: int = 8  # long jobs that wait
    results: int = 32  # of segmentations, that nobody asks for
    quick: int = 32  # short computations that wait
    patience: float = 30.0  # seconds in which the next part of an upload must arrive
    upload_seconds: float = 6 * 3600.0  # of a whole upload
    upload_rate: float = 4096.0  # bytes a second of an upload after `patience`, at least


@dataclass(frozen=True)
class Upload:
    """An uploaded file, with its path and its name for the user."""

    path: Path
    name: str

    @property
    def ending(self) -> str:
        """Return the ending, which determines the kind of file."""
        return ending_of(self.name)

    def renamed(self, lines: Iterable[str]) -> list[str]:
        """Return lines about the file, with its name for the user."""
        return [line.replace(str(self.path), self.name) for line in lines]


def ending_of(name: str) -> str:
    """Return the ending of a file name. Raise an InputError if it is of no known kind."""
    low = name.lower()
    for ending in (*LABELS, FEATURES, *SUFFIXES):
        if low.endswith(ending.lower()) and len(low) > len(ending):
            return ending
    fix = f"give {FEATURES}, {', '.join(SUFFIXES[:5])}, ..."
    raise InputError(name or "a file", "no video, feature file or label file", fix)


def base_name(name: str) -> str:
    """Return the last part of a file name from a browser, without invisible characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    visible = "".join(character for character in last if printable(character) == character)
    clean = visible.strip(" .")
    length = len(ending_of(clean))
    return clean[:-length][:_MAX_NAME] + clean[-length:]


def files_of_video(
    uploads: Iterable[Upload],
    frame_times: Callable[[Path, None], Floats],
    rate: Callable[[], float],
) -> tuple[str, Path | None, Path | None]:
    """Check the files of one video.

    Facts of the JSON file beside features are stored, except for the path of a video, which could
    be any file.

    Args:
        uploads: Video, feature file, or both, and the JSON file of the features. A file of a
            pose tracker, with its video, becomes features.
        frame_times: `Engine.frame_times`.
        rate: Function that returns the rows per second of such features from the model in use.

    Returns:
        The name of the video, its file and its feature file.
    """
    paths: dict[str, Path] = {}
    names = {}
    for upload in uploads:
        kind = "video" if upload.ending in SUFFIXES else upload.ending
        if kind == POSES:
            kind = FEATURES
        if kind not in ("video", FEATURES, ".json") or kind in paths:
            fix = "give a video, a feature file, and its .json"
            raise InputError(upload.path, "one file too many", fix)
        paths[kind] = upload.path
        names[kind] = upload.name[: -len(upload.ending)]
    media = paths.get("video")
    features = paths.get(FEATURES)
    facts = paths.get(".json")
    if features is None and (media is None or facts is not None):
        raise InputError("files", "no feature file", "give a video, or NAME.npy with NAME.json")
    if media is not None:
        with media.open("rb") as file:
            start = file.read(4096)
        # FFmpeg reads playlists, which name other files, as videos.
        if all(byte >= 32 or byte in b"\t\n\r\f" for byte in start):
            raise InputError(media, "not a video")
    if features is not None and features.suffix != FEATURES:
        if media is None:
            raise InputError(features, "a file of a pose tracker alone", "give its film, too")
        film = names["video"]
        if not re.match(rf"{re.escape(film)}(DLC|[\W_]|$)", names[FEATURES]):
            raise InputError(features, f"by its name not the points of {film}", "give its film")
        names[FEATURES] = film
        features = _pose_features(features, frame_times(media, None), rate())
    if features is not None and facts is not None:
        tree = read_mapping(facts, "fps and times of the features")
        if "segments" in tree:
            raise InputError(facts, "labels, not facts of features", "load it after its video")
        if tree.get("format", FORMAT) != FORMAT:
            raise InputError(facts, "an unknown format", "extract the features again")
        content = json.dumps({key: tree[key] for key in _FACTS if key in tree})
        features.with_suffix(".json").write_text(content, encoding="utf-8")
    return names.get(FEATURES) or names["video"], media, features


def _pose_features(path: Path, times: Floats, fps: float) -> Path:
    """Write the features of points next to their file, for frames at these times (N + 1,)."""
    # movement takes long to import
    from fact_clip.datasets.convert import PoseReader
    from fact_clip.datasets.convert.tables import resample

    table = PoseReader("DeepLabCut", times[:-1])(path)
    rows, _ = resample(times[:-1] + ROUNDING, table.values, fps)
    features = path.with_suffix(FEATURES)
    np.save(features, rows.astype(np.float32))
    facts = {"fps": fps, "encoder": table.encoder}
    features.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    return features
