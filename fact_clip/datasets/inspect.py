"""Everything that is wrong with a data set, for `fact-clip data check`; readers raise the first of it."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import FileLocation, InputError, Location, OrientationError, Vocabulary
from fact_clip.core.messages import suggest
from fact_clip.core.progress import paced
from fact_clip.datasets import features, layout
from fact_clip.datasets.benchmarks import FACTORS_FILE, Layout, class_factors, parse_factors
from fact_clip.datasets.holdout import find_holdout
from fact_clip.datasets.labels import VideoLabels, unlabelled
from fact_clip.datasets.splits import in_order, read_groups

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]

# Kinds of findings that training and scoring can live with; all others are errors.
NOTES = ("never trained", "spelling", "coverage", "shared groups", "constant", "unlabelled")
# Feature values that are checked for NaN unless all are asked for; a disk reads them in some seconds.
SAMPLED_BYTES = 256 << 20


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a data set."""

    kind: str
    error: InputError

    @property
    def is_note(self) -> bool:
        """Return whether training and scoring can live with it."""
        return self.kind in NOTES


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
        progress: Progress | None = None,
    ) -> None:
        self.config, self.full, self.progress = config, full, progress
        self.folder = layout.DataFolder(config)
        self.root, self.is_complete = self.folder.root, split is None
        names = layout.split_names(self.root)
        if split is not None and split not in names:
            self.folder.videos("train", split)  # raises
        self.split_names = names if split is None else [split]
        self.findings: list[Finding] = []
        self.splits: dict[str, dict[str, layout.Videos]] = {}  # split, part, video
        self.class_names: tuple[str, ...] = ()
        self._vocabulary: Vocabulary | None = None  # None where there is an error in the classes
        self.classes: dict[str, set[str]] = {}  # by video, without unknown ones
        self.lengths: dict[str, int] = {}  # labels of each video
        self.columns: int | None = None  # D of most feature files; None without any
        self.checked_share = 1.0  # of the feature values, for NaN
        self._features: dict[str, NDArray[Any]] = {}  # (T, D) of each video

    def __iter__(self) -> Iterator[Finding]:
        """Inspect all, and yield the findings."""
        self._inspect_classes()
        self._inspect_lists()
        self._inspect_groups()
        for path, inspections in (
            (self.folder.labels_path, (self._inspect_labels, self._inspect_coverage)),
            (
                self.folder.features_path,
                (self._inspect_features, self._inspect_values, self._inspect_objects),
            ),
        ):
            if path.is_dir():
                for inspect in inspections:
                    inspect()
            else:
                self._report("folder", path, "no such folder", "it has a file for each video")
        yield from self.findings

    def _add(self, kind: str, *errors: InputError) -> None:
        self.findings += [Finding(kind, error) for error in errors]

    def _report(self, kind: str, where: Location | Path, problem: str, fix: str = "") -> None:
        self._add(kind, InputError(where, problem, fix))

    @contextmanager
    def _noted(self, kind: str) -> Iterator[None]:
        """Make a finding of an error in the block."""
        try:
            yield
        except InputError as error:
            self._add("orientation" if isinstance(error, OrientationError) else kind, error)

    @property
    def videos(self) -> Mapping[str, Location]:
        """Return the videos of the splits, each with the line that names it first; without splits, all label files."""
        videos: dict[str, Location] = {}
        for parts in self.splits.values():
            for listed in parts.values():
                videos |= {video: where for video, where in listed.items() if video not in videos}
        return videos or {path.stem: FileLocation(path) for path in layout.label_files(self.root)}

    def _inspect_classes(self) -> None:
        path, config = self.folder.mapping_path, self.config
        every, faults = self.folder.mapping
        self._add("mapping", *faults)
        if not every:
            return
        background, faults = layout.background_classes(config, every, FileLocation(path))
        self._add("background", *faults)
        self.class_names = names = tuple(name for name in every if name not in unlabelled(config))
        if note := layout.spelling_note(names):
            self._report("spelling", path, note)
        self._inspect_factors(background)
        with warnings.catch_warnings(action="ignore"), suppress(InputError):  # they are findings
            self._vocabulary = self.folder.vocabulary(config)
        with self._noted("holdout"):
            if self._vocabulary is not None:
                find_holdout(config, self.root, self._vocabulary)

    def _inspect_factors(self, background: tuple[str, ...]) -> None:
        path, names, factors = self.root / FACTORS_FILE, self.class_names, None
        if os.path.lexists(path):
            *_, faults = parse_factors(path, (*names, *unlabelled(self.config)))
            self._add("factors", *faults)
            if faults:
                return
        with self._noted("factors"):
            factors, _ = class_factors(self.config, self.root, names, background)
        if factors is None:
            return
        for name in names:
            try:
                factors(name)
            except InputError as error:
                self._add(
                    "factors",
                    error.at(FileLocation(self.folder.mapping_path, part=str(error.where))),
                )

    def _inspect_lists(self) -> None:
        if not self.split_names:
            self._report("split", self.root, "no splits", layout.WRITE_SPLITS)
        for name in self.split_names:
            parts = self.splits[name] = {}
            for part in ("train", "test"):
                parts[part], faults = layout.read_split(self.root, part, name)
                self._add("split", *faults)
            self._add("overlap", *layout.overlaps(parts["train"], parts["test"]))
        for name in map(str, range(1, self.folder.benchmark.splits + 1)):
            if self.split_names and self.is_complete and name not in self.split_names:
                self._report(
                    "coverage", self.root / "splits", f"no split {name}, which was published"
                )

    def _inspect_groups(self) -> None:
        path, pattern = self.root / "splits", self.config.groups
        with self._noted("groups"):
            groups = read_groups(self.videos, pattern)
            for name, parts in self.splits.items() if pattern is not None else ():
                train, test = (
                    {groups[video] for video in parts[part]} for part in ("train", "test")
                )
                if train & test:
                    problem = (
                        f"groups in both parts of split {name}: {', '.join(in_order(train & test))}"
                    )
                    self._report(
                        "shared groups", path, problem, "fact-clip data split divides them"
                    )
                if len(train) == 1 and self.config.validation > 0:
                    fix = "set data.groups=null, or data.validation=0"
                    self._report(
                        "groups", path, f"split {name} trains on one group, {train.pop()!r}", fix
                    )

    def _inspect_labels(self) -> None:
        files = self.folder.labels(self.config, self.class_names)
        ignored = {*unlabelled(self.config)}
        unknown: dict[str, VideoLabels] = {}  # labels, each with the first file that has it
        frames, videos = Counter[str](), Counter[str]()  # of each name that a file has
        for video in paced(self.videos, "reading labels", logger):
            with self._noted("labels"):
                file = files.read(video)
                if not file.counts:
                    raise file.empty_error()
                if "" in file.unknown:
                    self._add("labels", file.unknown_error("", ()))
                if not file.counts.keys() - ignored:
                    self._report(
                        "unlabelled",
                        file.location,
                        "no frame has a label",
                        "take the video out of the splits",
                    )
                frames.update(file.counts)
                videos.update(file.counts.keys())
                self.lengths[video] = len(file.indices)
                self.classes[video] = {*self.class_names} & file.counts.keys()
                for label in sorted(file.unknown.keys() - {""}):
                    unknown.setdefault(label, file)
        for name in self.config.unlabelled:
            if name not in frames and self.classes and self.is_complete:
                problem = f"no frame is labelled {name!r}, which data.unlabelled names"
                self._report(
                    "labels", self.folder.labels_path, problem, suggest(name, sorted(frames), 0.6)
                )
        for label, file in unknown.items() if self.class_names else ():
            details = f" ({frames[label]} frames in {videos[label]} videos)"
            self._add("labels", file.unknown_error(label, self.class_names, details))

    def _inspect_coverage(self) -> None:
        videos = self.videos
        for path in layout.label_files(self.root) if self.is_complete else ():
            if path.stem not in videos:
                self._report("coverage", path, f"video {path.stem!r} is in no split")

        def classes_of(names: Iterable[str]) -> set[str]:
            return set[str]().union(*(self.classes.get(name, set()) for name in names))

        for name, parts in self.splits.items():
            tested = classes_of(parts["test"]) - classes_of(parts["train"])
            if tested:
                problem = f"split {name} tests {len(tested)} classes that it never trains: {', '.join(sorted(tested))}"
                self._report("never trained", self.root / "splits", problem)
        unused = [name for name in self.class_names if name not in classes_of(self.classes)]
        if unused and self.classes:
            problem = f"{len(unused)} classes that no video has: {', '.join(unused)}"
            self._report("never trained", self.folder.mapping_path, problem)

    def _inspect_features(self) -> None:
        path_of = self.folder.feature_path
        stored: dict[str, NDArray[Any]] = {}
        for video in self.videos:
            with self._noted("features"):
                stored[video] = features.load_features(
                    path_of(video), "TD"
                )  # as stored, until the layout is known
        orientation = self._layout(stored)
        fps = self.config.fps if self.config.fps is not None else self.folder.benchmark.fps
        self._add("features", *features.sidecar_faults(map(path_of, stored), fps, orientation))
        if orientation is None:
            if self.lengths and stored:
                self._add("orientation", features.unclear_layout(self.folder.features_location))
            return
        self._features = {
            video: array if orientation == "TD" else array.T for video, array in stored.items()
        }
        widths = dict[str, int]()
        for video in (video for video in self._features if video in self.lengths):
            with self._noted("length"):
                rows, n_labels = self._features[video], self.lengths[video]
                features.check_length(
                    self.folder.feature_location(video), rows, orientation, n_labels, self.config
                )
                widths[video] = rows.shape[1]
        if widths:  # of equally frequent widths the first
            self.columns = Counter(widths.values()).most_common(1)[0][0]
        for video in widths:
            with self._noted("width"):
                features.check_width(
                    self.folder.feature_location(video),
                    self._features[video],
                    self.columns or 0,
                    "most files",
                )

    def _layout(self, stored: dict[str, NDArray[Any]]) -> Layout | None:
        """Return the layout that is known, else the one that fits the labels of most videos."""
        orientation = self.config.layout or self.folder.benchmark.layout
        if orientation is not None or not stored:
            return orientation
        votes: Counter[Layout | None] = Counter()
        for video in (video for video in self.lengths if video in stored):
            with suppress(InputError):
                votes[
                    features.read_layout(
                        video, stored[video].shape, self.lengths[video], self.config
                    )
                ] += 1
        del votes[None]  # both sides fit
        return votes.most_common(1)[0][0] if votes else None

    def _inspect_values(self) -> None:
        total = sum(array.nbytes for array in self._features.values())
        step = 1 if self.full else -(-total // SAMPLED_BYTES) or 1
        self.checked_share = 1 / step
        for video in (
            paced(self._features, "reading features", logger, self.progress)
            if self._features
            else ()
        ):
            array, path = self._features[video], self.folder.feature_path(video)
            stored = array if array.flags.c_contiguous else array.T  # whose rows lie in one piece
            with self._noted("not finite"):
                if step > 1 and features.is_usable(stored[::step]).all():
                    continue
                features.check_finite(FileLocation(path), array)
                if features.is_constant(array):
                    self._report(
                        "constant",
                        path,
                        "all frames have the same values",
                        "extract the features again",
                    )

    def _inspect_objects(self) -> None:
        if self.config.objects.file is None or self._vocabulary is None or not self._features:
            return
        from fact_clip.datasets.objects import ObjectColumns  # SciPy takes a while

        with self._noted("objects"):
            objects = ObjectColumns.read(self.config.objects, self.root, self._vocabulary)
            if objects is not None and self.columns is not None:
                objects.check(self.columns)
