"""Everything that is wrong with a data set: `fact-clip data check` prints all of it, `Dataset.check` raises the first.

What a sentence says stands beside the reader of its file (layout, factors, features, holdout), which raises it too.
"""

from __future__ import annotations

import logging
import mmap
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.errors import FileLocation, Location
from fact_clip.core.messages import paced, suggest
from fact_clip.core.vocabulary import parse_mapping
from fact_clip.datasets import features, layout
from fact_clip.datasets.benchmarks import Layout
from fact_clip.datasets.factors import FILE, class_factors, parse_factors
from fact_clip.datasets.holdout import find_holdout
from fact_clip.datasets.splits import in_order, read_groups

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

NOTES = ("never trained", "spelling", "coverage", "shared groups", "constant", "unlabelled")
"""Kinds of findings that training and scoring can live with; all others are errors."""

SAMPLED_BYTES = 256 << 20
"""Feature values that are checked for NaN unless all are asked for; a disk reads them in about a second."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a data set."""

    kind: str
    error: InputError

    @property
    def is_note(self) -> bool:
        """Return whether training and scoring can live with it."""
        return self.kind in NOTES


def _findings(kind: str, errors: Iterable[InputError]) -> Iterator[Finding]:
    return (Finding(kind, error) for error in errors)


class Inspection:
    """Inspects a data set, or one `split` of it, and says what it holds; iterate over it for the findings.

    Only a missing data set or split raises an InputError. In a large set only some rows of each feature file are
    checked for NaN, unless `full`. `progress` is called with (files done, files, video) while feature values are read.
    """

    def __init__(
        self,
        config: DataConfig,
        split: str | None = None,
        *,
        full: bool = False,
        folder: layout.DataFolder | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.config, self.full, self.progress = config, full, progress
        self.folder = folder or layout.DataFolder(config)
        self.root, self.is_complete = self.folder.root, split is None
        names = layout.split_names(self.root)
        if split is not None and split not in names:
            raise layout.no_split(self.root, "train", split)
        self.split_names = names if split is None else [split]
        self.splits: dict[str, dict[str, layout.Videos]] = {}  # split, part, video
        self.class_names: tuple[str, ...] = ()
        self._vocabulary: Vocabulary | None = None  # None where there is an error in the classes
        self.classes: dict[str, set[str]] = {}  # by video, without unknown ones
        self.lengths: dict[str, int] = {}  # labels of each video
        self.columns: int | None = None  # D of most feature files; None without any
        self.checked_share = 1.0  # of the feature values, for NaN
        self._features: dict[str, NDArray[Any]] = {}  # (T, D) of each video

    def __iter__(self) -> Iterator[Finding]:
        """Yield all findings."""
        yield from chain(self.inspect_classes(), self.inspect_lists(), self.inspect_groups())
        for path, inspections in (
            (self.folder.labels_path, (self.inspect_labels, self._inspect_coverage)),
            (self.folder.features_path, (self.inspect_features, self._inspect_values, self._inspect_objects)),
        ):
            if (error := self.folder.missing(path)) is not None:
                yield Finding("folder", error)
            else:
                yield from chain.from_iterable(inspect() for inspect in inspections)

    def raise_first(self) -> None:
        """Raise the first error of the labels and of the headers of the features."""
        self.class_names = self.folder.vocabulary(self.config).names
        for name in self.split_names:
            self.splits[name] = {part: self.folder.videos(part, name) for part in ("train", "test")}
        for finding in chain(self.inspect_labels(), self.inspect_features()):
            if not finding.is_note:
                raise finding.error

    @property
    def videos(self) -> Mapping[str, Location]:
        """Return the videos of the splits, each with the line that names it first; without splits, all label files."""
        videos: dict[str, Location] = {}
        for parts in self.splits.values():
            for listed in parts.values():
                videos |= {video: where for video, where in listed.items() if video not in videos}
        return videos or {path.stem: FileLocation(path) for path in layout.label_files(self.root)}

    def inspect_classes(self) -> Iterator[Finding]:
        """Inspect the mapping, the background, the factors and the hold-out."""
        path, config = self.folder.mapping_path, self.config
        every, faults = self.folder.mapping
        yield from _findings("mapping", faults)
        if not every:
            return
        background, faults = layout.background_classes(config, every, path)
        yield from _findings("background", faults)
        self.class_names = names = tuple(name for name in every if name not in layout.unlabelled(config))
        if note := layout.spelling_note(names):
            yield Finding("spelling", InputError(path, note))
        yield from self._inspect_factors(background)
        with warnings.catch_warnings(), suppress(InputError):
            warnings.simplefilter("ignore")  # they are findings
            self._vocabulary = self.folder.vocabulary(config)
        if self._vocabulary is not None:
            try:
                find_holdout(config, self.root, self._vocabulary)
            except InputError as error:
                yield Finding("holdout", error)

    def _inspect_factors(self, background: tuple[str, ...]) -> Iterator[Finding]:
        """Inspect the file of factors, and whether all names parse."""
        path, names = self.root / FILE, self.class_names
        faults = parse_factors(path, (*names, *layout.unlabelled(self.config)))[2] if os.path.lexists(path) else []
        factors = None
        try:
            factors = None if faults else class_factors(self.config, self.root, names, background)[0]
        except InputError as error:
            faults = [error]
        yield from _findings("factors", faults)
        if factors is None:
            return
        parsed = []
        for name in names:
            try:
                parsed.append(factors(name))
            except InputError as error:
                yield Finding("factors", error.at(FileLocation(self.folder.mapping_path, part=str(error.where))))
        for slot, file in enumerate(self.folder.benchmark.factor_mappings):
            listed, faults = parse_mapping(self.root / file)
            yield from _findings("mapping", faults)
            for factor in dict.fromkeys(entry[slot] for entry in parsed if slot < len(entry)) if listed else ():
                if factor is not None and factor not in listed:
                    problem = f"no {factor!r}, which classes of {self.folder.mapping_path.name} have"
                    yield Finding("factors", InputError(self.root / file, problem))

    def inspect_lists(self) -> Iterator[Finding]:
        """Inspect the lists of videos to train and test on."""
        if not self.split_names:
            yield Finding("split", InputError(self.root, "no splits", layout.WRITE_SPLITS))
        for name in self.split_names:
            parts = self.splits[name] = {}
            for part in ("train", "test"):
                path = layout.find_split(self.root, part, name)
                if path is None:
                    yield Finding("split", layout.no_split(self.root, part, name))
                    continue
                parts[part], faults = layout.parse_split(path)
                is_only_trained_on = part == "test" and path.stat().st_size == 0  # as training takes it
                yield from _findings("split", [] if is_only_trained_on else faults)
            yield from _findings("overlap", layout.overlaps(parts.get("train", {}), parts.get("test", {})))
        if not self.is_complete:
            return
        published = self.folder.benchmark.splits
        for name in published if self.split_names else ():
            if name not in self.split_names:
                problem = f"no split {name}; the published ones are {', '.join(published)}"
                yield Finding("coverage", InputError(self.root / "splits", problem))
        # numbered splits divide the same videos; named ones may come from different sources
        numbered = {name: parts for name, parts in self.splits.items() if name.isdigit() and len(parts) == 2}
        listed = {name: parts["train"] | parts["test"] for name, parts in numbered.items()}
        named_in = {video: where for videos in listed.values() for video, where in videos.items()}
        for name, videos in listed.items():
            for video, where in named_in.items():
                if video not in videos:
                    problem = f"split {name} neither trains nor tests video {video!r} of {where}"
                    yield Finding("coverage", InputError(self.root / "splits", problem))

    def inspect_groups(self) -> Iterator[Finding]:
        """Inspect the pattern of `data.groups`, and whether a group is in both parts of a split."""
        if self.config.groups is None:
            return
        try:
            groups = read_groups(self.videos, self.config.groups)
        except InputError as error:
            yield Finding("groups", error)
            return
        path = self.root / "splits"
        for name, parts in self.splits.items():
            train, test = ({groups[video] for video in parts.get(part, {})} for part in ("train", "test"))
            if train & test:
                shared = ", ".join(in_order(train & test))
                problem = f"split {name} has {len(train & test)} groups in both parts: {shared}"
                yield Finding("shared groups", InputError(path, problem, "fact-clip data split divides them"))
            if len(train) == 1 and self.config.validation > 0:
                problem, fix = f"split {name} trains on one group, {train.pop()!r}", "set data.groups=null"
                yield Finding("groups", InputError(path, problem, f"{fix}, or data.validation=0"))

    def inspect_labels(self) -> Iterator[Finding]:
        """Inspect the label files."""
        files = self.folder.labels(self.config, self.class_names)
        ignored = {*layout.unlabelled(self.config)}
        unknown: dict[str, layout.LabelFile] = {}  # labels, each with the first file that has it
        frames, videos, occurring = Counter[str](), Counter[str](), set[str]()
        for video, where in paced(self.videos.items(), "reading labels", logger):
            path = self.folder.label_path(video)
            try:
                if not path.exists():
                    raise layout.missing_file(where, video, "labels", path)
                file = files[video]
            except InputError as error:
                yield Finding("labels", error)
                continue
            if not file.counts:
                yield Finding("labels", file.no_labels())
                continue
            if "" in file.unknown:
                yield Finding("labels", file.unknown_label("", ()))
            if not file.counts.keys() - ignored:
                yield Finding("unlabelled", InputError(path, "no frame has a label", layout.TAKE_OUT))
            occurring.update(file.counts)
            self.lengths[video] = len(file.labels)
            self.classes[video] = {*self.class_names} & file.counts.keys()
            for label in sorted(file.unknown.keys() - {""}):
                unknown.setdefault(label, file)
                frames[label] += file.counts[label]
                videos[label] += 1
        for name in self.config.unlabelled:
            if name not in occurring and self.classes and self.is_complete:
                problem = f"no frame is labelled {name!r}, which data.unlabelled names"
                fix = suggest(name, sorted(occurring), 0.6)
                yield Finding("labels", InputError(self.root / "groundTruth", problem, fix))
        for label, file in unknown.items() if self.class_names else ():
            details = f" ({frames[label]} frames in {videos[label]} videos)"
            yield Finding("labels", file.unknown_label(label, self.class_names, details))

    def _inspect_coverage(self) -> Iterator[Finding]:
        """Inspect which videos are in no split, and which classes are never trained."""
        videos = self.videos
        for path in layout.label_files(self.root) if self.is_complete else ():
            if path.stem not in videos:
                yield Finding("coverage", InputError(path, f"video {path.stem!r} is in no split"))

        def classes_of(names: Iterable[str]) -> set[str]:
            return set[str]().union(*(self.classes.get(name, set()) for name in names))

        for name, parts in self.splits.items():
            tested = classes_of(parts.get("test", {})) - classes_of(parts.get("train", {}))
            if tested and "train" in parts:
                problem = f"split {name} tests {len(tested)} classes that it never trains: {', '.join(sorted(tested))}"
                yield Finding("never trained", InputError(self.root / "splits", problem))
        unused = [name for name in self.class_names if name not in classes_of(self.classes)]
        if unused and self.classes:
            problem = f"{len(unused)} classes that no video has: {', '.join(unused)}"
            yield Finding("never trained", InputError(self.folder.mapping_path, problem))

    def inspect_features(self) -> Iterator[Finding]:
        """Inspect missing and unreadable feature files, their orientation, length and width."""
        stored: dict[str, NDArray[Any]] = {}
        for video, where in self.videos.items():
            path = self.folder.feature_path(video)
            try:
                if not os.path.lexists(path):
                    raise layout.missing_file(where, video, "features", path)
                stored[video] = features.load_features(path, "TD")  # as stored, until the layout is known
            except InputError as error:
                yield Finding("features", error)
        orientation = self._layout(stored)
        fps = self.config.fps if self.config.fps is not None else self.folder.benchmark.fps
        paths = map(self.folder.feature_path, stored)
        yield from _findings("features", features.sidecar_faults(paths, fps, orientation))
        if orientation is None:
            if self.lengths and stored:
                yield Finding("orientation", features.ambiguous_layout(self.folder.features_path))
            return
        self._features = {video: array if orientation == "TD" else array.T for video, array in stored.items()}
        shapes = {video: array.shape for video, array in self._features.items()}
        for video in (video for video in self._features if video in self.lengths):
            path = self.folder.feature_path(video)
            fault = features.length_fault(path, self._features[video], orientation, self.lengths[video], self.config)
            if fault is not None:
                yield Finding(*fault)
                if fault[0] == "orientation":
                    del shapes[video]
        if shapes:  # of equally frequent widths the first
            self.columns = Counter(shape[1] for shape in shapes.values()).most_common(1)[0][0]
        for video, shape in shapes.items():
            path = self.folder.feature_path(video)
            if (wrong := features.width_fault(path, shape, self.columns or 0, "most files")) is not None:
                yield Finding("width", wrong)

    def _layout(self, stored: dict[str, NDArray[Any]]) -> Layout | None:
        """Return the layout that is known, else the one that fits the labels of most videos."""
        orientation = self.config.layout or self.folder.benchmark.layout
        if orientation is not None or not stored:
            return orientation
        votes: Counter[Layout | None] = Counter()
        for video in (video for video in self.lengths if video in stored):
            with suppress(InputError):
                votes[features.read_layout(video, stored[video].shape, self.lengths[video], self.config)] += 1
        del votes[None]  # both sides fit
        return votes.most_common(1)[0][0] if votes else None

    def _inspect_values(self) -> Iterator[Finding]:
        """Inspect the features for NaN, and for files with the same values in every frame."""
        total = sum(array.nbytes for array in self._features.values())
        self.checked_share = 1.0 if self.full or total <= SAMPLED_BYTES else SAMPLED_BYTES / total
        constant = dict[Path, bool]()
        for video in paced(self._features, "reading features", logger, self.progress) if self._features else ():
            array, path = self._features[video], self.folder.feature_path(video)
            try:
                if self.checked_share == 1:
                    features.check_finite(path, array)
                    constant[path] = features.is_constant(array)
                else:
                    _check_sample(path, array, self.checked_share)
            except InputError as error:
                yield Finding("not finite", error)
        same, fix = "have the same values", "extract the features again"
        if constant and all(constant.values()):
            problem = f"all frames of all {len(constant)} videos {same}"
            yield Finding("constant", InputError(self.folder.features_path, problem, fix))
            return
        for path in (path for path, is_same in constant.items() if is_same):
            yield Finding("constant", InputError(path, f"all frames {same}", fix))

    def _inspect_objects(self) -> Iterator[Finding]:
        """Inspect the file of object columns, and whether the features have as many."""
        if self.config.objects.file is None or self._vocabulary is None or not self._features:
            return
        from fact_clip.datasets.objects import ObjectColumns  # SciPy takes a while

        try:
            objects = ObjectColumns.read(self.config.objects, self.root, self._vocabulary)
            if objects is not None and self.columns is not None:
                objects.check(self.columns)
        except InputError as error:
            yield Finding("objects", error)


def _check_sample(path: Path, array: NDArray[Any], share: float) -> None:
    """Check a share of the stored rows (frames or columns) of a file, spread evenly, for NaN."""
    if array.dtype.kind != "f":
        return
    by_frame = array.flags.c_contiguous
    stored = array if by_frame else array.T
    if hasattr(mmap, "MADV_RANDOM"):  # the system reads far more around each row otherwise
        stored._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
    rows = np.linspace(0, len(stored) - 1, min(len(stored), max(3, int(share * len(stored))))).astype(int)
    bad = np.argwhere(~features.is_usable(stored[rows]))
    if len(bad):
        row, index = int(rows[bad[0][0]]), int(bad[0][1])
        raise features.not_finite(path, stored[row, index], *((row, index) if by_frame else (index, row)))
