"""Published data sets (docs/benchmarks.md): their locations and the factors of their names."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from fact_clip.config import DataConfig
from fact_clip.core import Factors, FileLocation, InputError, MissingDataError, Names, Vocabulary
from fact_clip.core.io import parse_value, read_mapping
from fact_clip.core.messages import join_names, spelling_key, suggest
from fact_clip.core.paths import expanded
from fact_clip.datasets import havid
from fact_clip.formats.table import read_lines
from fact_clip.text.english import ENGLISH, WHOLE_NAMES, Sentences
from fact_clip.text.grammar import Grammar

FACTORS_FILE = "factors.csv"
_HEADER = '"class" and one column per slot, such as "class,verb,object"'
Layout = Literal["TD", "DT"]
ReadFactors = Callable[[str], Factors]  # from a class name to its factors, one or None per slot


@dataclass(frozen=True)
class Benchmark:
    """Instructions for reading a data set in the common layout. Paths are relative to its folder.

    Attributes:
        layout: Layout of feature files, time first or channels first, or None to infer it from
            shapes and labels.
        fps: Feature rows per second, or None if unknown or mixed.
        background: Classes that mean "no action" and have no factors. Integers are class ids, for
            data sets whose names differ.
        slots: Names of the factors of an action, or None for a single slot with the whole name.
        grammar: Pattern of class names (docs/names.md), or "havid" for HA-ViD's codes.
        words: Replacement for each factor that occurs in names.
        folder: Path below a root with several data sets, or "" for the name of the benchmark.
        mapping: File of the classes.
        features: Folder of the feature files.
    """

    layout: Layout | None = None
    fps: float | None = None
    background: tuple[str | int, ...] = ()
    slots: Names | None = None
    grammar: str | None = None
    words: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    mapping: str = "mapping.txt"
    features: str = "features"

    @cached_property
    def factors(self) -> ReadFactors | None:
        """Return the reader of class names. It raises an InputError if it cannot parse a name."""
        if self.grammar is None:
            return None
        if self.grammar == "havid":
            return havid.factors
        return Grammar(self.grammar, tuple(map(str, self.background)), self.words)

    def background_of(self, class_names: Names) -> Names:
        """Return the names of the background classes."""
        names = (class_names[key] if isinstance(key, int) else key for key in self.background)
        return tuple(names)


_PATH = Path(__file__).with_suffix(".yaml")
BENCHMARKS = parse_value(dict[str, Benchmark], read_mapping(_PATH, "data sets"), _PATH)
IN_MEMORY = "<memory>"  # the `data.root` of data in memory (memory.py)
NO_ACTION = "no action"
"""The background class of the synthetic data set."""


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark with this name."""
    if name not in BENCHMARKS:
        fix = f"use one of {', '.join(BENCHMARKS)}, or 'folder' for your own data set"
        raise InputError("data.name", f"no data set {name!r}", fix)
    return BENCHMARKS[name]


def find_root(config: DataConfig) -> Path:
    """Return the folder of a data set.

    `data.root` is this folder, or a parent folder that contains it under the benchmark's published
    path or the last part of this path. FACT_CLIP_DATA and ./data are parent folders.

    Raises:
        InputError: There is no such folder, or it has neither a mapping nor labels.
    """
    if config.root == IN_MEMORY:
        fix = "call fact_clip.evaluate(RUN, data=...), or set it to a folder with saved data"
        raise MissingDataError("data.root", "the data were in memory, not in a folder", fix)

    benchmark = find_benchmark(config.name)
    published = Path(benchmark.folder or config.name)
    parent = Path(config.root or expanded(os.environ.get("FACT_CLIP_DATA") or "data"))
    candidates = [parent / published, parent / published.name]
    if config.root is not None:
        candidates.insert(0, parent)
    for folder in candidates:
        if (folder / benchmark.mapping).is_file():
            return folder

    root = candidates[0]
    if not (root / "groundTruth").is_dir():
        name = "" if config.name == "folder" else f" {config.name!r}"
        problem = f"no data set{name}: this needs mapping.txt, groundTruth, features and splits"
        fix = "set data.root, or FACT_CLIP_DATA to the folder above it"
        if config.root is not None:
            fix = _folders_of(parent)
        raise MissingDataError(root, problem, fix)
    return root


def _folders_of(folder: Path) -> str:
    """Return advice that lists the subfolders of a folder that is not a data set."""
    names = sorted(path.name for path in folder.glob("[!.]*/"))
    if names:
        return f"name the folder of the data set; this folder contains {join_names(names)}"
    return "name the folder of the data set"


def class_factors(
    config: DataConfig,
    benchmark: Benchmark,
    root: Path | None,
    names: Sequence[str],
    background: Sequence[str],
) -> tuple[ReadFactors | None, Names | None]:
    """Return how to read the factors of class names, and their slots.

    ``root/factors.csv`` comes first. ``data.grammar`` reads the classes that it lacks, or else the
    grammar of the benchmark. A background class has None for each slot.

    Args:
        config: Configuration.
        benchmark: Data set that the configuration names.
        root: Folder of the data set, or None for data in memory.
        names: Classes.
        background: Background classes.

    Returns:
        A function from a class name to its factors, and the slots, or (None, None) if only whole
        names count. The function raises an InputError for a name that it cannot parse.
    """
    table: dict[str, Factors] = {}
    slots = None
    if root is not None and os.path.lexists(root / FACTORS_FILE):
        listed_names = (*names, *config.unlabelled)
        slots, table, faults = parse_factors(root / FACTORS_FILE, listed_names)
        for error in faults:
            raise error
    actions = [name for name in names if name not in background]
    grammar, slots = _grammar_reader(config, benchmark, actions, slots)
    if slots is None:
        return None, None
    no_factors: Factors = (None,) * len(slots)
    words: dict[str, str] = {}  # first spelling of each word, over all slots

    def read(name: str) -> Factors:
        factors = read_words(name)
        return tuple(word and words.setdefault(spelling_key(word), word) for word in factors)

    def read_words(name: str) -> Factors:
        if name in background:
            return no_factors
        if any(table.get(name, ())):
            return table[name]
        if grammar is None:
            fix = (
                "add them, set data.grammar, or name the class in data.background if it means "
                "no action"
            )
            raise InputError(f"class {name!r}", f"no factors in {FACTORS_FILE}", fix)
        factors = grammar(name)
        if not any(factors):
            # This run treats a background class of the benchmark as an action.
            return (name, *factors[1:])
        return factors

    return read, slots


def _grammar_reader(
    config: DataConfig, benchmark: Benchmark, actions: Iterable[str], slots: Names | None
) -> tuple[ReadFactors | None, Names | None]:
    """Return the reader of names, and its slots, by default the slots of the grammar.

    The grammar is `data.grammar`, or else the benchmark's grammar if it has these slots.
    """
    pattern = config.grammar
    if pattern is None or pattern == WHOLE_NAMES:
        if pattern is None and slots in (None, benchmark.slots):
            return benchmark.factors, benchmark.slots
        return None, slots
    grammar = Sentences(actions) if pattern == ENGLISH else Grammar.of(pattern, actions)
    slots = slots or grammar.slots
    for slot in grammar.slots:
        if slot not in slots:
            problem = f"the classes have no slot {slot!r}"
            raise InputError("data.grammar", problem, f"use {', '.join(slots)}")

    def read(name: str) -> Factors:
        by_slot = dict(zip(grammar.slots, grammar(name), strict=True))
        return tuple(by_slot.get(slot) for slot in slots)

    return read, slots


def parse_factors(
    path: Path, names: Sequence[str]
) -> tuple[Names, dict[str, Factors], list[InputError]]:
    """Read a factors.csv: its slots, the factors of each listed class, and all its faults.

    The first line contains "class" and the names of the slots. An empty cell means that the class
    does not have this factor.
    """
    try:
        lines = read_lines(path, _HEADER)
    except InputError as error:
        return (), {}, [error]
    number, header = lines[0] if lines else (1, [])
    slots = tuple(header[1:])
    if header[:1] != ["class"] or not slots or not all(slots) or len(set(slots)) != len(slots):
        location = FileLocation(path, number)
        problem = f"not the header of {FACTORS_FILE}: {', '.join(header)!r}"
        return (), {}, [InputError(location, problem, f"write {_HEADER}")]

    table: dict[str, Factors] = {}
    faults = []
    for number, cells in lines[1:]:
        location = FileLocation(path, number)
        name = cells[0]
        if not any(cells):
            continue
        if len(cells) != len(header):
            problem = f"{len(cells)} cells, but {len(header)} in the header"
            faults.append(InputError(location, problem))
        elif name not in names:
            problem = f"no class {name!r} in the mapping"
            faults.append(InputError(location, problem, suggest(name, names)))
        elif name in table:
            faults.append(InputError(location, f"class {name!r} is repeated", "list it once"))
        else:
            words = [" ".join(cell.replace("_", " ").split()) for cell in cells[1:]]
            table[name] = tuple(word or None for word in words)
    return slots, table, faults


def new_factors(
    config: DataConfig, vocabulary: Vocabulary, names: Iterable[str]
) -> tuple[dict[str, Factors], list[str]]:
    """Return the factors of names that a vocabulary lacks, read in the same way as its own.

    A factor that is a different spelling of a trained factor becomes the trained one.

    Args:
        config: Configuration with the grammar.
        vocabulary: Trained classes.
        names: New names.

    Returns:
        The factors by new name, and the names that cannot be parsed, which are whole phrases.
    """
    slots = vocabulary.slots
    actions = [name for name in vocabulary if name not in vocabulary.background]
    grammar, _ = _grammar_reader(config, find_benchmark(config.name), actions, slots)

    trained_words = []  # for each slot, by spelling
    for slot in slots:
        words = vocabulary.factor_indices(slot)[0]
        trained_words.append({spelling_key(word): word for word in words})

    factors: dict[str, Factors] = {}
    phrases: list[str] = []

    def n_trained(words: Factors) -> int:
        """Return how many words of a name were trained."""
        pairs = zip(words, trained_words, strict=True)
        return sum(spelling_key(word or "") in spellings for word, spellings in pairs)

    for name in names:
        readings = []
        for spelling in (name, name.replace("_", " ")):
            with suppress(InputError):
                if grammar:
                    readings.append(grammar(spelling))
        if readings:
            best = max(readings, key=n_trained)  # in a tie, the first
            pairs = zip(best, trained_words, strict=True)
            factors[name] = tuple(
                word and spellings.get(spelling_key(word), word) for word, spellings in pairs
            )
            continue
        if len(slots) > 1:
            phrases.append(name)
        factors[name] = (name, *[None] * (len(slots) - 1))
    return factors, phrases
