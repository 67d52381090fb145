"""The common layout (docs/datasets.md): the folder of a data set, its classes and its splits."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from fact_clip.config import DataConfig
from fact_clip.core import (
    Array,
    Clock,
    FileLocation,
    InputError,
    Location,
    Names,
    Vocabulary,
    parse_mapping,
)
from fact_clip.core.io import read_lines
from fact_clip.core.messages import join_names, suggest
from fact_clip.core.paths import is_file_name
from fact_clip.datasets import clicks
from fact_clip.datasets.benchmarks import (
    Benchmark,
    Layout,
    class_factors,
    find_benchmark,
    find_root,
)
from fact_clip.datasets.clicks import Click
from fact_clip.datasets.features import check_whole, load_features, read_clock, read_sidecar
from fact_clip.datasets.labels import LabelReader, unlabelled
from fact_clip.unseen.groups import SplitVideos

# Lists of a split, by part ("train", "test") and name of the split.
SPLIT_FILES = ("splits/{part}.split{name}.bundle", "{name}.{part}", "split{name}.{part}")
WRITE_SPLITS = (
    "create them with fact-clip data split, or list the videos to train on in"
    " splits/train.split1.bundle, one per line, and the others in test.split1.bundle"
)

Videos = dict[str, Location]  # videos of a list, with the line that names each


class DataStore(ABC):
    """The classes, splits, labels and features of a data set, in a folder or in memory.

    The mapping, the lists and the labels are read once.
    """

    benchmark: Benchmark
    root: Path | None  # the folder, or None for data in memory
    location: Location  # location of the data set in errors
    mapping_location: Location
    features_location: Location

    def __init__(self) -> None:
        self._vocabularies: dict[Any, Vocabulary] = {}
        self._labels: dict[Any, LabelReader] = {}

    @abstractmethod
    def label_location(self, video: str, line: int | None = None) -> Location:
        """Return the location of the labels of a video, for errors."""

    @abstractmethod
    def feature_location(self, video: str) -> Location:
        """Return the location of the features of a video, for errors."""

    @abstractmethod
    def label_lines(self, video: str) -> list[str]:
        """Return the label of each frame of a video."""

    def rate(self, config: DataConfig, videos: Iterable[str]) -> float | None:
        """Return the feature rows per second, by default the first rate in a JSON file."""
        fps = self.benchmark.fps if config.fps is None else config.fps
        for path in self.feature_files(videos):
            fps = fps or read_sidecar(path).fps
        return fps

    def is_clicked(self, video: str) -> bool:
        """Return whether a video has clicks instead of labels."""
        return False

    def clicks(self, video: str) -> list[Click]:
        """Return the clicks of a video, or an empty list if it has labels."""
        return []

    @abstractmethod
    def features(self, video: str, layout: Layout) -> Array:
        """Return the features (T, D) of a video. The layout "TD" returns them as stored."""

    @abstractmethod
    def feature_files(self, videos: Iterable[str]) -> list[Path]:
        """Return the feature files of videos. Data in memory have no files."""

    @abstractmethod
    def videos(self, part: str, split: str) -> Videos:
        """Return the videos of one part ("train" or "test") of a split. Raise its first fault."""

    def split(self, config: DataConfig) -> SplitVideos:
        """Return the videos of a split. Raise its first fault."""
        name = str(config.split)
        if name == "all":
            raise InputError("data.split", "'all' is not one split", "open one split at a time")
        learning = self.videos("train", name)
        test = self.videos("test", name)
        for error in overlaps(learning, test):
            raise error
        return SplitVideos(tuple(learning), tuple(test))

    @property
    @abstractmethod
    def mapping(self) -> tuple[Names, list[InputError]]:
        """Return all names of the mapping, including ``data.unlabelled``, and its faults."""

    @property
    def class_names(self) -> Names:
        """Return all names of the mapping. Raise its first fault."""
        names, faults = self.mapping
        for error in faults:
            raise error
        return names

    def vocabulary(self, config: DataConfig) -> Vocabulary:
        """Return the classes with background and factors, but without unlabelled names."""
        key = (config.background, config.unlabelled, config.grammar)
        if key not in self._vocabularies:
            self._vocabularies[key] = self._read_vocabulary(config)
        return self._vocabularies[key]

    def _read_vocabulary(self, config: DataConfig) -> Vocabulary:
        ignored = unlabelled(config)
        names = tuple(name for name in self.class_names if name not in ignored)
        background, faults = self.background(config)
        for error in faults:
            raise error

        factors, slots = class_factors(config, self.benchmark, self.root, names, background)
        return Vocabulary.from_names(names, background, factors, slots)

    def background(self, config: DataConfig) -> tuple[Names, list[InputError]]:
        """Return the background classes, and the faults of background and unlabelled names."""
        class_names, _ = self.mapping
        location = self.mapping_location
        ignored = unlabelled(config)
        names = tuple(name for name in class_names if name not in ignored)
        if not names:
            problem = f"none of the {len(class_names)} classes in {location} remains"
            return (), [InputError("data.unlabelled", problem)]

        configured = config.background
        if configured is None:  # benchmarks may specify ids
            published = self.benchmark.background_of(class_names)
            configured = tuple(name for name in published if name not in ignored)
        faults = []
        for name in configured:
            if name in ignored:
                problem = f"{name!r} is also in data.background"
                faults.append(InputError("data.unlabelled", problem, "remove it from one"))
            elif name not in names:
                problem = f"no class {name!r}, which data.background lists"
                fix = suggest(name, names, 0.6) or "set data.background"
                faults.append(InputError(location, problem, fix))

        background = tuple(name for name in configured if name in names)
        if len(background) == len(names):
            problem = f"all {len(names)} classes are background"
            faults.append(InputError(location, problem, "set data.background"))
        return background, faults

    def labels(self, config: DataConfig, class_names: Names) -> LabelReader:
        """Return the reader of labels for these class names."""
        key = (class_names, config.unlabelled)
        if key not in self._labels:
            self._labels[key] = LabelReader(
                self.label_lines, self.label_location, class_names, unlabelled(config)
            )
        return self._labels[key]


class DataFolder(DataStore):
    """The files of a data set in the common layout."""

    root: Path
    mapping_location: Path
    features_location: Path

    def __init__(self, config: DataConfig) -> None:
        super().__init__()
        self.config = config
        self.benchmark = find_benchmark(config.name)
        self.root = find_root(config)
        self.labels_path = self.root / "groundTruth"
        self.location = self.root
        self.mapping_location = self.root / self.benchmark.mapping
        self.features_location = self.root / self.benchmark.features
        self._lists: dict[tuple[str, str], Videos] = {}

    def label_location(self, video: str, line: int | None = None) -> FileLocation:
        """Return the label file of a video with the line, or its file of clicks."""
        path = self.labels_path / f"{video}.txt"
        clicks_path = self.root / clicks.FOLDER / f"{video}.csv"
        if clicks_path.is_file() and not os.path.lexists(path):
            return FileLocation(clicks_path)
        return FileLocation(path, line)

    def feature_location(self, video: str) -> Path:
        """Return the feature file of a video."""
        return self.features_location / f"{video}.npy"

    def is_clicked(self, video: str) -> bool:
        """Return whether a video has clicks instead of labels."""
        return self.label_location(video).path.suffix == ".csv"

    def label_lines(self, video: str) -> list[str]:
        """Return the label of each frame of a video. Between clicks, the nearer one counts."""
        marks = self.clicks(video)
        if marks:
            names = [click.label for click in marks]
            borders = clicks.middle_borders([click.frame for click in marks])
            return clicks.label_frames(names, borders, self._clock(video).n_frames or 0)
        path = self.label_location(video).path
        return read_lines(path, "a label file, one class name per line")

    def clicks(self, video: str) -> list[Click]:
        """Return the clicks of a video that has some instead of labels."""
        if not self.is_clicked(video):
            return []
        path = self.label_location(video).path
        check_whole(self.feature_location(video))
        clock = self._clock(video)
        n_rows = clock.n_frames or 0
        return clicks.read_clicks(path, clock.starts(n_rows + 1), n_rows)

    def _clock(self, video: str) -> Clock:
        """Return the clock of a feature file, for a video without one label per row."""
        layout = self.config.layout or self.benchmark.layout
        return read_clock(self.feature_location(video), self.rate(self.config, [video]), layout)

    def features(self, video: str, layout: Layout) -> Array:
        """Return the features (T, D) of a video, memory-mapped."""
        path = self.feature_location(video)
        if not os.path.lexists(path):
            problem = f"not found; the folder has {self._stored_files}"
            fix = "save the features of each video there as NAME.npy, with numpy.save"
            raise InputError(path, problem, fix)
        return load_features(path, layout)

    @cached_property
    def _stored_files(self) -> str:
        """Return the file names in the feature folder, for errors."""
        names = (file.name for file in self.features_location.glob("*"))
        return join_names(sorted(names)) or "nothing"

    def feature_files(self, videos: Iterable[str]) -> list[Path]:
        """Return the feature files of videos, which may have JSON files next to them."""
        return [self.feature_location(video) for video in videos]

    @cached_property
    def mapping(self) -> tuple[Names, list[InputError]]:
        """Return all names of the mapping, including ``data.unlabelled``, and its faults."""
        return parse_mapping(self.mapping_location)

    def videos(self, part: str, split: str) -> Videos:
        """Return the videos of one part ("train" or "test") of a split. Raise its first fault."""
        key = (part, split)
        if key not in self._lists:
            videos, faults = read_split(self.root, part, split)
            for error in faults:
                raise error
            self._lists[key] = videos
        return self._lists[key]

    def all_videos(self) -> list[str]:
        """Return the videos of all splits in the order of the lists, or all labelled videos."""
        videos: Videos = {}
        for split in split_names(self.root):
            for part in ("train", "test"):
                if find_split(self.root, part, split) is not None:
                    videos |= self.videos(part, split)
        return list(videos) or [path.stem for path in label_files(self.root)]


def label_files(root: Path) -> list[Path]:
    """Return one file with labels or clicks for each video, sorted by name.

    Hidden files, which macOS creates, are excluded.
    """
    clicked = {path.stem: path for path in (root / clicks.FOLDER).glob("[!.]*.csv")}
    labelled = {path.stem: path for path in (root / "groundTruth").glob("[!.]*.txt")}
    return sorted((clicked | labelled).values(), key=lambda path: path.name)


def split_names(root: Path) -> list[str]:
    """Return the splits that have a training list: first numbers in order, then names."""
    names = {
        path.name.removeprefix("train.split").removesuffix(".bundle")
        for path in root.glob("splits/train.split*.bundle")
    }
    for path in root.glob("*.train"):
        # "split1.train" is split 1, like "train.split1.bundle".
        names.add(re.sub(r"^split(?=\d+$)", "", path.name.removesuffix(".train")))
    return in_order(names)


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names, with numbers in numerical order: subj2 before subj10."""

    def key(name: str) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", name)
        return [(int(part) if part.isdecimal() else -1, part) for part in parts]

    return sorted(names, key=key)


def find_split(root: Path, part: str, name: str) -> Path | None:
    """Return the list of one part ("train" or "test") of a split, or None if there is none."""
    path = _list_path(root, part, name)
    return path if path.is_file() else None


def _list_path(root: Path, part: str, name: str) -> Path:
    """Return the path of the list of a part, in the same form as the training list."""
    for template in SPLIT_FILES:
        if (root / template.format(part="train", name=name)).is_file():
            return root / template.format(part=part, name=name)
    return root / SPLIT_FILES[0].format(part=part, name=name)


def read_split(root: Path, part: str, name: str) -> tuple[Videos, list[InputError]]:
    """Read the videos of one part of a split with their first lines, and all faults of the list.

    An empty file of test videos means that there are none, for a data set only for training.
    """
    path = _list_path(root, part, name)
    if not path.is_file():
        names = ", ".join(split_names(root))
        fix = f"set data.split to one of {names}" if names else WRITE_SPLITS
        return {}, [InputError(path, "no such list", fix)]
    try:
        lines = read_lines(path, "a list of videos")
    except InputError as error:
        return {}, [error]

    videos: Videos = {}
    faults = []
    for number, line in enumerate(lines, start=1):
        video = line.removesuffix(".txt")
        location = FileLocation(path, number)
        if not line:
            continue
        if not is_file_name(video):
            problem = f"{line!r} is not the name of a video without a folder"
            faults.append(InputError(location, problem))
        elif video in videos:
            problem = f"video {video!r} is repeated, first in {videos[video]}"
            faults.append(InputError(location, problem, "list it once"))
        else:
            videos[video] = location

    may_be_empty = part == "test" and path.stat().st_size == 0
    if not videos and not faults and not may_be_empty:
        faults.append(InputError(path, "no videos", "list one NAME or NAME.txt per line"))
    return videos, faults


def overlaps(learning: Videos, test: Videos) -> Iterator[InputError]:
    """Yield an error for each test video that is also a training video."""
    for name, location in test.items():
        if name in learning:
            problem = f"video {name!r} is also in {learning[name]}"
            yield InputError(location, problem, "test on other videos")
