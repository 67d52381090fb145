"""Where a data set lies, and the classes that its mapping names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from fact_clip.config import DataConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.data.benchmarks import BENCHMARKS, Benchmark, Factors

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
