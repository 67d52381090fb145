"""The common layout (docs/datasets.md): where a data set lies, its classes, its label files and its split files."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.core.errors import ConfigKey, FileLocation, MissingDataError
from fact_clip.core.files import expanded, is_file_name
from fact_clip.core.files import read_lines as raw_lines
from fact_clip.core.messages import find_duplicate_spelling, suggest
from fact_clip.datasets.benchmarks import find_benchmark
from fact_clip.datasets.factors import class_factors

# Where the lists of a split lie, by part ("train", "test") and name of the split.
SPLIT_FILES = ("splits/{part}.split{name}.bundle", "{name}.{part}", "split{name}.{part}")
WRITE_SPLITS = "list the videos to train on there, one per line; the others in test.split1.bundle beside it"

EXPECTED = "a data set: mapping.txt, groundTruth, features, splits"

UNLABELLED = "?"
"""The label of a frame of which nobody says what it shows."""


def find_root(config: DataConfig) -> Path:
    """The folder of a data set; an InputError where there is none, or one with neither mapping nor labels.

    `data.root` is that folder itself, or a folder that holds it under the benchmark's published path or the last part
    of that path. FACT_CLIP_DATA and ./data are folders of the second kind.
    """
    benchmark = find_benchmark(config.name)
    inside = Path(benchmark.folder or config.name)
    if config.root is not None:
        root, todo = expanded(config.root), "set data.root"
        candidates = [root, root / inside, root / inside.name]
    else:
        base = expanded(os.environ.get("FACT_CLIP_DATA") or "data")
        todo = "set data.root, or FACT_CLIP_DATA to the folder above it"
        candidates = [base / inside, base / inside.name]
    found = next((folder for folder in candidates if (folder / benchmark.mapping).is_file()), candidates[0])
    if not found.is_dir():
        raise MissingDataError(
            found, ("a file" if found.is_file() else "no such folder") + f"; expected {EXPECTED}", todo
        )
    if not (found / benchmark.mapping).is_file() and not (found / "groundTruth").is_dir():
        elsewhere = f", here or in {inside}" if config.name != "folder" else ""
        what = "no data set in it" if config.name == "folder" else f"no data set {config.name!r}"
        raise MissingDataError(found, f"{what}; expected {benchmark.mapping} and groundTruth{elsewhere}", todo)
    return found


def read_vocabulary(config: DataConfig, root: Path) -> Vocabulary:
    """The classes of the mapping file, with background and factors as configured or as the benchmark has them.

    Names in ``data.unlabelled`` and "?" are no classes.
    """
    return vocabulary_of(config, root / find_benchmark(config.name).mapping, root)


def vocabulary_of(config: DataConfig, path: Path, root: Path | None = None) -> Vocabulary:
    """The same of any mapping file; without a root there is no file of factors."""
    every = Vocabulary.from_mapping(path).names
    published = find_benchmark(config.name).classes
    if root is not None and published is not None and len(every) != published:
        told = f"{path}: {len(every)} classes, where {config.name} has {published}"
        warnings.warn(f"{told}; a data set of your own is data.name=folder", stacklevel=1)
    ignored = unlabelled(config)
    names = tuple(name for name in every if name not in ignored)
    if not names:
        raise InputError(
            ConfigKey("data.unlabelled"), f"all {len(every)} classes of {path}; expected a class that is left"
        )
    background = []
    for one in find_benchmark(config.name).background if config.background is None else config.background:
        if isinstance(one, int) and one >= len(every):
            raise InputError(path, f"no id {one}, known as background", "set data.background")
        name = every[one] if isinstance(one, int) else one
        if name in ignored and config.background is not None:
            raise InputError(
                ConfigKey("data.unlabelled"), f"{name!r}, which is background too; expected either of them"
            )
        if name not in every:
            raise InputError(path, f"no class {name!r}, named as background", suggest(name, names))
        background += [] if name in ignored else [name]
    if len(background) == len(names):
        raise InputError(
            path, f"{len(names)} classes, all of them background; expected an action", "set data.background"
        )
    if (pair := find_duplicate_spelling(names)) is not None:
        text = f"{path}: {pair[0]!r} and {pair[1]!r} are two classes, and one name in two spellings"
        warnings.warn(text, stacklevel=1)
    read = class_factors(config, root, names, background)
    return Vocabulary.from_names(names, background, read, None if read is None else read.slots)


def unlabelled(config: DataConfig) -> tuple[str, ...]:
    """The labels that are ignored."""
    return (*config.unlabelled, UNLABELLED)


def read_lines(path: Path, expected: str) -> list[str]:
    """Stripped lines of a text file; any line ends, a byte-order mark and latin-1 are accepted."""
    lines = raw_lines(path, expected)
    clean = {line: line.strip() for line in set(lines)}  # one object for each name, as there
    lines = [clean[line] for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def read_labels(path: Path, vocabulary: Vocabulary, ignored: Collection[str] = (UNLABELLED,)) -> NDArray[np.int64]:
    """Class indices (T,) of a label file with one name per frame, -1 for names that are `ignored`.

    Any fault is an InputError with file:line.
    """
    lines = read_lines(path, "a label file, one class name per line")
    if not lines:
        raise InputError(path, "no labels; expected one class name per frame", "take the video out of the splits")
    indices = dict.fromkeys(ignored, -1) | {name: index for index, name in enumerate(vocabulary)}
    for number, name in enumerate(lines, start=1):
        if not name:
            raise InputError(
                FileLocation(path, number), "a blank line between labels; expected one class name per frame"
            )
        if name not in indices:
            expected = f"one of the {len(vocabulary)} classes of mapping.txt"
            todo = suggest(name, vocabulary.names, 0.6) or "add it to the mapping"
            raise InputError(FileLocation(path, number), f"label {name!r}; expected {expected}", todo)
    return np.fromiter((indices[name] for name in lines), dtype=np.int64, count=len(lines))


def label_files(root: Path) -> list[Path]:
    """The label files of a data set by name; hidden files, as macOS leaves them, are none."""
    return [path for path in sorted((root / "groundTruth").glob("*.txt")) if not path.name.startswith(".")]


def split_names(root: Path) -> list[str]:
    """Names of the splits that have a training list: numbers in order, then the others by name."""
    bundles = root.glob("splits/train.split*.bundle")
    names = {path.name.removeprefix("train.split").removesuffix(".bundle") for path in bundles}
    # "split1.train" is split 1, as "train.split1.bundle" is
    names |= {re.sub(r"^split(?=\d+$)", "", path.name.removesuffix(".train")) for path in root.glob("*.train")}
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def find_split(root: Path, part: str, name: str) -> Path | None:
    """The list of one part ("train" or "test") of a split; None where there is none."""
    candidates = (root / template.format(part=part, name=name) for template in SPLIT_FILES)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def parse_split(path: Path) -> tuple[dict[str, str], list[InputError]]:
    """The videos of a list, each with the file:line that names it first, and every fault of the list."""
    videos: dict[str, str] = {}
    faults = []
    for line, entry in enumerate(read_lines(path, "a list of videos"), start=1):
        video, where = entry.removesuffix(".txt"), f"{path}:{line}"
        if entry and not is_file_name(video):
            faults.append(InputError(where, f"{entry!r}; expected the name of a video, without a folder"))
        elif entry and videos.setdefault(video, where) != where:
            faults.append(InputError(where, f"video {video!r} again; expected each once, first in {videos[video]}"))
    if not videos and not faults:
        faults.append(InputError(path, "no videos; expected one NAME or NAME.txt per line"))
    return videos, faults


def read_split(root: Path, part: str, name: str) -> dict[str, str]:
    """The videos of one part ("train" or "test") of a split, each with the file:line that names it.

    An InputError for no such split (it lists those that exist), no videos, or a video twice. A file of test videos
    without a byte is a list without any, for a set that is only trained on.
    """
    path = find_split(root, part, name)
    if path is None:
        found = split_names(root)
        wanted = root / SPLIT_FILES[0].format(part=part, name=name)
        if wanted.is_dir():
            raise InputError(wanted, f"a folder; expected a file with the {part} videos of split {name}, one a line")
        if name in found:
            raise InputError(wanted, f"no such file; expected the {part} videos of split {name}, one a line")
        expected = f"one of the splits {', '.join(found)}" if found else "splits/train.split1.bundle"
        raise InputError(wanted, f"no such split; expected {expected}", "set data.split" if found else WRITE_SPLITS)
    videos, faults = parse_split(path)
    if part == "test" and path.stat().st_size == 0:
        return {}
    if faults:
        raise faults[0]
    return videos


def every_video(root: Path) -> list[str]:
    """All videos of all splits, in the order in which they are named; without splits, those that have labels.

    An InputError for a fault of a list.
    """
    lists = [find_split(root, part, name) for name in split_names(root) for part in ("train", "test")]
    found: dict[str, str] = {}
    for path in lists:
        videos, faults = parse_split(path) if path is not None and path.stat().st_size else ({}, [])
        if faults:
            raise faults[0]
        found |= videos
    return list(found) or [path.stem for path in label_files(root)]
