"""Data sets with a fault: mapping, labels, splits, features, what lies beside features, factors, hold-outs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..row import (  # fmt: skip
    Content,
    Row,
    appended,
    array,
    cut,
    dumped,
    fifo,
    folder,
    gone,
    header,
    link,
    replaced,
    sparse,
)

VIDEO = "person2_video1"  # trained on in split 1
LABELS, FEATURES = f"data/groundTruth/{VIDEO}.txt", f"data/features/{VIDEO}.npy"
SIDECAR = f"data/features/{VIDEO}.json"
MAPPING, TRAIN, TEST = "data/mapping.txt", "data/splits/train.split1.bundle", "data/splits/test.split1.bundle"
DIGITS = "9" * 5000

Fault = tuple[str, Content, tuple[str, ...]]

MAPPINGS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": ("", ("mapping.txt", "no classes")),
    "blank lines": ("\n\n\n", ("mapping.txt", "no classes")),
    "names alone": ("idle\nwalk\n", ("mapping.txt:1", "id name")),
    "id alone": ("0\n1\n", ("mapping.txt:1", "id name")),
    "minus": ("-1 idle\n", ("mapping.txt:1",)),
    "float id": ("0.5 idle\n", ("mapping.txt:1",)),
    "wide digits": ("٠ idle\n", ("mapping.txt:1",)),
    "id of 5000 digits": (f"{DIGITS} idle\n", ("mapping.txt:1", "digits")),
    "id of 10^8": ("100000000 idle\n", ("mapping.txt", "no id 0")),
    "an id twice": ("0 idle\n0 walk\n", ("mapping.txt:2", "id 0 twice")),
    "a name twice": ("0 idle\n1 idle\n", ("mapping.txt:2", "'idle' again")),
    "a gap": ("0 idle\n2 walk\n", ("mapping.txt", "no id 1")),
    "NUL in a name": ("0 no action\n1 wa\0lk\n", ("mapping.txt:2", "control characters")),
    "escape in a name": ("0 no action\n1 \x1b[31mwalk\n", ("mapping.txt:2", "control characters")),
    "bell in a name": ("0 no action\n1 wa\x07lk\n", ("mapping.txt:2", "control characters")),
    "carriage returns": ("0 idle\r1 walk\r", ("mapping.txt",)),
    "utf-16": ("0 idle\n1 walk\n".encode("utf-16"), ("mapping.txt: UTF-16",)),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ("mapping.txt",)),
    "a long line": ("0 " + "x" * 1_000_000 + "\n", ("mapping.txt:1", "a name of 1,000,000 signs")),
    "a line too long": ("0 " + "x" * (1 << 20) + "\n", ("mapping.txt:1", "a line of 1,048,578 signs")),
    "another class": ("0 no action\n1 other\n", ("other",)),
    "a folder": (folder, ("mapping.txt", "mapping")),
    "a pipe": (fifo, ("mapping.txt",)),
    "an endless device": (link("/dev/zero"), ("mapping.txt",)),
    "a link to itself": (link("mapping.txt"), ("mapping.txt",)),
    "10 GB": (sparse(10 << 30, b"0 idle\n"), ("mapping.txt", "bytes")),
}

LABEL_FILES: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": ("", (f"{VIDEO}.txt", "no labels")),
    "blank": ("\n\n", (f"{VIDEO}.txt", "no labels")),
    "blank line inside": (replaced("\n", "\n\n"), (f"{VIDEO}.txt:2", "blank line")),
    "unknown label": (replaced("no action", "juggle"), (f"{VIDEO}.txt:1", "'juggle'")),
    "escape in a label": (replaced("no action", "\x1b[31m"), (f"{VIDEO}.txt:1",)),
    "NUL bytes": (b"\0" * 1000, (f"{VIDEO}.txt:1",)),
    "latin-1": ("caf\xe9\n".encode("latin-1") * 50, (f"{VIDEO}.txt:1",)),
    "utf-16": ("no action\n".encode("utf-16") * 50, (f"{VIDEO}.txt: UTF-16",)),
    "a long label": ("x" * 1_000_000, (f"{VIDEO}.txt:1",)),
    "a line too long": ("x" * (1 << 21), (f"{VIDEO}.txt:1", "a line of 2,097,152 signs")),
    "too short": (cut(40), (VIDEO,)),
    "half of a name": (cut(-4), (f"{VIDEO}.txt",)),
    "ten times as long": (lambda path: path.write_bytes(path.read_bytes() * 10), (VIDEO, "feature rows")),
    "a folder": (folder, (f"{VIDEO}.txt",)),
    "a pipe": (fifo, (f"{VIDEO}.txt",)),
    "missing": (gone, (VIDEO,)),
    "a link to nothing": (link("nothing.txt"), (VIDEO,)),
    "a link to itself": (link(f"{VIDEO}.txt"), (VIDEO,)),
    "10 GB": (sparse(10 << 30, b"no action\n"), (f"{VIDEO}.txt", "bytes")),
}

SPLITS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": ("", ("train.split1.bundle", "no videos")),
    "a video twice": (appended(f"\n{VIDEO}.txt\n"), ("train.split1.bundle", "again")),
    "a missing video": (appended("\nnobody.txt\n"), ("nobody", "train.split1.bundle")),
    "a path": (appended("\n../../../canary\n"), ("canary", "train.split1.bundle")),
    "an absolute path": (appended("\n/etc/passwd\n"), ("passwd", "train.split1.bundle")),
    "a NUL": (appended("\nper\0son\n"), ("train.split1.bundle",)),
    "an escape": (appended("\n\x1b[31mperson\n"), ("train.split1.bundle",)),
    "a long name": (appended("\n" + "x" * 5000 + "\n"), ("train.split1.bundle",)),
    "a test video": (appended("\nperson1_video1\n"), ("person1_video1",)),
    "bytes that are no text": (appended(b"\n\xff\xfe\n"), ("train.split1.bundle",)),
    "a folder": (folder, ("splits",)),
    "a pipe": (fifo, ("splits",)),
    "10 GB": (sparse(10 << 30, b"a\n"), ("train.split1.bundle", "bytes")),
}

_SHAPE = "{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def npy(descr: str = "'<f4'", order: str = "False", shape: str = "(40, 8)", rest: bytes = b"\0" * 1280) -> bytes:
    """A .npy file whose header says this."""
    return header(_SHAPE.format(descr=descr, order=order, shape=shape), rest)


ARRAYS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": (b"", ()),
    "text": ("1 2 3", ()),
    "a zip": (b"PK\x03\x04" + b"\0" * 100, ()),
    "a pickle": (b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.", ()),
    "the magic alone": (b"\x93NUMPY", ()),
    "version 9": (header("{}", version=b"\x09\x00"), ()),
    "a header of nothing": (header(""), ()),
    "a header of a number": (header("5"), ()),
    "a header of code": (header("__import__('os').system('touch pwned')"), ()),
    "a header of numbers that end in words": (header("{'descr': 1or 2, 'shape': 3if 0else 4}"), ()),
    "a header that is deep": (header("(" * 5000 + ")" * 5000), ()),
    "a header that never ends": (header("{'descr': '<f4"), ()),
    "a header of 4 GB": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 100, ()),
    "a shape of text": (npy(shape="('a', 'b')"), ()),
    "a shape of minus": (npy(shape="(-40, 8)"), ()),
    "a shape of 10^12": (npy(shape="(1000000000000, 8)"), ()),
    "a shape that overflows": (npy(shape="(4611686018427387904, 8)"), ()),
    "a shape of 5000 digits": (npy(shape=f"({DIGITS}, 8)"), ()),
    "a shape of 40 axes": (npy(shape=f"({'1, ' * 40})"), ()),
    "a shape of nan": (npy(shape="(float('nan'), 8)"), ()),
    "objects": (npy(descr="'|O'"), ()),
    "dates": (npy(descr="'<M8[D]'", rest=b"\0" * 2560), ("numbers",)),
    "texts": (npy(descr="'<U4'", rest=b"\0" * 5120), ("numbers",)),
    "raw bytes": (npy(descr="'|V4'"), ("numbers",)),
    "structures": (npy(descr="[('a', '<f4')]"), ("numbers",)),
    "complex numbers": (npy(descr="'<c8'", rest=b"\0" * 2560), ("numbers",)),
    "an unknown type": (npy(descr="'<q99'"), ()),
    "a type that is code": (npy(descr="__import__('os')"), ()),
    "cut off": (npy(rest=b"\0" * 100), ()),
    "one dimension": (array(np.zeros(40)), ("shape",)),
    "three dimensions": (array(np.zeros((40, 8, 2))), ("shape",)),
    "no dimension": (array(1.0), ("shape",)),
    "no rows": (array(np.zeros((0, 8))), ("empty",)),
    "no columns": (array(np.zeros((40, 0))), ("empty",)),
    "NaN": (array(np.full((40, 8), np.nan)), ("nan in frame 0",)),
    "infinity": (array(np.full((40, 8), np.inf)), ("inf in frame 0",)),
    "beyond float32": (array(np.full((40, 8), 1e300), np.float64), ("1e+300 in frame 0",)),
    "beyond float32, below zero": (array(np.full((40, 8), -1e300), np.float64), ("-1e+300 in frame 0",)),
    "at the end of float32": (array(np.full((40, 8), 3e38)), ("e+38 in frame 0",)),
    "another width": (array(np.zeros((40, 7))), ("7",)),
    "a folder": (folder, ("folder",)),
    "a pipe": (fifo, ("pipe",)),
    "an endless device": (link("/dev/zero"), ("device",)),
    "a random device": (link("/dev/urandom"), ("device",)),
    "a link to nothing": (link("nothing.npy"), ()),
    "a link to itself": (link("a.npy"), ()),
}

SIDECARS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": ("", ("JSON",)),
    "a list": ("[]", ("object",)),
    "deep": ("[" * 100_000, ("nested",)),
    "NaN": ('{"fps": NaN}', ("NaN",)),
    "infinity": ('{"fps": 1e999}', ("fps",)),
    "fps 0": ('{"fps": 0}', ("fps",)),
    "fps -1": ('{"fps": -1}', ("fps",)),
    "fps 1e300": ('{"fps": 1e300}', ("fps",)),
    "fps true": ('{"fps": true}', ("fps",)),
    "fps text": ('{"fps": "15"}', ("fps",)),
    "fps of 5000 digits": (f'{{"fps": {DIGITS}}}', ("digits",)),
    "fps of 25 digits": (f'{{"fps": {"9" * 25}}}', ("digits",)),
    "video rate 0": ('{"fps": 15, "video_fps": 0}', ("video_fps",)),
    "times of text": ('{"times": "now"}', ("times",)),
    "times of null": ('{"times": [null]}', ("times",)),
    "times that fall": (dumped({"times": list(range(40, 0, -1))}), ("times",)),
    "times that are NaN": ('{"times": [NaN, NaN]}', ("NaN",)),
    "times of 1e300": ('{"times": [0, 1e300]}', ("times",)),
    "too few times": ('{"times": [0, 1, 2]}', ("times",)),
    "video of a number": ('{"video": 5}', ("video",)),
    "video with NUL": ('{"video": "a\\u0000b"}', ("video",)),
    "video of a surrogate": ('{"video": "a\\ud800b"}', ("surrogate",)),
    "latin-1": (b'{"video": "\xe9"}', ("UTF-8",)),
    "a folder": (folder, ("folder",)),
    "a pipe": (fifo, ("pipe",)),
    "10 GB": (sparse(10 << 30, b"{"), ("bytes",)),
}

FACTORS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": ("", ("factors.csv:1",)),
    "no header": ("insert bolt,insert,bolt\n", ("factors.csv:1",)),
    "no slot": ("class\n", ("factors.csv:1",)),
    "a slot twice": ("class,verb,verb\n", ("factors.csv:1",)),
    "a blank slot": ("class,verb,\n", ("factors.csv:1",)),
    "an unknown class": ("class,verb\njuggle,x\n", ("factors.csv:2", "juggle")),
    "a class twice": ("class,verb\ninsert bolt,a\ninsert bolt,b\n", ("factors.csv:3", "again")),
    "too few cells": ("class,verb,object\ninsert bolt,a\n", ("factors.csv:2", "cells")),
    "NUL": ("class,verb\ninsert bolt,a\0b\n", ("factors.csv",)),
    "an open quote": ('class,verb\n"insert bolt,a\n', ("factors.csv",)),
    "a huge cell": ("class,verb\ninsert bolt," + "x" * 200_000 + "\n", ("factors.csv",)),
    "latin-1": (b"class,verb\ninsert bolt,\xe9\n", ("factors.csv", "UTF-8")),
    "a pipe": (fifo, ("factors.csv",)),
}

HOLDOUTS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": ("", ("h.json", "JSON")),
    "no classes": ("[]", ("holdout.unseen",)),
    "a number": ("5", ("h.json",)),
    "deep": ("[" * 100_000, ("h.json", "nested")),
    "no class of it": ('["juggle"]', ("juggle",)),
    "numbers": ("[1, 2]", ("h.json", "unseen")),
    "the background": ('["no action"]', ("no action", "background")),
    "twice": ('["insert bolt", "insert bolt"]', ("insert bolt",)),
    "unknown key": ('{"unseen": ["insert bolt"], "mod": "mask"}', ("h.json", "mod")),
    "unknown mode": ('{"unseen": ["insert bolt"], "mode": "erase"}', ("holdout.mode", "erase")),
    "mode of a list": ('{"unseen": ["insert bolt"], "mode": ["mask"]}', ("mode",)),
    "videos of a text": ('{"unseen": ["insert bolt"], "train_videos": "all"}', ("h.json", "train_videos")),
    "videos that are paths": ('{"unseen": ["insert bolt"], "train_videos": ["../../x"]}', ("../../x",)),
    "5000 digits": (f"[{DIGITS}]", ("h.json", "digits")),
    "NaN": ("[NaN]", ("h.json", "NaN")),
    "surrogates": ('["a\\ud800"]', ("h.json", "surrogate")),
    "latin-1": (b'["\xe9"]', ("\xe9",)),
    "a folder": (folder, ("h.json",)),
    "a pipe": (fifo, ("h.json",)),
}


def _on(table: dict[str, tuple[Content, tuple[str, ...]]], name: str, path: str, *more: str, words: tuple[str, ...] = ()) -> Iterator[Row]:  # fmt: skip
    """Each fault in a copy of the data, trained on."""
    command = ["train", "{w}/tiny.yaml", "data.root=data", *more, "--out", "out"]
    for what, (content, said) in table.items():
        yield Row(f"{name}/{what}", command, (*words, *said), {path: content}, ("data",))


def _trained() -> Iterator[Row]:
    yield from _on(MAPPINGS, "mapping", MAPPING)
    yield from _on(LABEL_FILES, "labels", LABELS)
    yield from _on(SPLITS, "split", TRAIN)
    skip = ("another width", "NaN", "infinity", "beyond float32", "beyond float32, below zero", "at the end of float32")
    yield from _on({key: value for key, value in ARRAYS.items() if key not in skip}, "features", FEATURES, words=(VIDEO,))  # fmt: skip
    sidecars = {key: value for key, value in SIDECARS.items() if key != "too few times"}
    yield from _on(sidecars, "beside features", SIDECAR, words=(f"{VIDEO}.json",))
    yield from _on(FACTORS, "factors", "data/factors.csv", "model.head=text", "text.encoder=hash:16")
    yield from _on(HOLDOUTS, "holdout", "h.json", "model.head=text", "text.encoder=hash:16", "data.holdout=h.json")


def _values() -> Iterator[Row]:
    """Values are looked at when a video is first read, after the folder was begun."""
    for value, said in {np.nan: "nan", np.inf: "inf", 1e300: "1e+300"}.items():

        def spoil(path: Path, value: float = value) -> None:
            features = np.load(path).astype(np.float64)
            features[3, 2] = value
            np.save(path, features)

        yield Row(f"features/{said} in one place", "train {w}/tiny.yaml data.root=data data.validation=0 --out out", (VIDEO, said, "frame 3, column 2"), {FEATURES: spoil}, ("data",), leaves=("out*",))  # fmt: skip

    def large(path: Path) -> None:
        for each in path.parent.glob("*.npy"):
            np.save(each, np.load(each).astype(np.float32) * 1e29)

    yield Row("features/so large that the loss is no number", "train {w}/tiny.yaml data.root=data --out out", ("features", "data.standardize"), {FEATURES: large}, ("data",), leaves=("out*", "data/features/*"))  # fmt: skip


def _segmented() -> Iterator[Row]:
    for what, (content, words) in ARRAYS.items():
        yield Row(
            f"segment features/{what}", "segment a.npy --run {w}/run --out out", ("a.npy", *words), {"a.npy": content}
        )
    for what, (content, words) in SIDECARS.items():
        files: dict[str, Content] = {"a.npy": array(np.zeros((40, 8))), "a.json": content}
        yield Row(f"segment beside features/{what}", "segment a.npy --run {w}/run --out out", ("a.json", *words), files)


def _checked() -> Iterator[Row]:
    """`data check` lists findings, with exit code 1."""
    places = ((MAPPINGS, MAPPING), (LABEL_FILES, LABELS), (SPLITS, TRAIN), (ARRAYS, FEATURES), (FACTORS, "data/factors.csv"))  # fmt: skip
    chosen = ("empty", "NUL in a name", "id of 5000 digits", "a pipe", "a folder", "utf-16", "an escape", "escape in a label", "a path", "objects", "a shape of 10^12", "beyond float32", "NUL", "an image", "10 GB")  # fmt: skip
    for table, path in places:
        for what in chosen:
            if what in table:
                name = f"data check {Path(path).parent.name}/{what}"
                if name.startswith("data check data/") and path.endswith(".csv"):
                    name = f"data check factors/{what}"
                yield Row(name, "data check data data.name=workbench", ("error",), {path: table[what][0]}, ("data",), 1)


def _others() -> Iterator[Row]:
    commands = {
        "data summary": "data summary data data.name=workbench",
        "data init": "data init data --fps 15",
        "data holdout": "data holdout data data.name=workbench",
        "data split": "data split data --test 0.5 --overwrite",
    }
    for command, words in commands.items():
        for what in ("NUL in a name", "id of 5000 digits", "an image", "a pipe"):
            if command != "data split":
                yield Row(f"{command} mapping/{what}", words, ("mapping.txt",), {MAPPING: MAPPINGS[what][0]}, ("data",))
        for what in ("empty", "NUL bytes", "unknown label", "a pipe", "10 GB"):
            if not (command == "data split" and what in ("unknown label", "empty", "NUL bytes")) and command != "data holdout":  # fmt: skip
                yield Row(f"{command} labels/{what}", words, (VIDEO,), {LABELS: LABEL_FILES[what][0]}, ("data",))
    ignored = {"data/mapping.txt": "0 a\n", "data/groundTruth/v.txt": "?\n" * 9}
    yield Row("data summary labels/none but ?", "data summary data", ("no labelled frame",), ignored)
    yield Row("data holdout --out/a file that is there", ["data", "holdout", "{w}/data", "data.name=workbench", "--unseen", "insert bolt", "--out", "o.json"], ("o.json", "already there"), {"o.json": "{}"})  # fmt: skip
    for share, words in {"0.0001": "none of", "0.9999": "all of"}.items():
        yield Row(f"data split --test/{share}", f"data split data --test {share} --overwrite", ("--test", words), copies=("data",))  # fmt: skip
    for option, value in {"--folds": "0", "--test": "nan"}.items():
        yield Row(
            f"data split {option}/{value}", f"data split data {option} {value} --overwrite", (option,), copies=("data",)
        )
    for value in ("0", "1", "-1", "inf", "1e300", "x"):
        yield Row(
            f"data split --test/{value}", f"data split data --test {value} --overwrite", ("--test",), copies=("data",)
        )
    for value in ("1000000000000", "-5", "1.5", "x", DIGITS):
        yield Row(
            f"data split --folds/{value[:20]}",
            f"data split data --folds {value} --overwrite",
            ("folds",),
            copies=("data",),
        )
    patterns = {"a bracket": "(", "no group": "x", "repeats": "((a+)+)+$", "alternatives": "(a|a)*b", "many stars": "(.*.*.*.*.*x)", "NUL": "(a\\0b)"}  # fmt: skip
    for what, pattern in patterns.items():
        yield Row(f"data split --pattern/{what}", ["data", "split", "data", "--leave-out", "x", "--pattern", pattern, "--overwrite"], ("--pattern",), copies=("data",))  # fmt: skip
    for value in ("0", "-1", "nan", "inf", "1e300", "1e-320", "x"):
        yield Row(f"data init --fps/{value}", f"data init data --fps {value}", ("fps",), copies=("data",))
    yield Row("data init/no yaml", "data init data --out recipe.txt", ("recipe.txt", ".yaml"), copies=("data",))
    yield Row(
        "data init/there already",
        "data init data --out x.yaml",
        ("x.yaml", "already there"),
        {"x.yaml": "a: 1"},
        ("data",),
    )
    yield Row("data init/grammar of brackets", ["data", "init", "data", "--grammar", "[" * 500 + "{a}"], ("data.grammar",), copies=("data",))  # fmt: skip
    yield Row("data init/no background of it", ["data", "init", "data", "--background", "nobody"], ("nobody",), copies=("data",))  # fmt: skip
    for value in ("0", "-1", "1000000000000", "x", DIGITS):
        yield Row(
            f"data holdout --count/{value[:20]}", f"data holdout {{w}}/data data.name=workbench --count {value}", ()
        )
    yield Row(
        "data holdout --seed/digits", f"data holdout {{w}}/data data.name=workbench --count 2 --seed {DIGITS}", ()
    )
    yield Row("data holdout --unseen/empty", ["data", "holdout", "{w}/data", "data.name=workbench", "--unseen", ","], ("unseen",))  # fmt: skip
    yield Row("data holdout --unseen/unknown", ["data", "holdout", "{w}/data", "data.name=workbench", "--unseen", "juggle"], ("juggle",))  # fmt: skip
    yield Row("data holdout --unseen/open quote", ["data", "holdout", "{w}/data", "data.name=workbench", "--unseen", '"juggle'], ("juggle",))  # fmt: skip
    yield Row("data holdout --unseen/huge", ["data", "holdout", "{w}/data", "data.name=workbench", "--unseen", "x" * 100_000], ("xxx",))  # fmt: skip
    yield Row("data holdout --out/a folder", ["data", "holdout", "{w}/data", "data.name=workbench", "--unseen", "insert bolt", "--out", "out"], ("out",), {"out/x": ""})  # fmt: skip
    for value in ("0", "5", "-1", "1000000000", "x", DIGITS):
        yield Row(f"data sample --videos/{value[:20]}", f"data sample out --videos {value}", ("videos",))
    yield Row("data sample/not empty", "data sample out", ("out", "not empty"), {"out/x": ""})
    yield Row("data sample/a file", "data sample out", ("out: a file; expected a new folder",), {"out": ""})


ROWS: tuple[Row, ...] = (*_trained(), *_values(), *_segmented(), *_checked(), *_others())
