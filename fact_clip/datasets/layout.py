"""The common layout (docs/datasets.md): where a data set lies, its classes, its label files and its split files."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import (
    ConfigKey,
    FileLocation,
    InputError,
    Location,
    MissingDataError,
    Vocabulary,
    parse_mapping,
)
from fact_clip.core.io import read_lines as raw_lines
from fact_clip.core.messages import spelling_key, suggest
from fact_clip.core.paths import expanded, is_file_name
from fact_clip.datasets.benchmarks import Layout, class_factors, find_benchmark
from fact_clip.datasets.features import Array, load_features

# Where the lists of a split lie, by part ("train", "test") and name of the split.
SPLIT_FILES = ("splits/{part}.split{name}.bundle", "{name}.{part}", "split{name}.{part}")
WRITE_SPLITS = "list the videos to train on in splits/train.split1.bundle, one a line, the others in test.split1.bundle"

UNLABELLED = "?"  # the label of a frame of which nobody says what it shows

IN_MEMORY = "<memory>"  # the `data.root` of data that lie in no folder (memory.py)

Labels = NDArray[np.int64]
Videos = dict[str, Location]  # of a list, each with the line that names it


class DataFolder:
    """The files of a data set; `memory.MemoryFolder` has the same methods for data without files.

    Its mapping, its lists and its labels are read once, however often they are asked for.
    """

    def __init__(self, config: DataConfig, root: Path | None = None) -> None:
        self.benchmark, self.root = (
            find_benchmark(config.name),
            find_root(config) if root is None else root,
        )
        self.mapping_path = self.root / self.benchmark.mapping
        self.labels_path, self.features_path = (
            self.root / "groundTruth",
            self.root / self.benchmark.features,
        )
        self._vocabularies: dict[Any, Vocabulary] = {}
        self._lists: dict[tuple[str, str], Videos] = {}
        self._labels: dict[Any, LabelFiles] = {}

    def label_path(self, video: str) -> Path:
        """Return the label file of a video."""
        return self.labels_path / f"{video}.txt"

    def feature_path(self, video: str) -> Path:
        """Return the feature file of a video."""
        return self.features_path / f"{video}.npy"

    def label_lines(self, video: str) -> list[str]:
        """Return the label of each frame of a video."""
        return read_lines(self.label_path(video), "a label file, one class name per line")

    def features(self, video: str, layout: Layout) -> Array:
        """Return the features (T, D) of a video, memory-mapped; with the layout "TD" as they lie in the file."""
        return load_features(self.feature_path(video), layout)

    def described(self, videos: Iterable[str]) -> list[Path]:
        """Return the feature files of videos, beside which JSON files may lie."""
        return list(map(self.feature_path, videos))

    @cached_property
    def mapping(self) -> tuple[tuple[str, ...], list[InputError]]:
        """Return all names of the mapping, those of ``data.unlabelled`` included, and its faults."""
        return parse_mapping(self.mapping_path)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return all names of the mapping; its first fault is an InputError."""
        names, faults = self.mapping
        for error in faults:
            raise error
        return names

    def vocabulary(self, config: DataConfig) -> Vocabulary:
        """Return the classes, with background and factors as configured; ``data.unlabelled`` and "?" are none."""
        key = config.background, config.unlabelled, config.grammar
        if key not in self._vocabularies:
            n_classes, published = len(self.class_names), self.benchmark.classes
            if published not in (None, n_classes):
                text = (
                    f"{self.mapping_path}: {n_classes} classes, but {config.name} has {published}"
                )
                warnings.warn(f"{text}; a data set of your own is data.name=folder", stacklevel=2)
            names = tuple(name for name in self.class_names if name not in unlabelled(config))
            background, faults = background_classes(config, self.class_names, self.mapping_path)
            for error in faults:
                raise error
            if note := spelling_note(names):
                warnings.warn(f"{self.mapping_path}: {note}", stacklevel=2)
            factors = class_factors(config, self.root, names, background)
            self._vocabularies[key] = Vocabulary.from_names(names, background, *factors)
        return self._vocabularies[key]

    def videos(self, part: str, split: str) -> Videos:
        """Return the videos of one part ("train" or "test") of a split, see `read_split`; its first fault is raised."""
        if (part, split) not in self._lists:
            videos, faults = read_split(self.root, part, split)
            for error in faults:
                raise error
            self._lists[part, split] = videos
        return self._lists[part, split]

    def all_videos(self) -> list[str]:
        """Return the videos of all splits, in the order in which they are named; without splits, those with labels."""
        videos: dict[str, object] = {}
        for split in split_names(self.root):
            for part in ("train", "test"):
                videos |= (
                    self.videos(part, split)
                    if find_split(self.root, part, split) is not None
                    else {}
                )
        return list(videos) or [path.stem for path in label_files(self.root)]

    def labels(self, config: DataConfig, names: tuple[str, ...]) -> LabelFiles:
        """Return the label files, by video, read for these class names."""
        key = names, config.unlabelled
        return self._labels.setdefault(key, LabelFiles(self, names, unlabelled(config)))


def find_root(config: DataConfig) -> Path:
    """Return the folder of a data set; an InputError where there is none, or one with neither mapping nor labels.

    `data.root` is that folder itself, or a folder that holds it under the benchmark's published path or the last part
    of that path. FACT_CLIP_DATA and ./data are folders of the second kind.
    """
    if config.root == IN_MEMORY:
        fix = "call fact_clip.evaluate(RUN, data=...), or set it to a folder where you saved them"
        raise MissingDataError(
            ConfigKey("data.root"), "the data were in memory, not in a folder", fix
        )
    benchmark = find_benchmark(config.name)
    inside = Path(benchmark.folder or config.name)
    above = expanded(config.root or os.environ.get("FACT_CLIP_DATA") or "data")
    candidates = [*([] if config.root is None else [above]), above / inside, above / inside.name]
    root = next(
        (folder for folder in candidates if (folder / benchmark.mapping).is_file()), candidates[0]
    )
    if not (root / benchmark.mapping).is_file() and not (root / "groundTruth").is_dir():
        problem = (
            f"no data set {config.name!r}; one has mapping.txt, groundTruth, features and splits"
        )
        raise MissingDataError(
            root, problem, "set data.root, or FACT_CLIP_DATA to the folder above it"
        )
    return root


def background_classes(
    config: DataConfig, class_names: Sequence[str], path: Path
) -> tuple[tuple[str, ...], list[InputError]]:
    """Return the background classes by name, and what is wrong with background and unlabelled names."""
    ignored, entries = unlabelled(config), config.background
    names = tuple(name for name in class_names if name not in ignored)
    if not names:
        return (), [
            InputError(
                ConfigKey("data.unlabelled"),
                f"no class is left of the {len(class_names)} in {path}",
            )
        ]
    if (
        entries is None
    ):  # a benchmark may give them by id, and has no fault in those that are unlabelled
        listed = (
            name if isinstance(name, str) else class_names[name]
            for name in find_benchmark(config.name).background
        )
        entries = tuple(name for name in listed if name not in ignored)
    faults = []
    for name in entries:
        if name in ignored:
            problem = f"{name!r} is in data.background too"
            faults.append(InputError(ConfigKey("data.unlabelled"), problem, "remove it from one"))
        elif name not in names:
            problem = f"no class {name!r}, which data.background names"
            faults.append(
                InputError(path, problem, suggest(name, names, 0.6) or "set data.background")
            )
    background = tuple(name for name in entries if name in names)
    if len(background) == len(names):
        faults.append(
            InputError(path, f"all {len(names)} classes are background", "set data.background")
        )
    return background, faults


def spelling_note(names: Sequence[str]) -> str:
    """Say that two of these classes are one name in two spellings; "" where none are."""
    by_spelling: dict[str, str] = {}
    for name in names:
        if (first := by_spelling.setdefault(spelling_key(name), name)) != name:
            return f"{first!r} and {name!r} are two classes, but one name in two spellings"
    return ""


def unlabelled(config: DataConfig) -> tuple[str, ...]:
    """Return the labels that are ignored."""
    return (*config.unlabelled, UNLABELLED)


def read_lines(path: Path, expected: str) -> list[str]:
    """Return the stripped lines of a text file; any line ends, a byte-order mark and latin-1 are accepted."""
    lines = [line.strip() for line in raw_lines(path, expected)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


@dataclass(frozen=True)
class LabelFile:
    """A label file with one class name per frame."""

    path: Path
    labels: Labels  # (T,) class indices, -1 for a name that is ignored or unknown; read-only
    counts: Counter[str]  # frames of each name
    unknown: dict[
        str, int
    ]  # names that are neither classes nor ignored, each with its first line; "" is a blank line

    def no_labels(self) -> InputError:
        """Return the error for a file without labels."""
        return InputError(
            self.path,
            "no labels",
            "write one class name per frame, or take the video out of the splits",
        )

    def unknown_label(self, label: str, names: Sequence[str], details: str = "") -> InputError:
        """Return the error for a label that is no class, or for a blank line."""
        where = FileLocation(self.path, self.unknown[label])
        if not label:
            return InputError(
                where, "a blank line between labels", "write one class name per frame"
            )
        fix = suggest(label, names, 0.6) or "add it to the mapping"
        return InputError(where, f"label {label!r} is not in the mapping{details}", fix)


class LabelFiles(dict[str, LabelFile]):
    """The label files of a data set by video, each read when it is first asked for."""

    def __init__(
        self, folder: DataFolder, names: tuple[str, ...], ignored: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.folder, self.names, self.ignored = folder, names, ignored

    def __missing__(self, video: str) -> LabelFile:
        path, lines = self.folder.label_path(video), self.folder.label_lines(video)
        indices = dict.fromkeys(self.ignored, -1) | {
            name: index for index, name in enumerate(self.names)
        }
        labels = np.fromiter(
            (indices.get(name, -1) for name in lines), dtype=np.int64, count=len(lines)
        )
        labels.flags.writeable = False
        counts = Counter(lines)  # in the order of their first lines
        unknown = {name: lines.index(name) + 1 for name in counts if name not in indices}
        self[video] = LabelFile(path, labels, counts, unknown)
        return self[video]

    def checked(self, video: str) -> Labels:
        """Return the labels (T,) of a video; the first fault of the file is an InputError."""
        file = self[video]
        if not file.counts:
            raise file.no_labels()
        for label in file.unknown:
            raise file.unknown_label(label, self.names)
        return file.labels


def label_files(root: Path) -> list[Path]:
    """Return the label files of a data set by name; hidden files, as macOS leaves them, are none."""
    return [
        path
        for path in sorted((root / "groundTruth").glob("*.txt"))
        if not path.name.startswith(".")
    ]


def split_names(root: Path) -> list[str]:
    """Return the names of the splits that have a training list: numbers in order, then the others by name."""
    bundles = root.glob("splits/train.split*.bundle")
    names = {path.name.removeprefix("train.split").removesuffix(".bundle") for path in bundles}
    # "split1.train" is split 1, as "train.split1.bundle" is
    names |= {
        re.sub(r"^split(?=\d+$)", "", path.name.removesuffix(".train"))
        for path in root.glob("*.train")
    }
    return sorted(
        names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)
    )


def find_split(root: Path, part: str, name: str) -> Path | None:
    """Return the list of one part ("train" or "test") of a split; None where there is none."""
    candidates = (root / template.format(part=part, name=name) for template in SPLIT_FILES)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def read_split(root: Path, part: str, name: str) -> tuple[Videos, list[InputError]]:
    """Return the videos of one part of a split, each with the line that names it first, and every fault of the list.

    A file of test videos without a byte is a list without any, for a set that is only trained on.
    """
    videos, faults = Videos(), list[InputError]()
    path, names = find_split(root, part, name), split_names(root)
    if path is None:
        fix = f"set data.split to one of {', '.join(names)}" if names else WRITE_SPLITS
        return {}, [
            InputError(root / SPLIT_FILES[0].format(part=part, name=name), "no such list", fix)
        ]
    try:
        lines = read_lines(path, "a list of videos")
    except InputError as error:
        return {}, [error]
    for number, entry in enumerate(lines, start=1):
        video, where = entry.removesuffix(".txt"), FileLocation(path, number)
        if entry and not is_file_name(video):
            faults.append(
                InputError(where, f"{entry!r} is not the name of a video without a folder")
            )
        elif entry and videos.setdefault(video, where) != where:
            faults.append(
                InputError(
                    where, f"video {video!r} again, first in {videos[video]}", "list each once"
                )
            )
    if not videos and not faults and (part == "train" or path.stat().st_size):
        faults.append(InputError(path, "no videos", "list one NAME or NAME.txt per line"))
    return videos, faults


def overlaps(learning: Videos, test: Videos) -> Iterator[InputError]:
    """Yield an error for each test video that is a training video too."""
    for name in test:
        if name in learning:
            yield InputError(
                test[name], f"video {name!r} is in {learning[name]} too", "test on other videos"
            )
