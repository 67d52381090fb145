"""fuzz.py [--minutes 10] [--seed 0] [PARSER ...]: seeded mutations of good files, for every parser of foreign input.

A parser may give a result or an InputError of one line, within five seconds and a gigabyte; everything else is a
finding. Its input is kept in --out, and the exit code is 1. Findings become rows of tests/attacks.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fact_clip.config import Config, with_overrides
from fact_clip.core import InputError
from fact_clip.core.clock import Clock
from fact_clip.core.vocabulary import parse_mapping
from fact_clip.datasets.convert import Sampling, read_numbers
from fact_clip.datasets.factors import parse_factors
from fact_clip.datasets.features import check_finite, load_features, read_clock
from fact_clip.datasets.holdout import Holdout
from fact_clip.datasets.layout import parse_split, read_lines
from fact_clip.datasets.splits import read_groups
from fact_clip.formats import READERS, load
from fact_clip.formats.annotations import Options, to_frames
from fact_clip.text.grammar import Grammar

from ..attacks.row import array, dumped
from ..attacks.world import BORIS, CSV, EAF, EPIC, LABEL_STUDIO, VIA

SECONDS, MEMORY = 5, 1 << 30

SEGMENTS = {"fps": 5.0, "n_frames": 4, "segments": [{"start": 0, "stop": 4, "action": "a", "confidence": 0.5}]}
WORDS = (
    "0", "-1", "1e400", "nan", "inf", "9" * 40, "9" * 5000, "null", "true", "\x00", "\x1b[31m", "\ufeff", "\u202e", "\ud7ff",
    "'", '"', ",", ";", "\t", "\r", "\n", "[", "]", "{", "}", "{{", ":", "- ", "&a ", "*a", "<<: ", "!!python/name:os.system",
    "<!DOCTYPE a [", "<![CDATA[", "]]>", "&#0;", "../", "/", "\\", "=", "+", "(", ")", "*", "|", "[a[b", "{a}{b}", "%s",
)  # fmt: skip


def _annotations(kind: str) -> Callable[[Path], object]:
    def parse(path: Path) -> object:
        options = Options(fps=5.0, unit="frames" if kind in ("csv", "runs") else None)
        return [to_frames(each, Clock(fps=5.0)) for each in READERS[kind](path, options)]

    return parse


def _features(path: Path) -> object:
    features = load_features(path, "TD")
    check_finite(path, features)
    return read_clock(path, 5.0, "TD")


def _grammar(path: Path) -> object:
    pattern, *names = path.read_bytes().decode("utf-8", "replace").split("\n")
    grammar = Grammar.of(pattern, names)
    return [_read(grammar, name) for name in names]


def _read(grammar: Grammar, name: str) -> object:
    try:
        return grammar(name)
    except InputError:
        return None


def _recipe(path: Path) -> object:
    return Config.load(path)


def _overrides(path: Path) -> object:
    words = path.read_bytes().decode("utf-8", "replace").split("\n")
    return Config.from_tree(with_overrides({}, words), "overrides")


def _groups(path: Path) -> object:
    pattern, *names = path.read_bytes().decode("utf-8", "replace").split("\n")
    return read_groups(names, pattern)


def _run_json(path: Path) -> object:
    from fact_clip.config import checked
    from fact_clip.core.io import read_mapping
    from fact_clip.run import RunFacts

    return checked(RunFacts, read_mapping(path, "run.json"), path)


def _calibration(path: Path) -> object:
    from fact_clip.core import Vocabulary
    from fact_clip.decoding import Calibration

    vocabulary = Vocabulary.from_names(("a", "b"), factors={"a": ("x",), "b": ("y",)}, slots=("verb",))
    return Calibration.read(path, vocabulary)


def _names_of(path: Path) -> object:
    return Holdout.read(path)


RUN = {
    "format": 2,
    "classes": {"count": 2, "verb": [0, 1], "noun": [0, 0], "n_verbs": 2, "n_nouns": 1},
    "layout": "TD",
    "fps": 15.0,
    "mean_transcript_length": 8.5,
    "objects": {"columns": [[0, 1], [2, 3]], "fixed": [1], "slot": 1},
    "encoder": "grid",
    "videos_a_step": 4,
}
CALIBRATION = {
    "seen": ["a"],
    "frames": {"verb": {"x": 3, "y": 1}},
    "prior_weight": 0.5,
    "gamma": 1.0,
    "prior": {"a": -1.0},
    "shift": 0.1,
}
FRAMES = array(np.arange(24).reshape(8, 3))

# name -> ending of the file, good files, the parser
PARSERS: dict[str, tuple[str, tuple[str | bytes, ...], Callable[[Path], object]]] = {
    "mapping": (".txt", ("0 background\n1 cut ham\n2 take cup\n",), parse_mapping),
    "labels": (".txt", ("idle\nidle\ncut ham\n",), lambda path: read_lines(path, "labels")),
    "bundle": (".bundle", ("a.txt\nb\nperson1_video1.txt\n",), parse_split),
    "factors": (".csv", ("class,verb,object\ncut ham,cut,ham\n",), lambda path: parse_factors(path, ("cut ham", "idle"))),
    "holdout": (".json", ('{"unseen": ["cut ham"], "mode": "mask", "train_videos": ["a"]}', '["a", "b"]'), _names_of),
    "recipe": (".yaml", ("base: gtea\ndata: {fps: 15, context: [5, 9]}\ntrain:\n  epochs: 3\n  lr: 1e-4\n",), _recipe),
    "overrides": (".txt", ("train.epochs=3\ndata.context=[1, 2]\ndata.grammar={verb} {object}",), _overrides),
    "grammar": (".txt", ("{verb} {object}[ with {tool}]\ncut ham with knife\npick up cup\ntake", "{verb}_{object}[2{}]\nput_egg2plate"), _grammar),
    "groups": (".txt", (r"subj(\d+)" + "\nsubj1_a\nsubj2_b\nsubj10_b",), _groups),
    "eaf": (".eaf", (EAF,), _annotations("eaf")),
    "boris": (".boris", (dumped(BORIS),), _annotations("boris")),
    "boris.tsv": (".tsv", ("Subject\tBehavior\tBehavior type\tTime\tMedia file name\n\tstir\tSTART\t0.5\ta.mp4\n\tstir\tSTOP\t2\ta.mp4\n",), _annotations("boris")),
    "via": (".json", (dumped(VIA),), _annotations("via")),
    "label-studio": (".json", (dumped(LABEL_STUDIO),), _annotations("label-studio")),
    "csv": (".csv", (CSV, "video;start_seconds;stop_seconds;action\na;0;00:00:02.5;stir\n"), _annotations("csv")),
    "epic": (".csv", (EPIC,), _annotations("epic")),
    "runs": (".json", ('{"a": [["x", 3], ["y", 4]]}',), _annotations("runs")),
    "segmentation.csv": (".csv", ("start,stop,start_seconds,stop_seconds,action,confidence\r\n0,4,0,0.8,a,0.5\r\n",), load),
    "segmentation.json": (".json", (dumped(SEGMENTS),), load),
    "segmentation.jsonl": (".jsonl", (dumped(SEGMENTS["segments"][0]) + "\n",), load),  # type: ignore[index]
    "segmentation.txt": (".txt", ("a\na\nb\n",), load),
    "npy": (".npy", (FRAMES, array(np.arange(24.0).reshape(8, 3), np.float64)), _features),
    "table": (".csv", ("time,x,y\n0,1,2\n0.1,3,4\n0.25,5,6\n",), lambda path: read_numbers(path, Sampling(time="time", fps=10.0))),
    "run.json": (".json", (dumped(RUN),), _run_json),
    "calibration.json": (".json", (dumped(CALIBRATION),), _calibration),
}  # fmt: skip


def mutated(rng: random.Random, good: bytes) -> bytes:
    """One to six changes of a good file: bits, bytes, words, pieces doubled, moved or taken away."""
    raw = bytearray(good)
    for _ in range(rng.randint(1, 6)):
        at, size = rng.randrange(len(raw) + 1), rng.choice((1, 1, 2, 4, 8, 32))
        kind = rng.randrange(7)
        if kind == 0 and raw:
            raw[at % len(raw)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            raw[at : at + size] = bytes(rng.randrange(256) for _ in range(size))
        elif kind == 2:
            raw[at:at] = rng.choice(WORDS).encode("utf-8", "surrogatepass")
        elif kind == 3:
            del raw[at : at + size]
        elif kind == 4:
            raw[at:at] = raw[at : at + size] * rng.choice((1, 2, 50))
        elif kind == 5:
            other = rng.randrange(len(raw) + 1)
            raw[at : at + size] = raw[other : other + size]
        else:
            raw[at : at + size] = rng.choice(WORDS).encode("utf-8", "surrogatepass")
    return bytes(raw[: 1 << 20])


def findings(name: str, minutes: float, seed: int, out: Path) -> Iterator[str]:
    """Mutate until the time is over; yields a line for each kind of finding."""
    ending, good, parse = PARSERS[name]
    rng, count, known = random.Random(f"{seed} {name}"), 0, set[str]()
    until = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{ending}"
        while time.monotonic() < until:
            seedling = rng.choice(good)
            raw = mutated(rng, seedling if isinstance(seedling, bytes) else seedling.encode())
            path.write_bytes(raw)
            count += 1
            told = judged(parse, path)
            if told and told not in known:
                known.add(told)
                out.mkdir(parents=True, exist_ok=True)
                kept = out / f"{name}-{len(known)}{ending}"
                kept.write_bytes(raw)
                yield f"{name}: {told}; {kept}"
    print(f"{name}: {count:,} inputs, {len(known)} kinds of findings", flush=True)


def judged(parse: Callable[[Path], object], path: Path) -> str:
    """What is wrong with how a parser takes a file; empty if nothing."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        parse(path)
    except InputError as error:
        return "" if "\n" not in str(error) else f"more than a line: {error!r}"
    except TimeoutError:
        return f"more than {SECONDS} s"
    except Exception as error:  # noqa: BLE001
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno} ({str(error)[:80]})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def _too_long(*_: Any) -> None:
    raise TimeoutError


def main() -> int:
    """Fuzz the parsers that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each parser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("names", nargs="*", metavar="PARSER", help=", ".join(PARSERS))
    given = parser.parse_args()
    importlib.import_module("fact_clip.checkpoint")  # which takes longer than a parser may
    signal.signal(signal.SIGALRM, _too_long)
    resource.setrlimit(resource.RLIMIT_DATA, (2 * MEMORY, 2 * MEMORY))
    found = 0
    for name in given.names or PARSERS:
        for line in findings(name, given.minutes, given.seed, given.out):
            print(line, file=sys.stderr, flush=True)
            found += 1
    return int(found > 0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(main())
