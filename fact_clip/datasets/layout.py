"""Where a data set lies, and the classes that its mapping names."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.datasets.benchmarks import BENCHMARKS, Benchmark, Factors

# Where the lists of a split lie, by part ("train", "test") and name of the split.
SPLIT_FILES = ("splits/{part}.split{name}.bundle", "{name}.{part}", "split{name}.{part}")


def read_lines(path: Path, expected: str) -> list[str]:
    """Lines of a text file without blanks around them; CRLF, a byte-order mark and latin-1 are tolerated.

    Raises:
        InputError: the file is missing or unreadable.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(path, "no such file", expected) from None
    except OSError as error:
        raise InputError(path, f"not readable ({error.strerror})", expected) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    # not splitlines: it also cuts at latin-1's 0x85 and at form feeds
    return [line.strip() for line in text.rstrip().split("\n")] if text.strip() else []


def read_labels(path: Path, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Class indices (T,) of a label file with one name a frame.

    Raises:
        InputError: missing, empty, a blank line between labels, or a name that the mapping lacks (file:line).
    """
    lines = read_lines(path, "a label file, one class name a line")
    if not lines:
        raise InputError(path, "no labels", "one class name a frame", "take the video out of the splits")
    indices = {name: index for index, name in enumerate(vocabulary)}
    labels = np.empty(len(lines), dtype=np.int64)
    for frame, name in enumerate(lines):
        index = indices.get(name)
        if index is None:
            raise _unknown(path, frame + 1, name, vocabulary)
        labels[frame] = index
    return labels


def _unknown(path: Path, line: int, name: str, vocabulary: Vocabulary) -> InputError:
    where = f"{path}:{line}"
    if not name:
        return InputError(where, "a blank line between labels", "one class name a frame")
    hint = nearest_class(name, vocabulary.names, "did you mean {}?") or "add it to the mapping"
    return InputError(where, f"label {name!r}", f"one of the {len(vocabulary)} classes of mapping.txt", hint)


def nearest_class(name: str, names: Sequence[str], text: str) -> str:
    """The text with the class of a similar name in its braces; empty where none is similar."""
    near = difflib.get_close_matches(name, names, n=1)
    return text.format(repr(near[0])) if near else ""


def split_names(root: Path) -> list[str]:
    """Splits that have a training list, numbers first and in order, then the others by name."""
    bundles = root.glob("splits/train.split*.bundle")
    names = {path.name.removeprefix("train.split").removesuffix(".bundle") for path in bundles}
    # "split1.train" is the split 1 as "train.split1.bundle" is
    names |= {re.sub(r"^split(?=\d+$)", "", path.name.removesuffix(".train")) for path in root.glob("*.train")}
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def find_split(root: Path, part: str, name: str) -> Path | None:
    """The list of one part ("train" or "test") of a split; None where there is none."""
    candidates = (root / template.format(part=part, name=name) for template in SPLIT_FILES)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def every_video(root: Path) -> list[str]:
    """Videos that any split names, in the order in which they are named; without splits, those that have labels."""
    lists = [find_split(root, part, name) for name in split_names(root) for part in ("train", "test")]
    named = [video for path in lists if path is not None for video in parse_split(path)[0]]
    return list(dict.fromkeys(named)) or [path.stem for path in sorted((root / "groundTruth").glob("*.txt"))]


def parse_split(path: Path) -> tuple[dict[str, str], list[InputError]]:
    """Videos of a list, each with the file:line that names it first, and every fault of the list.

    Raises:
        InputError: the file cannot be read.
    """
    videos: dict[str, str] = {}
    faults = []
    for line, entry in enumerate(read_lines(path, "a list of videos"), start=1):
        if not entry:
            continue
        video, where = entry.removesuffix(".txt"), f"{path}:{line}"
        if video in videos:
            faults.append(InputError(where, f"video {video!r} again", f"each once, first in {videos[video]}"))
        else:
            videos[video] = where
    if not videos:
        faults.append(InputError(path, "no videos", "one NAME or NAME.txt a line"))
    return videos, faults


WRITE_SPLITS = "name videos to train on there, one a line, and others in test.split1.bundle beside it"


def read_split(root: Path, part: str, name: str) -> dict[str, str]:
    """Videos of one part of a split, each with the file:line that names it.

    Args:
        root: folder of the data set.
        part: "train" or "test".
        name: name of the split.

    Raises:
        InputError: there is no such split (those that exist are listed), it is empty, or it names a video twice.
    """
    path = find_split(root, part, name)
    if path is None:
        found = split_names(root)
        expected = f"one of the splits {', '.join(found)}" if found else "splits/train.split1.bundle"
        wanted = root / SPLIT_FILES[0].format(part=part, name=name)
        raise InputError(wanted, "no such split", expected, "set data.split" if found else WRITE_SPLITS)
    videos, faults = parse_split(path)
    if faults:
        raise faults[0]
    return videos


_EXPECTED = "a data set: mapping.txt, groundTruth, features, splits"


def find_benchmark(name: str) -> Benchmark:
    """The entry of that name; an InputError lists them."""
    if name not in BENCHMARKS:
        expected = f"one of {', '.join(BENCHMARKS)}"
        raise InputError("data.name", repr(name), expected, "an own data set is 'folder' with data.root")
    return BENCHMARKS[name]


def find_root(config: DataConfig) -> Path:
    """The folder of a data set.

    `data.root` is that folder itself or, as FACT_CLIP_DATA and ./data are, one that holds it: under the entry's
    published path, or under the last part of it.

    Raises:
        InputError: an unknown data set, no such folder, or one with neither mapping nor labels.
    """
    benchmark = find_benchmark(config.name)
    inside = Path(benchmark.folder or config.name)
    if config.root is not None:
        root, todo = Path(config.root).expanduser(), "set data.root"
        candidates = [root, root / inside, root / inside.name]
    else:
        base = Path(os.environ.get("FACT_CLIP_DATA") or "data").expanduser()
        todo = "set data.root, or FACT_CLIP_DATA to the folder above it"
        candidates = [base / inside, base / inside.name]
    found = next((folder for folder in candidates if (folder / benchmark.mapping).is_file()), candidates[0])
    if not found.is_dir():
        raise InputError(found, "no such folder", _EXPECTED, todo)
    if not (found / benchmark.mapping).is_file() and not (found / "groundTruth").is_dir():
        elsewhere = f", here or in {inside}" if config.name != "folder" else ""
        raise InputError(found, f"no data set {config.name!r}", f"{benchmark.mapping} and groundTruth{elsewhere}", todo)
    return found


def check_folders(root: Path, benchmark: Benchmark) -> None:
    """An InputError where the folder of labels or of features is missing."""
    for part in ("groundTruth", benchmark.features):
        if not (root / part).is_dir():
            raise InputError(root / part, "no such folder", _EXPECTED)


def read_vocabulary(config: DataConfig, root: Path) -> Vocabulary:
    """The classes of the mapping file, with background and factors as configured or as the benchmark has them.

    Raises:
        InputError: see `Vocabulary.from_mapping`; a background id that the mapping lacks.
    """
    benchmark = find_benchmark(config.name)
    path = root / benchmark.mapping
    background = background_names(config, lambda: Vocabulary.from_mapping(path).names, path)
    return Vocabulary.from_mapping(path, background, class_factors(benchmark, background), benchmark.slots)


def background_names(config: DataConfig, names: Callable[[], Sequence[str]], path: Path) -> tuple[str, ...]:
    """Background classes by name: as configured, else the benchmark's, whose ids are looked up in `names()`."""
    known = find_benchmark(config.name).background if config.background is None else config.background
    if all(isinstance(one, str) for one in known):
        return tuple(str(one) for one in known)
    listed = names()
    for one in known:
        if isinstance(one, int) and one >= len(listed):
            raise InputError(path, f"no id {one}, known as background", todo="set data.background")
    return tuple(listed[one] if isinstance(one, int) else one for one in known)


def class_factors(benchmark: Benchmark, background: Sequence[str]) -> Callable[[str], Factors] | None:
    """The benchmark's factors of a name, for a run with these background classes."""
    parse, slots = benchmark.factors, benchmark.slots
    if parse is None or slots is None:
        return None

    def factors(name: str) -> Factors:
        parsed = parse(name)
        if any(parsed):
            return parsed
        # a class that this run does not count as background is an action like any other
        return parsed if name in background else (name, *parsed[1:])

    return factors
