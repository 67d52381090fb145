"""Annotations and features of others into the common layout: mapping.txt, groundTruth/, features/."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import InputError, Segmentation, Vocabulary
from fact_clip.data.annotation_tables import Options, read_csv, read_epic, read_runs
from fact_clip.data.annotation_tools import read_boris, read_eaf, read_label_studio, read_via
from fact_clip.data.annotations import Annotation, Clock, Frames, to_frames
from fact_clip.data.benchmarks import Layout
from fact_clip.data.feature_import import read_array, read_lmdb
from fact_clip.export import save, whole_file

READERS: dict[str, Callable[[Path, Options], list[Annotation]]] = {
    "eaf": read_eaf,
    "boris": read_boris,
    "via": read_via,
    "label-studio": read_label_studio,
    "csv": read_csv,
    "runs": read_runs,
    "epic": read_epic,
}


@dataclass(frozen=True)
class Target:
    """The frames that labels are made for.

    Args:
        fps: frames a second of the features.
        features: folder of NAME.npy (and NAME.json with fps and times); None: the annotation says how long.
        layout: of the feature files; None: (T, D) where there is a JSON file.
        background: name of frames of no segment.
        mapping: the only classes allowed; None: those found, after those of ROOT/mapping.txt.
    """

    fps: float | None = None
    features: Path | None = None
    layout: Layout | None = None
    background: str = "background"
    mapping: Path | None = None

    def clock(self, name: str) -> Clock:
        """The frames of one video."""
        if self.features is None:
            return Clock(fps=self.fps)
        return Clock.of_features(self.features / f"{name}.npy", self.fps, self.layout)


def convert_annotations(
    files: Sequence[Path], kind: str, root: Path, target: Target, options: Options | None = None
) -> dict[str, Frames]:
    """Write `root`/mapping.txt and groundTruth/NAME.txt from annotation files.

    Nothing is written before all files are read. Label files of the same names are replaced; classes of a mapping
    that is there keep their numbers, new ones follow. A new mapping begins with the background and goes on by name.

    Args:
        files: annotation files, each of one video or several.
        kind: a key of `READERS`.
        root: folder of the data set; made where it is missing.
        target: frames, background and classes.
        options: what the files leave open.

    Returns:
        What became of each video.

    Raises:
        InputError: a broken file, a video that comes twice, a class that `target.mapping` lacks; see `to_frames`.
    """
    found: dict[str, Frames] = {}
    origin: dict[str, str] = {}
    for path in files:
        for annotation in READERS[kind](path, options or Options()):
            if annotation.name in found:
                raise InputError(path, f"video {annotation.name!r} again", f"once, as in {origin[annotation.name]}")
            found[annotation.name] = to_frames(annotation, target.clock(annotation.name), target.background)
            origin[annotation.name] = str(path)
    if not found:
        raise InputError(", ".join(map(str, files)), "no annotated videos", "at least one")
    classes = _classes(root / "mapping.txt", found, target)
    with whole_file(root / "mapping.txt") as unfinished:
        unfinished.write_text("".join(f"{index} {name}\n" for index, name in enumerate(classes)), encoding="utf-8")
    for name, frames in found.items():
        save(Segmentation.from_frames(frames.labels), root / "groundTruth" / f"{name}.txt")
    return found


def _classes(there: Path, found: dict[str, Frames], target: Target) -> list[str]:
    """Names in the order of the mapping to be written."""
    used = {label for frames in found.values() for label in frames.labels}
    if target.mapping is not None:
        known = list(Vocabulary.from_mapping(target.mapping))
        strange = sorted(used - set(known))
        if strange:
            more = f" and {len(strange) - 1} more" if len(strange) > 1 else ""
            todo = "name the class of the gaps by --background" if strange == [target.background] else ""
            raise InputError(target.mapping, f"no class {strange[0]!r}{more}", "every label of the files", todo)
        return known
    known = list(Vocabulary.from_mapping(there)) if there.is_file() else []
    new = used - set(known)
    return known + [name for name in [target.background] if name in new] + sorted(new - {target.background})


def convert_features(files: Sequence[Path], kind: str, root: Path, axes: str = "TD") -> dict[str, tuple[int, int]]:
    """Write `root`/features/NAME.npy, (T, D), from feature files (kind "npy") or databases of frames ("lmdb").

    Returns:
        (T, D) of each video.

    Raises:
        InputError: see `read_array` and `read_lmdb`; a video that comes twice.
    """
    shapes: dict[str, tuple[int, int]] = {}
    for path, name, array in _arrays(files, kind, axes):
        if name in shapes:
            raise InputError(path, f"video {name!r} again", "each once")
        with whole_file(root / "features" / f"{name}.npy") as unfinished:
            np.save(unfinished, np.ascontiguousarray(array))
        shapes[name] = (array.shape[0], array.shape[1])
    return shapes


def _arrays(files: Iterable[Path], kind: str, axes: str) -> Iterator[tuple[Path, str, NDArray[Any]]]:
    for path in files:
        if kind == "lmdb":
            for name, array in read_lmdb(path):
                yield path, name, array
        else:
            yield path, path.stem, read_array(path, axes)
