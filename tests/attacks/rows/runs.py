"""Run folders with a fault, for `evaluate`, `segment` and `train --resume`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..row import (
    MISSING,
    Content,
    Row,
    array,
    cut,
    dumped,
    edited,
    fifo,
    flipped,
    folder,
    gone,
    link,
    replaced,
    sparse,
    tensors,
)

DIGITS = "9" * 5000

Faults = dict[str, tuple[str, Content, tuple[str, ...]]]


def text_faults(name: str) -> Faults:
    """What can be wrong with any file of JSON or YAML."""
    kind = "JSON" if name.endswith(".json") else "YAML"
    return {
        f"{name} empty": (name, "", (name,)),
        f"{name} is a list": (name, "[]", (name, "list")),
        f"{name} is a number": (name, "5", (name,)),
        f"{name} is cut off": (name, cut(20), (name,)),
        f"{name} is an image": (name, b"\x89PNG\r\n\x1a\n" + bytes(range(256)), (name, "UTF-8")),
        f"{name} is deep": (name, "[" * 5000, (name, "nested" if kind == "JSON" else "YAML")),
        f"{name} has 5000 digits": (name, f'{{"format": {DIGITS}}}', (name, "an integer of")),
        f"{name} is a folder": (name, folder, (name,)),
        f"{name} is a pipe": (name, fifo, (name,)),
        f"{name} is endless": (name, link("/dev/zero"), (name,)),
        f"{name} is a link to itself": (name, link(name), (name,)),
        f"{name} has 10 GB": (name, sparse(10 << 30, b"{"), (name, "bytes")),
    }


RUN: Faults = {
    **text_faults("run.json"),
    **text_faults("config.yaml"),
    **text_faults("vocabulary.json"),
    "no run.json": ("run.json", gone, ("no run.json",)),
    "no config.yaml": ("config.yaml", gone, ("config.yaml", "no such file")),
    "no vocabulary.json": ("vocabulary.json", gone, ("vocabulary.json", "no such file")),
    "a newer format": ("run.json", edited("", format=3), ("format 3", "use the fact-clip version")),
    "a format of text": ("run.json", edited("", format="2"), ("format",)),
    "a format of a list": ("run.json", edited("", format=[2]), ("format",)),
    "a newer format of an escape": ("run.json", edited("", format=3, fact_clip="\x1b[31m"), ("format 3",)),
    "no classes": ("run.json", edited("", classes=MISSING), ("run.json", "classes")),
    "classes of a list": ("run.json", edited("", classes=[]), ("run.json", "classes")),
    "no class": ("run.json", edited("classes", count=0), ("run.json", "count")),
    "10^9 classes": ("run.json", edited("classes", count=10**9), ("run.json", "count")),
    "two classes": ("run.json", edited("classes", count=2), ("vocabulary.json", "23 classes")),
    "classes of true": ("run.json", edited("classes", count=True), ("run.json", "count")),
    "verbs beyond": ("run.json", edited("classes", verb=[9] * 23, n_verbs=2), ("run.json", "verbs")),
    "verbs of a text": ("run.json", edited("classes", verb="x"), ("run.json", "verb")),
    "a layout that is none": ("run.json", edited("", layout="XY"), ("run.json", "layout")),
    "fps 0": ("run.json", edited("", fps=0), ("run.json", "fps")),
    "fps -1": ("run.json", edited("", fps=-1), ("run.json", "fps")),
    "fps NaN": ("run.json", edited("", fps=float("nan")), ("run.json", "NaN")),
    "fps infinity": ("run.json", replaced('"fps": 15.0', '"fps": 1e999'), ("run.json", "fps")),
    "fps 1e300": ("run.json", edited("", fps=1e300), ("run.json", "fps")),
    "fps of text": ("run.json", edited("", fps="15"), ("run.json", "fps")),
    "fps of true": ("run.json", edited("", fps=True), ("run.json", "fps")),
    "a length below zero": ("run.json", edited("", mean_transcript_length=-1), ("run.json", "mean_transcript_length")),
    "a length of text": ("run.json", edited("", mean_transcript_length="x"), ("run.json", "mean_transcript_length")),
    "objects of a list": ("run.json", edited("", objects=[]), ("run.json", "objects")),
    "objects without columns": ("run.json", edited("", objects={"columns": [], "fixed": [], "slot": 0}), ("run.json", "objects.columns")),
    "objects beyond": ("run.json", edited("", objects={"columns": [[10**6]], "fixed": [], "slot": 0}), ("run.json", "column")),
    "objects of two widths": ("run.json", edited("", objects={"columns": [[0], [1, 2]], "fixed": [], "slot": 0}), ("run.json", "objects")),
    "objects below zero": ("run.json", edited("", objects={"columns": [[-1]], "fixed": [], "slot": 0}), ("run.json", "objects.columns")),
    "an encoder of a number": ("run.json", edited("", encoder=5), ("run.json", "encoder")),
    "a step of no videos": ("run.json", edited("", videos_a_step=0), ("run.json", "videos_a_step")),
    "no names": ("vocabulary.json", edited("", names=[]), ("vocabulary.json", "names")),
    "names of numbers": ("vocabulary.json", edited("", names=list(range(23))), ("vocabulary.json", "names")),
    "a name less": ("vocabulary.json", edited("", names=["a"]), ("vocabulary.json",)),
    "a name twice": ("vocabulary.json", edited("", names=["a"] * 23), ("vocabulary.json", "'a' twice")),
    "background that is no class": ("vocabulary.json", edited("", background=["x"]), ("vocabulary.json", "'x'")),
    "background of a text": ("vocabulary.json", edited("", background="no action"), ("vocabulary.json", "background")),
    "slots of a text": ("vocabulary.json", edited("", slots="verb"), ("vocabulary.json", "slots")),
    "no slots": ("vocabulary.json", edited("", slots=[]), ("vocabulary.json",)),
    "factors of a number": ("vocabulary.json", edited("", factors=5), ("vocabulary.json", "factors")),
    "a factor less": ("vocabulary.json", edited("", factors=[["a", "b", "c"]]), ("vocabulary.json", "factors")),
    "factors of numbers": ("vocabulary.json", edited("", factors=[[1, 2, 3]] * 23), ("vocabulary.json", "factors")),
    "an unknown setting": ("config.yaml", replaced("train:", "train:\n  epoch: 3"), ("config.yaml", "train.epoch")),
    "data that has gone": ("config.yaml", replaced("root: ", "root: /nowhere"), ("nowhere",)),
    "10^9 tokens": ("config.yaml", replaced("tokens: 40", "tokens: 1000000000"), ("config.yaml", "model.tokens")),
    "other tokens": ("config.yaml", replaced("tokens: 40", "tokens: 41"), ("model.safetensors", "shape")),
    "another width": ("config.yaml", replaced("hidden: 40", "hidden: 48"), ("model.safetensors", "shape")),
    "more members": ("config.yaml", replaced("members: 1", "members: 3"), ("members/2", "no such folder")),
    "10^9 members": ("config.yaml", replaced("members: 1", "members: 1000000000"), ("config.yaml", "train.members")),
}  # fmt: skip

STATISTICS: Faults = {
    "no statistics": ("features.safetensors", gone, ("features.safetensors", "no such file")),
    "statistics empty": ("features.safetensors", b"", ("features.safetensors",)),
    "statistics of text": ("features.safetensors", "x" * 1000, ("features.safetensors",)),
    "statistics cut off": ("features.safetensors", cut(-8), ("features.safetensors",)),
    "statistics of a huge header": ("features.safetensors", (1 << 62).to_bytes(8, "little") + b"{}", ("features.safetensors",)),
    "statistics of a deep header": ("features.safetensors", (100_000).to_bytes(8, "little") + b"[" * 100_000, ("features.safetensors",)),
    "statistics are a pipe": ("features.safetensors", fifo, ("features.safetensors", "pipe")),
    "statistics are endless": ("features.safetensors", link("/dev/zero"), ("features.safetensors", "device")),
    "statistics of 10 GB": ("features.safetensors", sparse(10 << 30), ("features.safetensors", "bytes")),
    "deviation 0": ("features.safetensors", tensors(lambda found: found["std"].__setitem__(3, 0)), ("features.safetensors", "std", "column 3")),
    "deviation below 0": ("features.safetensors", tensors(lambda found: found["std"].__setitem__(3, -1)), ("features.safetensors", "std", "column 3")),
    "deviation infinite": ("features.safetensors", tensors(lambda found: found["std"].__setitem__(3, np.inf)), ("features.safetensors", "std", "finite")),
    "deviation NaN": ("features.safetensors", tensors(lambda found: found["std"].__setitem__(3, np.nan)), ("features.safetensors", "std", "finite")),
    "mean NaN": ("features.safetensors", tensors(lambda found: found["mean"].__setitem__(3, np.nan)), ("features.safetensors", "mean", "finite")),
    "mean infinite": ("features.safetensors", tensors(lambda found: found["mean"].__setitem__(3, np.inf)), ("features.safetensors", "mean", "finite")),
    "mean alone": ("features.safetensors", tensors(lambda found: found.pop("std")), ("features.safetensors", "mean and std")),
    "mean of another width": ("features.safetensors", tensors(lambda found: found.update(mean=np.zeros(7, np.float32))), ("features.safetensors", "mean", "shape")),
    "mean of whole numbers": ("features.safetensors", tensors(lambda found: found.update(mean=np.zeros(8, np.int64))), ("features.safetensors", "mean")),
    "no width": ("features.safetensors", tensors(lambda found: found.pop("input_dim")), ("features.safetensors", "input_dim")),
    "a width of 0": ("features.safetensors", tensors(lambda found: found.update(input_dim=np.array([0]))), ("features.safetensors", "columns")),
    "a width of 10^12": ("features.safetensors", tensors(lambda found: found.update(input_dim=np.array([10**12]), mean=None) or found.pop("mean")), ("features.safetensors",)),
    "a width of nothing": ("features.safetensors", tensors(lambda found: found.update(input_dim=np.zeros(0, np.int64))), ("features.safetensors", "input_dim")),
    "a width of NaN": ("features.safetensors", tensors(lambda found: found.update(input_dim=np.array([np.nan]))), ("features.safetensors", "input_dim")),
    "a window of 0": ("features.safetensors", tensors(lambda found: found.update(context=np.array([0]))), ("features.safetensors", "window")),
    "a window of 10^12": ("features.safetensors", tensors(lambda found: found.update(context=np.array([10**12]))), ("features.safetensors", "window")),
    "a window of numbers in rows": ("features.safetensors", tensors(lambda found: found.update(context=np.zeros((2, 2), np.int64))), ("features.safetensors", "context")),
}  # fmt: skip


def first(change: Any) -> Content:
    """Change the first matrix of the weights."""

    def make(found: dict[str, Any]) -> None:
        name = next(name for name in sorted(found) if found[name].ndim > 1)
        found[name] = change(found[name])

    return tensors(make)


WEIGHTS: Faults = {
    "no weights": ("model.safetensors", gone, ("model.safetensors", "no such file")),
    "weights empty": ("model.safetensors", b"", ("model.safetensors",)),
    "weights of text": ("model.safetensors", "x" * 1000, ("model.safetensors",)),
    "weights that are a pickle": ("model.safetensors", b"\x80\x04\x95" + b"\0" * 100, ("model.safetensors",)),
    "weights cut off": ("model.safetensors", cut(-100), ("model.safetensors",)),
    "weights of a huge header": ("model.safetensors", (1 << 62).to_bytes(8, "little") + b"{}", ("model.safetensors",)),
    "weights of a damaged header": ("model.safetensors", flipped(10, 20), ("model.safetensors",)),
    "weights are a pipe": ("model.safetensors", fifo, ("model.safetensors", "pipe")),
    "weights are a folder": ("model.safetensors", folder, ("model.safetensors", "folder")),
    "weights are endless": ("model.safetensors", link("/dev/zero"), ("model.safetensors", "device")),
    "weights are a link to themselves": ("model.safetensors", link("model.safetensors"), ("model.safetensors",)),
    "a parameter less": ("model.safetensors", tensors(lambda found: found.pop(sorted(found)[0])), ("model.safetensors", "1 missing")),
    "a parameter more": ("model.safetensors", tensors(lambda found: found.update(extra=np.zeros(3, np.float32))), ("model.safetensors", "1 unexpected")),
    "a parameter of another shape": ("model.safetensors", first(lambda value: value[:1]), ("model.safetensors", "shape")),
    "a parameter of NaN": ("model.safetensors", first(lambda value: value * np.float32("nan")), ("model.safetensors", "NaN")),
    "a parameter of infinity": ("model.safetensors", first(lambda value: value + np.float32("inf")), ("model.safetensors", "NaN or an infinity")),
    "a parameter of whole numbers": ("model.safetensors", first(lambda value: np.zeros(value.shape, np.int64)), ("model.safetensors", "int64")),
    "a parameter of truths": ("model.safetensors", first(lambda value: np.zeros(value.shape, np.bool_)), ("model.safetensors", "bool")),
}  # fmt: skip

CALIBRATION: Faults = {
    **{key: value for key, value in text_faults("calibration.json").items() if "endless" not in key},
    "gamma NaN": ("calibration.json", edited("", gamma=float("nan")), ("calibration.json", "NaN")),
    "gamma infinite": ("calibration.json", edited("", gamma=float("inf")), ("calibration.json", "Infinity")),
    "gamma 1e300": ("calibration.json", edited("", gamma=1e300), ("calibration.json", "gamma")),
    "gamma of text": ("calibration.json", edited("", gamma="1"), ("calibration.json", "gamma")),
    "a weight below 0": ("calibration.json", edited("", prior_weight=-1), ("calibration.json", "prior_weight")),
    "no seen class": ("calibration.json", edited("", seen=[]), ("calibration.json", "seen")),
    "seen of a text": ("calibration.json", edited("", seen="x"), ("calibration.json", "seen")),
    "frames of another slot": ("calibration.json", edited("", frames={"x": {"a": 1}}), ("calibration.json", "slots")),
    "frames below 0": ("calibration.json", edited("", frames={"verb": {"a": -1}}), ("calibration.json", "frames")),
    "frames of 0": ("calibration.json", edited("", frames={"verb": {"a": 0}}), ("calibration.json", "frames")),
    "an unknown key": ("calibration.json", edited("", temperature=1), ("calibration.json", "temperature")),
    "a confidence of NaN": ("confidence.json", edited("", slope=float("nan")), ("confidence.json", "NaN")),
    "a confidence of infinity": ("confidence.json", edited("", slope=1e308), ("confidence.json", "slope")),
    "a confidence of quantiles": ("confidence.json", edited("", quantiles=[1]), ("confidence.json", "quantiles")),
    "a confidence beyond 1": ("confidence.json", edited("", quantiles=[2.0] * 101), ("confidence.json", "quantiles")),
    "a confidence that is deep": ("confidence.json", "[" * 5000, ("confidence.json", "nested")),
    "a confidence that is a pipe": ("confidence.json", fifo, ("confidence.json", "pipe")),
}  # fmt: skip

STATE: Faults = {
    "the state empty": ("last.safetensors", b"", ("last.safetensors",)),
    "the state cut off": ("last.safetensors", cut(-100), ("last.safetensors",)),
    "the state of text": ("last.safetensors", "x" * 1000, ("last.safetensors",)),
    "the state without facts": ("last.safetensors", tensors(lambda found: None), ("last.safetensors", "epoch")),
    "the state without parameters": ("last.safetensors", tensors(lambda found: [found.pop(name) for name in list(found) if name.startswith("model.")]), ("last.safetensors", "missing")),
    "the state is a pipe": ("last.safetensors", fifo, ("last.safetensors", "pipe")),
    "the state of another optimiser": ("last.safetensors", tensors(lambda found: found.update({"optimizer.99999.exp_avg": np.zeros(3, np.float32)})), ("last.safetensors", "optimizer.99999")),
    "the state of a number of text": ("last.safetensors", tensors(lambda found: found.update({"optimizer.x.exp_avg": np.zeros(3, np.float32)})), ("last.safetensors", "optimizer.x")),
    "the state of another shape": ("last.safetensors", tensors(lambda found: found.update({"optimizer.0.exp_avg": np.zeros(3, np.float32)})), ("last.safetensors", "optimizer.0")),
    "the log of numbers": ("log.jsonl", "5\n", ("log.jsonl",)),
    "the log of text": ("log.jsonl", '{"epoch": "x"}\n', ("log.jsonl",)),
    "the log that is a pipe": ("log.jsonl", fifo, ("log.jsonl",)),
    "the log of latin-1": ("log.jsonl", b"\xe9\n", ("log.jsonl",)),
}  # fmt: skip


def classes(names: list[str]) -> dict[str, Content]:
    """A run whose vocabulary and run.json agree on other classes than it was trained on."""
    vocabulary = edited("", names=names, background=names[:1], slots=["action"], factors=[[name] for name in names])
    return {"run/vocabulary.json": vocabulary, "run/run.json": edited("classes", count=len(names))}


OTHER_CLASSES = {
    "two classes": (["no action", "grasp shaft"], ("model.safetensors", "trained on 23 classes", "the 2 of")),
    "24 classes": ([f"c{number}" for number in range(24)], ("model.safetensors", "23 classes", "the 24 of")),
    "other names": ([f"c{number}" for number in range(23)], ("model.safetensors", "'no action' against 'c0'")),
}


def _rows() -> Iterator[Row]:
    inside = "person1_video1.npy"
    for what, (names, words) in OTHER_CLASSES.items():
        told = f"run of other classes/{what}"
        yield Row(told, f"segment {{w}}/{inside} --run run --out out", words, classes(names), ("run",))
        for command in ("evaluate run", "train {w}/tiny.yaml --out run --resume"):
            yield Row(f"{told}, {command.split()[0]}", command, (), classes(names), ("run",))
    for what, (name, content, words) in {**RUN, **STATISTICS, **WEIGHTS}.items():
        yield Row(
            f"run/{what}",
            f"segment {{w}}/{inside} --run run --out out",
            () if "data that has gone" in what else words,
            {f"run/{name}": content},
            ("run",),
            0 if "data that has gone" in what else 2,
            ("out*",) if "data that has gone" in what else (),
        )
    for what in (
        "run.json is deep",
        "config.yaml is cut off",
        "vocabulary.json is a pipe",
        "fps NaN",
        "10^9 classes",
        "deviation 0",
        "weights cut off",
        "a parameter of NaN",
        "10^9 tokens",
        "a name twice",
        "data that has gone",
        "a newer format",
        "no run.json",
    ):
        name, content, words = {**RUN, **STATISTICS, **WEIGHTS}[what]
        yield Row(f"evaluate run/{what}", "evaluate run", words, {f"run/{name}": content}, ("run",))
    for what, (name, content, words) in CALIBRATION.items():
        yield Row(
            f"calibration/{what}",
            f"segment {{w}}/{inside} --run words --out out",
            words,
            {f"words/{name}": content},
            ("words",),
        )
    for what, (name, content, words) in STATE.items():
        yield Row(
            f"resume/{what}",
            "train {w}/tiny.yaml data.standardize=true train.epochs=2 --out run --resume",
            words,
            {f"run/{name}": content},
            ("run",),
            leaves=("run/*",),
        )
    yield Row(
        "resume/another configuration",
        "train {w}/tiny.yaml train.epochs=2 --out run --resume",
        ("run", "data.standardize"),
        copies=("run",),
        leaves=("run/*",),
    )
    yield Row("resume/no run", "train {w}/tiny.yaml --out none --resume", ("none", "run.json"), leaves=("none*",))
    yield Row("resume/a file", "train {w}/tiny.yaml --out f --resume", ("f",), {"f": ""})
    yield Row("evaluate/no run", "evaluate none", ("none", "run.json"))
    yield Row("evaluate/a file", "evaluate f", ("f", "run.json"), {"f": ""})
    yield Row("evaluate/a device", "evaluate /dev/zero", ("/dev/zero",))
    yield Row("evaluate/no split of it", "evaluate run --split nothing", ("split", "'nothing'"), copies=("run",))
    yield Row(
        "evaluate/a plot without unseen classes",
        "evaluate run --plot p.png",
        ("--plot",),
        copies=("run",),
        leaves=("run/*",),
    )
    yield Row("evaluate/a plot of another kind", "evaluate run --plot p.gif", ("p.gif",), copies=("run",))
    yield Row(
        "evaluate/another data set",
        "evaluate run data.root=data",
        ("'more'",),
        {"data/mapping.txt": replaced("22 ", "23 more\n22 ")},
        ("run", "data"),
    )
    yield Row("evaluate/a device that is none", "evaluate run --device tpu", ("device", "tpu"), copies=("run",))
    for what, text in {
        "empty": "",
        "twice": "a\na\n",
        "NUL": "a\0b\n",
        "an escape": "\x1b[31m\n",
        "unknown": "juggle\n",
    }.items():
        yield Row(
            f"evaluate --actions-file/{what}",
            "evaluate run --actions-file a.txt",
            ("a.txt",) if what in ("empty", "twice") else (),
            {"a.txt": text},
            ("run",),
        )
        yield Row(
            f"segment --actions-file/{what}",
            f"segment {{w}}/{inside} --run {{w}}/run --actions-file a.txt --out out",
            ("a.txt",) if what in ("empty", "twice") else (),
            {"a.txt": text},
        )
    yield Row(
        "evaluate --actions-file/a pipe",
        "evaluate run --actions-file a.txt",
        ("a.txt", "pipe"),
        {"a.txt": fifo},
        ("run",),
    )
    yield Row(
        "evaluate --actions-file/missing",
        "evaluate run --actions-file a.txt",
        ("a.txt", "no such file"),
        copies=("run",),
    )
    options = {
        "--window": ("0", "-1", "nan", "inf", "1e300", "x"),
        "--fps": ("0", "-1", "nan", "inf", "1e300", "1e-300", "x"),
        "--format": ("xls", ",", "../x", "x" * 10_000),
        "--device": ("tpu", "cuda:99", "cuda:x", ""),
        "--actions": ("", ",", "juggle", '"', "x" * 10_000),
        "--more-actions": ("juggle",),
        "--encoder": ("", "gpt", "file:x"),
        "--plot": ("p.gif", "p", "f/p.png"),
        "--overlay": ("o.mp4", "o.txt"),
    }
    for option, values in options.items():
        for value in values:
            yield Row(
                f"segment {option}/{value[:20] or 'empty'}",
                ["segment", f"{{w}}/{inside}", "--run", "{w}/run", "--out", "out", option, value],
                (),
                leaves=("out*",) if value == "f/p.png" else (),
                files={"f": ""},
            )
    yield Row("segment/neither a run nor none", f"segment {{w}}/{inside} --out out", ("--run",))
    yield Row("segment/nothing", "segment none.npy --run {w}/run --out out", ("none.npy", "no such file"))
    yield Row("segment/an empty folder", "segment f --run {w}/run --out out", ("f", "without videos"), {"f/x.txt": ""})
    yield Row("segment/no line on stdin", "segment - --run {w}/run --out out", ("stdin",))
    yield Row("segment/a NUL on stdin", "segment - --run {w}/run --out out", ("a",), stdin="a\0b.npy\n")
    yield Row("segment/bytes on stdin", "segment - --run {w}/run --out out", (), stdin="\udcff\udcfe.npy\n")
    yield Row(
        "segment/a long name on stdin", "segment - --run {w}/run --out out", ("xxx",), stdin="x" * 5000 + ".npy\n"
    )
    yield Row(
        "segment/one name twice",
        f"segment {{w}}/{inside} a/{inside} --run {{w}}/run --out out",
        ("the same name",),
        {f"a/{inside}": array(np.zeros((40, 8)))},
    )
    yield Row(
        "segment/one bad of two",
        f"segment {{w}}/{inside} b.npy --run {{w}}/run --out out",
        ("b.npy", "1 of 2 inputs failed"),
        {"b.npy": b"x"},
        code=1,
        leaves=("out*",),
    )
    yield Row(
        "segment/a record that is deep",
        f"segment {{w}}/{inside} --run {{w}}/run --out out",
        ("person1_video1",),
        {"out/.results/person1_video1.json": "[" * 100_000},
        code=0,
        leaves=("out*",),
    )
    yield Row(
        "segment/a record that is a pipe",
        f"segment {{w}}/{inside} --run {{w}}/run --out out",
        ("person1_video1", "a pipe"),
        {"out/.results/person1_video1.json": fifo},
        code=2,
        leaves=("out*",),
    )
    yield Row(
        "segment/a record of numbers",
        f"segment {{w}}/{inside} --run {{w}}/run --out out",
        ("person1_video1",),
        {"out/.results/person1_video1.json": dumped([1])},
        code=0,
        leaves=("out*",),
    )
    yield Row(
        "segment/a full disk",
        f"segment {{w}}/{inside} --run {{w}}/run --out out",
        ("out", "cannot be written"),
        disk=512,
        leaves=("out", "out/.results"),
    )
    yield Row(
        "segment/out is a file",
        f"segment {{w}}/{inside} --run {{w}}/run --out f",
        ("f", "cannot be written"),
        {"f": ""},
    )
    yield Row(
        "segment/truth that is broken",
        "segment data/features/person1_video1.npy --run {w}/run --out out --plot p.png",
        ("person1_video1.txt",),
        {"data/groundTruth/person1_video1.txt": "juggle\n\njuggle\n"},
        ("data",),
    )
    for name in ("evaluation.json", "predictions", "evaluation.npz"):
        yield Row(
            f"evaluate a link/{name}",
            "evaluate run",
            ("symbolic link",),
            {f"run/{name}": link("../../canary.txt")},
            ("run",),
            leaves=("run/*",),
        )
    yield Row(
        "evaluate/a split that names a path",
        "evaluate run data.root=data",
        ("canary",),
        {"data/splits/test.split1.bundle": "../../canary\n"},
        ("run", "data"),
        leaves=("run/*",),
    )
    yield Row(
        "evaluate/a split that names an absolute path",
        "evaluate run data.root=data",
        ("canary",),
        {"data/splits/test.split1.bundle": "/canary\n"},
        ("run", "data"),
        leaves=("run/*",),
    )


ROWS = tuple(_rows())
