"""Every fault of all splits of a data set, for `fact-clip data check`; `Dataset.check` stops at the first of one."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError
from fact_clip.core.errors import OrientationError
from fact_clip.core.messages import find_duplicate_spelling, suggest
from fact_clip.core.pace import paced
from fact_clip.core.vocabulary import parse_mapping
from fact_clip.datasets.benchmarks import Benchmark, Layout, find_benchmark
from fact_clip.datasets.factors import FILE, class_factors, parse_factors
from fact_clip.datasets.features import (
    check_finite,
    is_constant,
    is_usable,
    length_fault,
    load_features,
    not_finite,
    read_layout,
    sidecar_faults,
)
from fact_clip.datasets.holdout import find_holdout
from fact_clip.datasets.layout import (
    SPLIT_FILES,
    UNLABELLED,
    WRITE_SPLITS,
    Videos,
    find_root,
    find_split,
    label_files,
    parse_split,
    read_lines,
    read_vocabulary,
    split_names,
    unlabelled,
)
from fact_clip.datasets.splits import in_order, read_groups

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

NOTES = ("never trained", "spelling", "coverage", "shared groups", "constant", "unlabelled")
"""Kinds of findings that training and scoring can live with; all others are errors."""

LOOK_BYTES = 256 << 20
"""Feature values that are checked for NaN unless all are asked for; a disk reads them in about a second."""


@dataclass
class Inspection:
    """What a data set holds, and what is wrong with it."""

    root: Path
    benchmark: Benchmark
    names: tuple[str, ...] = ()  # of its classes
    unlabelled: tuple[str, ...] = ()  # labels that are ignored
    splits: dict[str, dict[str, Videos]] = field(default_factory=dict)  # split, part, video -> file:line
    classes: dict[str, set[str]] = field(default_factory=dict)  # video -> classes in its labels, without unknown ones
    lengths: dict[str, int] = field(default_factory=dict)  # video -> number of labels (frames)
    columns: int | None = None  # D of most feature files; None without any
    looked_at: float = 1.0  # share of the feature values that were checked for NaN
    faults: list[tuple[str, InputError]] = field(default_factory=list)  # with the kind of each

    def add(self, kind: str, where: str | Path, found: str, expected: str = "", todo: str = "") -> None:
        """Note a fault."""
        self.faults.append((kind, InputError(where, f"{found}; expected {expected}", todo)))

    @property
    def errors(self) -> list[InputError]:
        """The faults that must be mended."""
        return [fault for kind, fault in self.faults if kind not in NOTES]

    @property
    def videos(self) -> dict[str, str]:
        """Video -> the first file:line of a split that names it; without splits, its label file."""
        found: dict[str, str] = {}
        for parts in self.splits.values():
            for part in parts.values():
                found |= {video: where for video, where in part.items() if video not in found}
        return found or {path.stem: str(path) for path in label_files(self.root)}

    def feature_path(self, video: str) -> Path:
        """The feature file of a video."""
        return self.root / self.benchmark.features / f"{video}.npy"


def inspect(
    config: DataConfig, split: str | None = None, *, full: bool = False, progress: Progress | None = None
) -> Inspection:
    """Look at mapping, splits (or one `split`), labels and features of a data set; `progress` as in `summarize`.

    In a large set only some rows of each file are checked for NaN, unless `full`. Only a missing data set, folder or
    split raises an InputError; everything else is among the faults of the result.
    """
    root = find_root(config)
    seen = Inspection(root, find_benchmark(config.name), unlabelled=unlabelled(config))
    names = split_names(root)
    if split is not None and split not in names:
        where = root / SPLIT_FILES[0].format(part="train", name=split)
        raise InputError(where, f"no such split; expected one of the splits {', '.join(names)}", "set data.split")
    _look_at_mapping(config, seen)
    _look_at_splits(seen, names if split is None else [split], whole=split is None)
    _look_at_groups(config, seen)
    if (root / "groundTruth").is_dir():
        _look_at_labels(seen, whole=split is None)
        _look_for_untrained(seen)
    else:
        seen.add("folder", root / "groundTruth", "no such folder", "a label file per video")
    folder = root / seen.benchmark.features
    if folder.is_dir():
        _look_at_features(config, seen, full, progress)
    else:
        found = "no folder" if os.path.lexists(folder) else "no such folder"
        seen.add("folder", folder, found, "a folder with a .npy file per video")
    return seen


def _parsed(seen: Inspection, path: Path) -> tuple[str, ...]:
    """The names of a mapping file; its faults are noted."""
    try:
        names, faults = parse_mapping(path)
    except InputError as fault:
        names, faults = (), [fault]
    seen.faults += [("mapping", fault) for fault in faults]
    return names


def _look_at_mapping(config: DataConfig, seen: Inspection) -> None:
    path, benchmark = seen.root / seen.benchmark.mapping, seen.benchmark
    every = _parsed(seen, path)
    seen.names = tuple(name for name in every if name not in seen.unlabelled)
    if not seen.names:
        return
    background = []
    for one in benchmark.background if config.background is None else config.background:
        name = one if isinstance(one, str) else every[one] if one < len(every) else f"id {one}"
        if name in seen.names:
            background.append(name)
        elif name in seen.unlabelled and config.background is not None:
            seen.add("background", "data.unlabelled", f"{name!r}, which is background too", "either of them")
        elif name not in every or config.background is not None:
            todo = f"set data.background; {suggest(name, seen.names, 0.6)}".removesuffix("; ")
            seen.add("background", path, f"no class {name!r}, named as background", "", todo)
    if len(background) == len(seen.names):
        found = f"{len(background)} classes, all of them background"
        seen.add("background", path, found, "an action", "set data.background")
    if (same := find_duplicate_spelling(seen.names)) is not None:
        found = f"{same[0]!r} and {same[1]!r} are two classes, and one name in two spellings"
        seen.add("spelling", path, found, "one spelling of a name")
    _look_at_factors(config, seen, background)
    if config.holdout is not None and not seen.faults:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which others tell
            vocabulary = read_vocabulary(config, seen.root)
        try:
            holdout = find_holdout(config, seen.root, vocabulary)
            assert holdout is not None
            holdout.check(vocabulary)
        except InputError as fault:
            seen.faults.append(("holdout", fault))


def _look_at_factors(config: DataConfig, seen: Inspection, background: Sequence[str]) -> None:
    """The file of factors, and names that do not parse."""
    path, own = seen.root / seen.benchmark.mapping, seen.root / FILE
    try:
        faults = parse_factors(own, (*seen.names, *seen.unlabelled))[2] if os.path.lexists(own) else []
    except InputError as fault:  # the file itself
        faults = [fault]
    seen.faults += [("factors", fault) for fault in faults]
    try:
        factors = None if faults else class_factors(config, seen.root, seen.names, background)
    except InputError as fault:  # the pattern itself
        seen.faults.append(("factors", fault))
        return
    if factors is None:
        return
    parsed = []
    for name in seen.names:
        try:
            parsed.append(factors(name))
        except InputError as fault:
            seen.faults.append(("factors", InputError(path, f"{fault.where}: {fault.problem}", fault.fix)))
    for place, file in enumerate(seen.benchmark.factor_mappings):
        column = dict.fromkeys(own[place] for own in parsed if place < len(own))
        listed = _parsed(seen, seen.root / file)
        for factor in column if listed else ():
            if factor is not None and factor not in listed:
                found = f"no {factor!r}, which classes of the mapping have"
                seen.add("factors", seen.root / file, found, f"one of the {len(listed)} names in this file")


def _look_at_splits(seen: Inspection, names: Sequence[str], whole: bool) -> None:
    if not names:
        seen.add("split", seen.root, "no splits", "splits/train.split1.bundle", WRITE_SPLITS)
    for name in names:
        parts = seen.splits[name] = {}
        for part in ("train", "test"):
            path = find_split(seen.root, part, name)
            if path is None:
                wanted = seen.root / SPLIT_FILES[0].format(part=part, name=name)
                seen.add("split", wanted, f"split {name} has no list of {part} videos", "one NAME per line")
                continue
            try:
                parts[part], faults = parse_split(path)
            except InputError as fault:
                parts[part], faults = {}, [fault]
            seen.faults += [("split", fault) for fault in faults]
        for video, where in parts.get("test", {}).items():
            if video in parts.get("train", {}):
                found = f"video {video!r}, also in {parts['train'][video]}"
                seen.add("overlap", where, found, "test videos apart from training videos")
    if not whole:
        return
    for name in seen.benchmark.splits if names else ():
        if name not in names:
            expected = f"the published ones, {', '.join(seen.benchmark.splits)}"
            seen.add("coverage", seen.root / "splits", f"no split {name}", expected)
    # numbered splits divide the same videos; named ones may come from different sources
    numbered = {name: parts for name, parts in seen.splits.items() if name.isdigit() and len(parts) == 2}
    named_in = {video: where for parts in numbered.values() for part in parts.values() for video, where in part.items()}
    for name, parts in numbered.items():
        for video, where in named_in.items():
            if not any(video in part for part in parts.values()):
                found = f"split {name} has video {video!r} in neither part"
                seen.add("coverage", seen.root / "splits", found, "in train or test", f"see {where}")


def _look_at_groups(config: DataConfig, seen: Inspection) -> None:
    """Names that the pattern of `data.groups` does not fit, and groups in both parts of a split."""
    if config.groups is None:
        return
    try:
        groups = read_groups(seen.videos, config.groups)
    except InputError as fault:
        seen.faults.append(("groups", fault))
        return
    for name, parts in seen.splits.items():
        train, test = ({groups[video] for video in parts.get(part, {})} for part in ("train", "test"))
        if train & test:
            found = f"split {name} has {len(train & test)} groups in both parts: {', '.join(in_order(train & test))}"
            seen.add(
                "shared groups", seen.root / "splits", found, "each in one part", "fact-clip data split divides them"
            )
        if len(train) == 1 and config.validation > 0:
            found = f"split {name} trains on one group alone, {train.pop()!r}"
            seen.add("groups", seen.root / "splits", found, "two or more", "set data.groups=null, or data.validation=0")


def _look_at_labels(seen: Inspection, whole: bool) -> None:
    videos = seen.videos
    unknown: dict[str, tuple[str, Counter[str]]] = {}  # label -> where it is first, and its frames in each video
    every = set[str]()
    for video, where in paced(videos.items(), "reading labels", logger):
        path = seen.root / "groundTruth" / f"{video}.txt"
        if not path.exists():
            seen.add("labels", where, f"video {video!r} without labels", str(path))
            continue
        try:
            lines = read_lines(path, "a label file")
        except InputError as fault:
            seen.faults.append(("labels", fault))
            continue
        if not lines:
            seen.add("labels", path, "no labels", "one class name per frame")
            continue
        every.update(lines)
        labels = set(lines).difference(seen.unlabelled)
        if not labels:
            seen.add("unlabelled", path, "no labelled frame", "some", "take the video out of the splits")
        seen.lengths[video], seen.classes[video] = len(lines), labels.intersection(seen.names)
        for label in sorted(labels.difference(seen.names)):
            line = f"{path}:{lines.index(label) + 1}"
            if label:
                unknown.setdefault(label, (line, Counter()))[1][video] = lines.count(label)
            else:
                seen.add("labels", line, "a blank line between labels", "one class name per frame")
    for name in seen.unlabelled:
        if name not in every and name != UNLABELLED and seen.classes:
            todo = suggest(name, sorted(every), 0.6)
            seen.add("labels", seen.root / "groundTruth", f"no frame {name!r}, named in data.unlabelled", "", todo)
    for label, (where, frames) in unknown.items() if seen.names else ():
        found = f"label {label!r} ({frames.total()} frames in {len(frames)} videos)"
        todo = suggest(label, seen.names, 0.6) or "add it to the mapping"
        seen.add("labels", where, found, f"one of the {len(seen.names)} classes of the mapping", todo)
    for path in label_files(seen.root) if whole else ():
        if path.stem not in videos:
            seen.add("coverage", path, f"video {path.stem!r} is in no split", "in train or test of a split")


def _look_for_untrained(seen: Inspection) -> None:
    def classes_of(videos: Iterable[str]) -> set[str]:
        return set[str]().union(*(seen.classes.get(video, set()) for video in videos))

    for name, parts in seen.splits.items():
        tested = classes_of(parts.get("test", {})) - classes_of(parts.get("train", {}))
        if tested and "train" in parts:
            found = f"split {name} tests {len(tested)} classes that it never trains: {', '.join(sorted(tested))}"
            seen.add("never trained", seen.root / "splits", found)
    occurring = classes_of(seen.classes)
    nowhere = [name for name in seen.names if name not in occurring]
    if nowhere and seen.classes:
        found = f"{len(nowhere)} classes that no video has: {', '.join(nowhere)}"
        seen.add("never trained", seen.root / seen.benchmark.mapping, found)


def _look_at_features(config: DataConfig, seen: Inspection, full: bool, progress: Progress | None) -> None:
    """Missing and unreadable files, orientation, length, width and NaN."""
    features: dict[str, NDArray[Any]] = {}
    for video, where in seen.videos.items():
        path = seen.feature_path(video)
        try:
            if os.path.lexists(path):
                features[video] = load_features(path, "TD")  # as stored, until the layout is known
            else:
                seen.add("features", where, f"video {video!r} without features", str(path))
        except InputError as fault:
            seen.faults.append(("features", fault))
    layout = _layout(config, seen, features)
    fps = config.fps if config.fps is not None else seen.benchmark.fps
    seen.faults += [("features", fault) for fault in sidecar_faults(map(seen.feature_path, features), fps, layout)]
    if layout is None:
        return
    if layout == "DT":
        features = {video: array.T for video, array in features.items()}
    widths = {video: array.shape[1] for video, array in features.items()}
    for video in (video for video in features if video in seen.lengths):
        found = length_fault(seen.feature_path(video), features[video], layout, seen.lengths[video], config)
        if found is not None:
            seen.faults.append(found)
            if found[0] == "orientation":
                del widths[video]
    if widths:
        seen.columns = Counter(widths.values()).most_common(1)[0][0]  # of equally frequent widths the first
    for video, width in widths.items():
        if width != seen.columns:
            stored = features[video].shape if layout == "TD" else features[video].shape[::-1]
            columns = f"{width} columns (shape {stored})"
            seen.add("width", seen.feature_path(video), columns, f"{seen.columns}, as in most files")
    _look_for_nan(seen, features, full, progress)
    _look_at_objects(config, seen)


def _look_at_objects(config: DataConfig, seen: Inspection) -> None:
    """The file of object columns, and whether the features have as many."""
    if config.objects.file is None or any(kind in ("mapping", "factors", "background") for kind, _ in seen.faults):
        return
    from fact_clip.datasets.objects import ObjectColumns  # SciPy takes a while

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which others tell
        vocabulary = read_vocabulary(config, seen.root)
    try:
        objects = ObjectColumns.read(config.objects, seen.root, vocabulary)
        if objects is not None and seen.columns is not None:
            objects.check(seen.columns)
    except InputError as fault:
        seen.faults.append(("objects", fault))


def _layout(config: DataConfig, seen: Inspection, stored: dict[str, NDArray[Any]]) -> Layout | None:
    """The orientation that is known, else the one that most videos tell."""
    given = config.layout or seen.benchmark.layout
    if given is not None or not stored:
        return given
    votes: Counter[Layout | None] = Counter()
    for video in (video for video in seen.lengths if video in stored):
        with suppress(InputError):
            votes[read_layout(video, stored[video].shape, seen.lengths[video], config)] += 1
    del votes[None]  # both sides fit
    if votes:
        return votes.most_common(1)[0][0]
    if seen.lengths:
        where, todo = seen.root / seen.benchmark.features, "set data.layout to TD or DT"
        found = "feature files whose shapes and labels do not tell which side is time"
        seen.faults.append(
            ("orientation", OrientationError(where, f"{found}; expected one side near the labels", todo))
        )
    return None


def _look_for_nan(seen: Inspection, features: dict[str, NDArray[Any]], full: bool, progress: Progress | None) -> None:
    total = sum(array.nbytes for array in features.values())
    seen.looked_at = 1.0 if full or total <= LOOK_BYTES else LOOK_BYTES / total
    constant = dict[str, bool]()
    for video in paced(features, "reading features", logger, progress):
        array = features[video]
        try:
            if seen.looked_at == 1:
                check_finite(seen.feature_path(video), array)
                constant[video] = is_constant(array)
            else:
                _check_some(seen.feature_path(video), array, seen.looked_at)
        except InputError as fault:
            seen.faults.append(("not finite", fault))
    if constant and all(constant.values()):
        found, todo = f"the same values in every frame of all {len(constant)} videos", "extract the features again"
        seen.add("constant", seen.root / seen.benchmark.features, found, "features that change", todo)
        return
    for video in (video for video, still in constant.items() if still):
        found, todo = "the same values in every frame", "extract the features of this video again"
        seen.add("constant", seen.feature_path(video), found, "features that change, as in other files", todo)


def _check_some(path: Path, features: NDArray[Any], share: float) -> None:
    """Check a share of the stored rows (frames or columns) of a file, spread evenly, for NaN."""
    if features.dtype.kind != "f":
        return
    by_frame = features.flags.c_contiguous
    stored = features if by_frame else features.T
    assert isinstance(stored, np.memmap)
    n_bytes, n_rows = stored[0].nbytes, min(len(stored), max(3, int(share * len(stored))))
    # read and not mapped, because the system reads far more around each row of a mapped file
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for row in np.linspace(0, len(stored) - 1, n_rows).astype(np.int64).tolist():
            file.seek(stored.offset + row * n_bytes)
            values = np.frombuffer(file.read(n_bytes), stored.dtype)
            finite = is_usable(values)
            if not finite.all():
                place = int(finite.argmin())
                frame, column = (row, place) if by_frame else (place, row)
                raise not_finite(path, values[place], frame, column)
