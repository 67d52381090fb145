"""Every fault of a data set, found by looking at its files: one line a fault.

`Dataset.check` stops at the first fault of one split, before a training; this looks at all splits and goes on.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError
from fact_clip.core.vocabulary import parse_mapping
from fact_clip.datasets.benchmarks import Benchmark, Layout
from fact_clip.datasets.features import check_finite, lengths_agree, load_features, read_layout
from fact_clip.datasets.layout import (
    SPLIT_FILES,
    WRITE_SPLITS,
    class_factors,
    find_benchmark,
    find_root,
    find_split,
    nearest_class,
    parse_split,
    read_lines,
    split_names,
)

if TYPE_CHECKING:
    pass

Progress = Callable[[int, int, str], None]


@dataclass
class Inspection:
    """What there is of a data set, and what is wrong with it.

    Attributes:
        root: its folder.
        benchmark: what is known of it beforehand.
        names: its classes.
        splits: split -> part -> video -> file:line that names it.
        classes: video -> its labels without repetition, unknown ones left out.
        lengths: video -> labels (frames) of it.
        columns: D, of most feature files; None without any.
        looked_at: share of the feature values that were looked at for NaN.
        faults: kind of fault, and the fault.
    """

    root: Path
    benchmark: Benchmark
    names: tuple[str, ...] = ()
    splits: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    classes: dict[str, set[str]] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)
    columns: int | None = None
    looked_at: float = 1.0
    faults: list[tuple[str, InputError]] = field(default_factory=list)

    def add(self, kind: str, *faults: InputError) -> None:
        """Note faults of one kind."""
        self.faults += [(kind, fault) for fault in faults]

    @property
    def videos(self) -> dict[str, str]:
        """Video -> the first file:line of a split that names it; without splits, its label file."""
        found: dict[str, str] = {}
        for parts in self.splits.values():
            for part in parts.values():
                found |= {video: where for video, where in part.items() if video not in found}
        return found or {path.stem: str(path) for path in sorted((self.root / "groundTruth").glob("*.txt"))}


def inspect(
    config: DataConfig, split: str | None = None, *, full: bool = False, progress: Progress | None = None
) -> Inspection:
    """Look at mapping, splits, labels and features of a data set.

    Args:
        config: which data set, with its background, layout and tolerance.
        split: look at this one only; None: at all of them.
        full: look at every feature value for NaN; else, of a large set, at rows spread over each file.
        progress: called with (done, total, video).

    Raises:
        InputError: no such data set, folder or split. Everything else is among the faults of the result.
    """
    root = find_root(config)
    seen = Inspection(root, find_benchmark(config.name))
    names = split_names(root)
    if split is not None and split not in names:
        where = root / SPLIT_FILES[0].format(part="train", name=split)
        raise InputError(where, "no such split", f"one of the splits {', '.join(names)}", "set data.split")
    _look_at_mapping(config, seen)
    _look_at_splits(seen, names if split is None else [split], whole=split is None)
    if (root / "groundTruth").is_dir():
        _look_at_labels(seen, whole=split is None)
        _look_for_untrained(seen)
    else:
        seen.add("folder", InputError(root / "groundTruth", "no such folder", "a label file a video"))
    feature_faults(config, seen, full, progress)
    return seen


def _look_at_mapping(config: DataConfig, seen: Inspection) -> None:
    path, benchmark = seen.root / seen.benchmark.mapping, seen.benchmark
    try:
        seen.names, faults = parse_mapping(path)
    except InputError as fault:
        seen.add("mapping", fault)
        return
    seen.add("mapping", *faults)
    background = []
    for one in benchmark.background if config.background is None else config.background:
        name = one if isinstance(one, str) else seen.names[one] if one < len(seen.names) else f"id {one}"
        if name in seen.names:
            background.append(name)
        else:
            todo = "set data.background" + nearest_class(name, seen.names, "; did you mean {}?")
            seen.add("background", InputError(path, f"no class {name!r}, named as background", todo=todo))
    factors = class_factors(benchmark, background)
    if factors is None:
        return
    found: list[Counter[str]] = [Counter() for _ in benchmark.slots or ()]
    for name in seen.names:
        try:
            for counter, factor in zip(found, factors(name), strict=True):
                counter.update([factor] if factor is not None else [])
        except InputError as fault:
            seen.add("factors", InputError(path, f"{fault.where}: {fault.found}", fault.expected, fault.todo))
    for counter, file in zip(found, benchmark.factor_mappings, strict=False):
        _look_at_factors(seen, seen.root / file, counter)


def _look_at_factors(seen: Inspection, path: Path, found: Iterable[str]) -> None:
    try:
        listed, faults = parse_mapping(path)
    except InputError as fault:
        seen.add("mapping", fault)
        return
    seen.add("mapping", *faults)
    for name in found:
        if name not in listed:
            expected = f"one of the {len(listed)} of {path.name}"
            seen.add("factors", InputError(path, f"no {name!r}, which classes of the mapping have", expected))


def _look_at_splits(seen: Inspection, names: Sequence[str], whole: bool) -> None:
    if not names:
        seen.add("split", InputError(seen.root, "no splits", "splits/train.split1.bundle", WRITE_SPLITS))
    for name in names:
        parts = seen.splits[name] = {}
        for part in ("train", "test"):
            path = find_split(seen.root, part, name)
            if path is None:
                wanted = seen.root / SPLIT_FILES[0].format(part=part, name=name)
                seen.add("split", InputError(wanted, f"split {name} has no list of {part} videos", "one NAME a line"))
                continue
            parts[part], faults = parse_split(path)
            seen.add("split", *faults)
        for video, where in parts.get("test", {}).items():
            if video in parts.get("train", {}):
                found = f"video {video!r}, also in {parts['train'][video]}"
                seen.add("overlap", InputError(where, found, "test videos apart from training videos"))
    if whole:
        for name in seen.benchmark.splits:
            if name not in names and names:
                expected = f"the published ones, {', '.join(seen.benchmark.splits)}"
                seen.add("split", InputError(seen.root / "splits", f"no split {name}", expected))
        _look_for_gaps(seen)


def _look_for_gaps(seen: Inspection) -> None:
    """Numbered splits deal out the same videos; named ones may be of different sources."""
    numbered = {name: parts for name, parts in seen.splits.items() if name.isdigit() and len(parts) == 2}
    everything = {
        video: where for parts in numbered.values() for part in parts.values() for video, where in part.items()
    }
    for name, parts in numbered.items():
        for video in everything:
            if not any(video in part for part in parts.values()):
                found = f"split {name} has video {video!r} in neither part"
                seen.add(
                    "split", InputError(seen.root / "splits", found, "in train or test", f"see {everything[video]}")
                )


def _look_at_labels(seen: Inspection, whole: bool) -> None:
    videos = seen.videos
    unknown: dict[str, tuple[str, Counter[str]]] = {}  # label -> where first, frames a video
    for video, where in videos.items():
        path = seen.root / "groundTruth" / f"{video}.txt"
        if not path.is_file():
            seen.add("labels", InputError(where, f"video {video!r} without labels", str(path)))
            continue
        lines = read_lines(path, "a label file")
        if not lines:
            seen.add("labels", InputError(path, "no labels", "one class name a frame"))
            continue
        labels = set(lines)
        seen.lengths[video], seen.classes[video] = len(lines), labels.intersection(seen.names)
        for label in sorted(labels.difference(seen.names)):
            line = f"{path}:{lines.index(label) + 1}"
            if label:
                unknown.setdefault(label, (line, Counter()))[1][video] = lines.count(label)
            else:
                seen.add("labels", InputError(line, "a blank line between labels", "one class name a frame"))
    for label, (where, frames) in unknown.items() if seen.names else ():
        found = f"label {label!r} ({frames.total()} frames in {len(frames)} videos)"
        todo = nearest_class(label, seen.names, "did you mean {}?") or "add it to the mapping"
        seen.add("labels", InputError(where, found, f"one of the {len(seen.names)} classes of the mapping", todo))
    for path in sorted((seen.root / "groundTruth").glob("*.txt")) if whole else ():
        if path.stem not in videos:
            seen.add("split", InputError(path, f"video {path.stem!r} is in no split", "in train or test of a split"))


def _look_for_untrained(seen: Inspection) -> None:
    def of(videos: Iterable[str]) -> set[str]:
        return set[str]().union(*(seen.classes.get(video, set()) for video in videos))

    for name, parts in seen.splits.items():
        tested = of(parts.get("test", {})) - of(parts.get("train", {}))
        if tested and "train" in parts:
            found = f"split {name} tests {len(tested)} classes that it never trains: {', '.join(sorted(tested))}"
            seen.add("never trained", InputError(seen.root / "splits", found))
    nowhere = [name for name in seen.names if name not in of(seen.classes)]
    if nowhere and seen.classes:
        found = f"{len(nowhere)} classes that no video has: {', '.join(nowhere)}"
        seen.add("never trained", InputError(seen.root / seen.benchmark.mapping, found))


Arrays = dict[str, NDArray[Any]]

LOOK_BYTES = 256 << 20
"""Feature values that a check reads for NaN unless all are asked for; what a disk gives in about a second."""


def feature_faults(
    config: DataConfig, seen: Inspection, full: bool, progress: Callable[[int, int, str], None] | None
) -> None:
    """Add the faults of all feature files to what was seen: missing and unreadable ones, orientation, length, width,
    NaN.
    """
    folder = seen.root / seen.benchmark.features
    if not folder.is_dir():
        seen.add("folder", InputError(folder, "no such folder", "a .npy file a video"))
        return
    stored: Arrays = {}
    for video, where in seen.videos.items():
        path = folder / f"{video}.npy"
        try:
            if path.is_file():
                stored[video] = load_features(path, "TD")  # as it lies in the file
            else:
                seen.add("features", InputError(where, f"video {video!r} without features", str(path)))
        except InputError as fault:
            seen.add("features", fault)
    layout = _layout(config, seen, stored)
    if layout is None:
        return
    turned = _look_at_shapes(config, seen, stored, layout)
    _look_at_widths(seen, {video: array for video, array in stored.items() if video not in turned}, layout)
    _look_for_nan(seen, stored, layout, full, progress)


def _layout(config: DataConfig, seen: Inspection, stored: Arrays) -> Layout | None:
    """The orientation that is known, else the one that most videos tell."""
    given = config.layout or seen.benchmark.layout
    if given is not None or not stored:
        return given
    votes: Counter[Layout] = Counter()
    allowed = config.tolerance, config.tolerance_frames
    for video, n_labels in seen.lengths.items():
        if video in stored:
            try:
                vote = read_layout(video, stored[video].shape, n_labels, *allowed)
            except InputError:
                continue
            votes.update([vote] if vote is not None else [])
    if votes:
        return votes.most_common(1)[0][0]
    if seen.lengths:
        found = "feature files whose shapes and labels do not tell which side is time"
        where = seen.root / seen.benchmark.features
        seen.add("orientation", InputError(where, found, "one side near the labels", "set data.layout to TD or DT"))
    return None


def _look_at_shapes(config: DataConfig, seen: Inspection, stored: Arrays, layout: Layout) -> set[str]:
    """Orientation and length against the labels; the videos that are turned."""
    allowed = config.tolerance, config.tolerance_frames
    turned = set()
    for video, array in stored.items():
        if video not in seen.lengths:
            continue
        path, n_labels = seen.root / seen.benchmark.features / f"{video}.npy", seen.lengths[video]
        time, other = array.shape if layout == "TD" else array.shape[::-1]
        if lengths_agree(time, n_labels, *allowed):
            continue
        if lengths_agree(other, n_labels, *allowed):
            turned.add(video)
            found = f"shape {array.shape} read as {layout}: {time} frames for {n_labels} labels"
            seen.add("orientation", InputError(path, found, f"labels of shape ({time},)", "the other layout fits"))
        else:
            expected = f"a difference of at most {allowed[0]:.0%} or {allowed[1]} frames"
            seen.add("length", InputError(path, f"{time} feature rows for {n_labels} labels", expected))
    return turned


def _look_at_widths(seen: Inspection, stored: Arrays, layout: Layout) -> None:
    widths = {video: array.shape[1 if layout == "TD" else 0] for video, array in stored.items()}
    if not widths:
        return
    # of equally frequent widths the first
    seen.columns = Counter(widths.values()).most_common(1)[0][0]
    for video, width in widths.items():
        if width != seen.columns:
            path = seen.root / seen.benchmark.features / f"{video}.npy"
            found = f"{width} columns (shape {stored[video].shape})"
            seen.add("width", InputError(path, found, f"{seen.columns}, as in most files"))


def _look_for_nan(
    seen: Inspection, stored: Arrays, layout: Layout, full: bool, progress: Callable[[int, int, str], None] | None
) -> None:
    total = sum(array.nbytes for array in stored.values())
    everything = full or total <= LOOK_BYTES
    looked_at = 0
    for done, (video, array) in enumerate(stored.items()):
        if progress is not None:
            progress(done, len(stored), video)
        path = seen.root / seen.benchmark.features / f"{video}.npy"
        try:
            if everything:
                check_finite(path, array if layout == "TD" else array.T)
                continue
            lies: Layout = layout
            if array.flags.f_contiguous and not array.flags.c_contiguous:  # saved in Fortran's order
                array, lies = array.T, "DT" if layout == "TD" else "TD"
            n_rows = min(len(array), max(3, LOOK_BYTES * len(array) // total))
            looked_at += n_rows * array[0].nbytes
            _check_rows(path, array, np.linspace(0, len(array) - 1, n_rows).astype(np.int64), lies)
        except InputError as fault:
            seen.add("not finite", fault)
    seen.looked_at = 1.0 if everything else looked_at / total


def _check_rows(path: Path, array: NDArray[Any], rows: NDArray[np.int64], layout: Layout) -> None:
    """Look at some rows of a file as it is stored; each lies in one piece on the disk.

    Read and not mapped: a mapped file makes the system read far more around each row than is asked for.
    """
    assert isinstance(array, np.memmap)
    if array.dtype.kind != "f":
        return
    n_bytes = array[0].nbytes
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for row in rows.tolist():
            file.seek(array.offset + row * n_bytes)
            values = np.frombuffer(file.read(n_bytes), array.dtype)
            fine = np.isfinite(values)
            if not fine.all():
                column = int(fine.argmin())
                frame, channel = (row, column) if layout == "TD" else (column, row)
                found = f"{values[column]} in frame {frame}, column {channel}"
                raise InputError(path, found, "finite numbers", "extract the features of this video again")
