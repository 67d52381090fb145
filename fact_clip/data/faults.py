"""Every fault of a data set, found by looking at its files: one line a fault.

`Dataset.check` stops at the first fault of one split, before a training; this looks at all splits and goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fact_clip.config import DataConfig
from fact_clip.core import InputError
from fact_clip.core.mapping import parse_mapping
from fact_clip.data.benchmarks import Benchmark
from fact_clip.data.feature_faults import feature_faults
from fact_clip.data.labels import (
    SPLIT_FILES,
    WRITE_SPLITS,
    find_split,
    nearest_class,
    parse_split,
    read_lines,
    split_names,
)
from fact_clip.data.location import class_factors, find_benchmark, find_root

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
