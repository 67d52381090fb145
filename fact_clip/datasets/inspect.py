"""All faults of a data set, for `fact-clip data check`. Readers raise only the first one."""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from fact_clip.config import DataConfig
from fact_clip.core import (
    Array,
    Factors,
    FileLocation,
    InputError,
    Location,
    Names,
    OrientationError,
    Progress,
    Vocabulary,
)
from fact_clip.core.messages import join_names, suggest
from fact_clip.core.progress import paced
from fact_clip.datasets import clicks, features, layout
from fact_clip.datasets.benchmarks import FACTORS_FILE, Layout, class_factors, parse_factors
from fact_clip.datasets.labels import VideoLabels, unlabelled
from fact_clip.datasets.naming import names_alike
from fact_clip.datasets.objects import ObjectColumns
from fact_clip.datasets.splits import guess_groups
from fact_clip.unseen.groups import read_groups
from fact_clip.unseen.holdout import find_holdout

logger = logging.getLogger(__name__)


# Kinds of findings that do not prevent training and evaluation. All others are errors.
NOTES = (
    "never trained",
    "coverage",
    "shared groups",
    "constant",
    "unlabelled",
    "names",
    "copies",
    "clicks",
    "cut",
)


@dataclass(frozen=True)
class Finding:
    """One fault of a data set."""

    kind: str
    error: InputError

    @property
    def severity(self) -> str:
        """Return "note" if training and evaluation still work, otherwise "error"."""
        return "note" if self.kind in NOTES else "error"


class Inspection:
    """Inspection of a data set. Iterate over it to get the findings.

    Args:
        config: Configuration with the location of the data set.
        split: Split to inspect, or None for all splits and for videos outside of splits.
        progress: Function called with (completed files, files, video) while features are read.

    Raises:
        InputError: The data set or the split is missing.
    """

    def __init__(
        self,
        config: DataConfig,
        split: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.config = config
        self.progress = progress
        self.folder = layout.DataFolder(config)
        self.root = self.folder.root
        self.is_complete = split is None
        self.split_names = layout.split_names(self.root)
        if split is not None:
            if split not in self.split_names:
                self.folder.videos("train", split)  # raises the error
            self.split_names = [split]
        self.findings: list[Finding] = []
        self.splits: dict[str, dict[str, layout.Videos]] = {}  # by split, part and video
        self.class_names: Names = ()
        self.classes: dict[str, set[str]] = {}  # by video, without unknown classes
        self.lengths: dict[str, int] = {}  # number of labels of each video
        self.columns: int | None = None  # D of most feature files, or None without files
        self._vocabulary: Vocabulary | None = None  # None if the classes are faulty
        self._features: dict[str, Array] = {}  # (T, D) of each video

    def __iter__(self) -> Iterator[Finding]:
        """Inspect everything, and yield the findings."""
        self._inspect_classes()
        self._inspect_lists()
        has_clicks = (self.root / clicks.FOLDER).is_dir()
        if has_clicks or self._has_folder(self.folder.labels_path):
            self._inspect_labels()
            self._inspect_coverage()
        self._inspect_groups()
        if self._has_folder(self.folder.features_location):
            self._inspect_features()
            self._inspect_values()
            self._inspect_objects()
        yield from self.findings

    def _has_folder(self, path: Path) -> bool:
        if not path.is_dir():
            self._report("folder", path, "no such folder", "it must have one file per video")
        return path.is_dir()

    def _add(self, kind: str, *errors: InputError) -> None:
        self.findings += [Finding(kind, error) for error in errors]

    def _report(self, kind: str, where: Location, problem: str, fix: str = "") -> None:
        self._add(kind, InputError(where, problem, fix))

    @contextmanager
    def _noted(self, kind: str) -> Iterator[None]:
        """Add a finding for an error in the block."""
        try:
            yield
        except InputError as error:
            self._add("orientation" if isinstance(error, OrientationError) else kind, error)

    @property
    def videos(self) -> Mapping[str, Location]:
        """Return the videos of the splits, each with its first line, or else all label files."""
        videos: dict[str, Location] = {}
        for parts in self.splits.values():
            for part in parts.values():
                for video, location in part.items():
                    videos.setdefault(video, location)
        if not videos:
            return {path.stem: path for path in layout.label_files(self.root)}
        return videos

    def _inspect_classes(self) -> None:
        names, faults = self.folder.mapping
        self._add("mapping", *faults)
        if not names:
            return
        background, faults = self.folder.background(self.config)
        self._add("background", *faults)
        ignored = unlabelled(self.config)
        self.class_names = tuple(name for name in names if name not in ignored)
        for alike in names_alike(self.class_names):
            problem = f"{join_names(map(repr, alike))} are treated as different classes"
            self._report("names", self.folder.mapping_location, problem, "spell them in one way")
        self._inspect_factors(background)
        with warnings.catch_warnings(action="ignore"), suppress(InputError):  # already findings
            self._vocabulary = self.folder.vocabulary(self.config)
        if self._vocabulary is not None:
            with self._noted("holdout"):
                find_holdout(self.config, self.root, self._vocabulary, self.folder.class_names)

    def _inspect_factors(self, background: Names) -> None:
        path = self.root / FACTORS_FILE
        if os.path.lexists(path):
            *_, faults = parse_factors(path, (*self.class_names, *unlabelled(self.config)))
            if faults:
                self._add("factors", *faults)
                return
        factors = None
        with self._noted("factors"):
            factors, _ = class_factors(
                self.config, self.folder.benchmark, self.root, self.class_names, background
            )
        if factors is None:
            return
        names_of: dict[Factors, list[str]] = {}
        for name in self.class_names:
            try:
                names_of.setdefault(factors(name), []).append(name)
            except InputError as error:
                location = FileLocation(self.folder.mapping_location, part=str(error.where))
                self._add("factors", error.at(location))
        for parts, names in names_of.items():
            if len(names) > 1 and any(parts):
                problem = f"{join_names(map(repr, names))} have the same parts"
                fix = f"distinguish them in {FACTORS_FILE}"
                self._report("names", self.folder.mapping_location, problem, fix)

    def _inspect_lists(self) -> None:
        if not self.split_names:
            self._report("split", self.root, "no splits", layout.WRITE_SPLITS)
        for name in self.split_names:
            parts: dict[str, layout.Videos] = {}
            for part in ("train", "test"):
                parts[part], faults = layout.read_split(self.root, part, name)
                self._add("split", *faults)
            self._add("overlap", *layout.overlaps(parts["train"], parts["test"]))
            self.splits[name] = parts

    def _inspect_groups(self) -> None:
        pattern = self.config.groups or guess_groups(self.videos)
        if pattern is None:
            return
        path = self.root / "splits"
        with self._noted("groups"):
            groups = read_groups(self.videos, pattern)
            for name, parts in self.splits.items():
                train = {groups[video] for video in parts["train"]}
                test = {groups[video] for video in parts["test"]}
                both = ", ".join(layout.in_order(train & test))
                if both:
                    problem = f"groups in both parts of split {name}: {both}"
                    self._report(
                        "shared groups", path, problem, "fact-clip data split divides them"
                    )

    def _inspect_labels(self) -> None:
        reader = self.folder.labels(self.config, self.class_names)
        ignored = {*unlabelled(self.config)}
        unknown: dict[str, VideoLabels] = {}  # first video with each name
        n_frames = Counter[str]()  # frames with each name
        n_videos = Counter[str]()
        for video in paced(self.videos, "reading labels", logger):
            with self._noted("labels"):
                labels = reader.read(video)
                marks = self.root / clicks.FOLDER / f"{video}.csv"
                if marks.is_file() and not self.folder.is_clicked(video):
                    problem = "not read, because the video also has labels of all frames"
                    self._report("clicks", marks, problem, "remove one of the files")
                if not labels.counts:
                    raise labels.empty_error()
                if "" in labels.unknown:
                    self._add("labels", labels.unknown_error("", ()))
                if not labels.counts.keys() - ignored:
                    fix = "remove the video from the splits, or set train.self_training"
                    self._report("unlabelled", labels.location, "no frame is labelled", fix)
                n_frames.update(labels.counts)
                n_videos.update(labels.counts.keys())
                self.lengths[video] = len(labels.indices)
                self.classes[video] = {*self.class_names} & labels.counts.keys()
                for name in sorted(labels.unknown.keys() - {""}):
                    unknown.setdefault(name, labels)

        if self.classes and self.is_complete:
            for name in self.config.unlabelled:
                if name not in n_frames:
                    problem = f"no frame is labelled {name!r}, which data.unlabelled lists"
                    fix = suggest(name, sorted(n_frames), 0.6)
                    self._report("labels", self.folder.labels_path, problem, fix)
        if self.class_names:
            for name, labels in unknown.items():
                details = f" ({n_frames[name]} frames in {n_videos[name]} videos)"
                self._add("labels", labels.unknown_error(name, self.class_names, details))

    def _classes_of(self, videos: Iterable[str]) -> set[str]:
        """Return the classes that occur in some videos."""
        return set[str]().union(*(self.classes.get(name, set()) for name in videos))

    def _inspect_coverage(self) -> None:
        if self.is_complete:
            videos = self.videos
            for path in layout.label_files(self.root):
                if path.stem not in videos:
                    self._report("coverage", path, f"video {path.stem!r} is in no split")
        for name, parts in self.splits.items():
            tested = self._classes_of(parts["test"]) - self._classes_of(parts["train"])
            if tested:
                names = ", ".join(sorted(tested))
                problem = f"split {name} tests {len(tested)} classes that it never trains: {names}"
                self._report("never trained", self.root / "splits", problem)
        occurring = self._classes_of(self.classes)
        unused = [name for name in self.class_names if name not in occurring]
        if unused and self.classes:
            scope = "" if self.is_complete else f" of split {self.split_names[0]}"
            problem = f"{len(unused)} classes that no video{scope} has: {', '.join(unused)}"
            self._report("never trained", self.folder.mapping_location, problem)

    def _inspect_features(self) -> None:
        stored: dict[str, Array] = {}  # as in the files, until the layout is known
        for video in self.videos:
            with self._noted("features"):
                stored[video] = self.folder.features(video, "TD")
        orientation = self.config.layout or self.folder.benchmark.layout
        orientation = orientation or self._guess_layout(stored)
        fps = self.folder.benchmark.fps if self.config.fps is None else self.config.fps
        paths = self.folder.feature_files(stored)
        self._add("features", *features.sidecar_faults(paths, fps, orientation))
        if orientation is None:
            return

        for video, array in stored.items():
            self._features[video] = array if orientation == "TD" else array.T
        widths: dict[str, int] = {}
        cuts = {}
        for video, rows in self._features.items():
            if video not in self.lengths:
                continue
            with self._noted("length"):
                location = self.folder.feature_location(video)
                n_labels = self.lengths[video]
                features.check_length(location, rows, orientation, n_labels)
                widths[video] = rows.shape[1]
                if abs(len(rows) - n_labels) > features.ROUNDED_FRAMES:
                    cuts[location] = features.describe_cut(len(rows), n_labels)
        if not widths:
            return
        lengths = [(len(self._features[video]), self.lengths[video]) for video in widths]
        uncut = [pair for pair in lengths if pair[0] != pair[1]]
        with self._noted("length"):
            features.check_one_rate(self.folder.features_location, uncut)
            for location, problem in cuts.items():
                self._report("cut", location, problem)
        # In a tie, use the first width.
        self.columns = Counter(widths.values()).most_common(1)[0][0]
        for video in widths:
            with self._noted("width"):
                location = self.folder.feature_location(video)
                features.check_width(location, self._features[video], self.columns, "most files")

    def _guess_layout(self, stored: dict[str, Array]) -> Layout | None:
        """Return the layout that fits the labels of most videos. Otherwise, add an error."""
        votes: Counter[Layout] = Counter()
        errors: list[InputError] = []
        for video, n_labels in self.lengths.items():
            if video not in stored:
                continue
            location = self.folder.feature_location(video)
            try:
                orientation = features.read_layout(location, stored[video].shape, n_labels)
                if orientation is None:
                    raise features.unclear_layout(self.folder.features_location)
                votes[orientation] += 1
            except InputError as error:
                errors.append(error)
        if votes:
            return votes.most_common(1)[0][0]
        for fault in errors[:1]:
            with self._noted("length"):
                raise fault
        return None

    def _inspect_values(self) -> None:
        video_of: dict[str, str] = {}
        for video in paced(self._features, "reading features", logger, self.progress):
            array = self._features[video]
            path = self.folder.feature_location(video)
            with path.open("rb") as file:
                first = video_of.setdefault(file_digest(file, "sha256").hexdigest(), video)
            if first != video:
                problem = f"the same features as those of video {first!r}"
                self._report("copies", path, problem, "keep one, or both in one part of a split")
            with self._noted("not finite"):
                features.check_finite(path, array)
                if features.is_constant(array):
                    fix = "extract the features again"
                    self._report("constant", path, "all frames have the same values", fix)

    def _inspect_objects(self) -> None:
        if self.config.objects.names_file is None or self._vocabulary is None or not self._features:
            return
        with self._noted("objects"):
            objects = ObjectColumns.from_file(self.config.objects, self.root, self._vocabulary)
            if self.columns is not None:
                objects.check(self.columns)
