"""Run folders, checkpoints and results that do not belong together, or that a command must not write over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..row import Content, Row, array, cut, dumped, edited, fifo, gone, link, replaced, tensors

VIDEO = "person1_video1"
SEGMENT = f"segment {{w}}/{VIDEO}.npy --out out --run"
HERE = f"segment {VIDEO}.npy --run {{w}}/run --out out"
RESUME = "train {w}/tiny.yaml data.standardize=true train.epochs=3 --out run --resume"
EXTRACT = "extract {w}/clip.mp4 --encoder grid --out out"
PUBLISHED = "convert published.net --config {w}/reference.yaml --mapping {w}/data/mapping.txt --layout TD --out out"
STATISTICS, WEIGHTS, STATE = (f"{name}.safetensors" for name in ("features", "model", "last"))


def first(change: Callable[[Any], Any]) -> Content:
    """The first matrix of the weights, changed."""

    def make(values: dict[str, Any]) -> None:
        name = next(name for name in sorted(values) if values[name].ndim > 1)
        values[name] = change(values[name])

    return tensors(make)


def classes(names: list[str]) -> dict[str, Content]:
    """A run whose vocabulary and run.json agree on other classes than it was trained on."""
    vocabulary = edited("", names=names, background=names[:1], slots=["action"], factors=[[name] for name in names])
    return {"run/vocabulary.json": vocabulary, "run/run.json": edited("classes", count=len(names))}


OBJECTS = {"columns": [[10**6]], "fixed": [], "slot": 0}

RUN: dict[str, tuple[str, Content, str]] = {  # file of the run, what becomes of it, and where it is refused
    "a newer format": ("run.json", edited("", format=3), "run.json"),
    "two classes": ("run.json", edited("classes", count=2), "vocabulary.json"),
    "objects beyond": ("run.json", edited("", objects=OBJECTS), "run.json"),
    "an escape as encoder": ("run.json", edited("", encoder="a\x1bb"), "run.json"),
    "a name twice": ("vocabulary.json", edited("", names=["a"] * 23), "vocabulary.json"),
    "background that is no class": ("vocabulary.json", edited("", background=["x"]), "vocabulary.json"),
    "an unknown setting": ("config.yaml", replaced("train:", "train:\n  epoch: 3"), "config.yaml"),
    "other tokens": ("config.yaml", replaced("tokens: 40", "tokens: 41"), WEIGHTS),
    "more members": ("config.yaml", replaced("members: 1", "members: 3"), "2"),
    "deviation 0": (STATISTICS, tensors(lambda values: values["std"].__setitem__(3, 0)), STATISTICS),
    "mean alone": (STATISTICS, tensors(lambda values: values.pop("std")), STATISTICS),
    "a header without end": (WEIGHTS, (1 << 62).to_bytes(8, "little") + b"{}", WEIGHTS),
    "weights cut off": (WEIGHTS, cut(-100), WEIGHTS),
    "a parameter less": (WEIGHTS, tensors(lambda values: values.pop(sorted(values)[0])), WEIGHTS),
    "a parameter of NaN": (WEIGHTS, first(lambda value: value * np.float32("nan")), WEIGHTS),
}

CALIBRATION: dict[str, Content] = {
    "gamma of text": edited("", gamma="1"),
    "no seen class": edited("", seen=[]),
    "a seen class of another run": edited("", seen=["nope"]),
}

RESUMED: dict[str, tuple[str, Content]] = {
    "half a state": (STATE, cut(-100)),
    "no best weights": (WEIGHTS, gone),
    "a log of text": ("log.jsonl", '{"epoch": "x"}\n'),
    "a state that is a link": (STATE, link("../../canary.txt")),
}


def _run_folders() -> Iterator[Row]:
    run, words = ("run",), ("words",)
    for what, (name, content, place) in RUN.items():
        yield Row(f"run/{what}", f"{SEGMENT} run", place, {f"run/{name}": content}, run)
    for what, content in CALIBRATION.items():
        files = {"words/calibration.json": content}
        yield Row(f"calibration/{what}", f"{SEGMENT} words", "calibration.json", files, words)
    fewer, more = ["no action", "grasp shaft"], [f"c{number}" for number in range(23)]
    for names, place in ((fewer, "run.json"), (more, WEIGHTS)):  # transitions name classes that fewer lack
        yield Row(f"run/{len(names)} other classes", f"{SEGMENT} run", place, classes(names), run)
        yield Row(f"evaluate/{len(names)} other classes", "evaluate run", place, classes(names), run)
    mixed: Content = lambda path: path.write_bytes((path.parent.parent / "run" / path.name).read_bytes())  # noqa: E731
    yield Row("run/weights of another head", f"{SEGMENT} words", WEIGHTS, {f"words/{WEIGHTS}": mixed}, (*run, *words))
    width = {"words/config.yaml": replaced("hash:16", "hash:32")}
    yield Row("run/text of another width", f"{SEGMENT} words --actions kite", "words", width, words)
    moved = {"run/config.yaml": replaced("root: ", "root: /nowhere")}
    yield Row("run/data that has gone", f"{SEGMENT} run", "", moved, run, 0, ("out*",))
    for what, words_, place in (
        ("another rate", "data.fps=5", "data.fps"),
        ("a setting of training", "train.lr=5", "train.lr=5"),
        ("another split", "data.split=2", "data.split"),
        ("a second run", "{w}/words", "words"),
    ):
        yield Row(f"evaluate/{what}", f"evaluate run {words_}", place, copies=run)
    yield Row("evaluate/a trained class called unseen", "evaluate {w}/words data.holdout=[1]", "data.holdout")
    for name in ("evaluation.json", "predictions"):
        files = {f"run/{name}": link("../../canary.txt")}
        yield Row(f"evaluate/{name} is a link", "evaluate run", name, files, run)
    planted = {"run/segments": link("../..")}
    yield Row(
        "segment/the folder of the run is a link", SEGMENT.replace("--out out", "") + " run", "segments", planted, run
    )
    split = {"data/splits/test.split1.bundle": "../../canary\n"}
    yield Row(
        "evaluate/a split that leads out", "evaluate run data.root=data", "test.split1.bundle:1", split, (*run, "data")
    )
    yield Row("report/a page over a run", "report run --out run/run.json", "--out", copies=run)
    for what, (name, content) in RESUMED.items():
        yield Row(f"resume/{what}", RESUME, name, {f"run/{name}": content}, run, leaves=("run/log.jsonl",))
    yield Row("resume/another setting", f"{RESUME} train.lr=0.5", "train.lr", copies=run)
    for what, facts in (("fewer videos", {"seen": {"videos": [], "n_own": 0, "test": [], "classes": []}}),):
        yield Row(f"resume/{what}", RESUME, "data", {"run/run.json": edited("", **facts)}, run)
    yield Row("resume/no run", "train {w}/tiny.yaml --out none --resume", "none")
    yield Row(
        "resume/a sweep into a run", "train {w}/tiny.yaml --sweep train.seed=0,1 --resume --out run", "run", copies=run
    )


ROWS_30 = array(np.zeros((30, 8)))

INPUTS: dict[str, tuple[bytes, str, str]] = {  # features, what lies beside them, and the ending of what is named
    "beyond float32": (array(np.full((40, 8), 1e300), np.float64), "", "npy"),
    "no rows": (array(np.zeros((0, 8))), "", "npy"),
    "half a file": (ROWS_30[:-9], "", "npy"),
    "a sidecar with times that fall": (ROWS_30, '{"times": [3, 2, 1]}', "json"),
    "a sidecar of milliseconds": (ROWS_30, dumped({"times": [67 * row for row in range(30)]}), "json"),
}


def _results() -> Iterator[Row]:
    for what, (content, sidecar, ending) in INPUTS.items():
        files: dict[str, Content] = {f"{VIDEO}.npy": content, **({f"{VIDEO}.json": sidecar} if sidecar else {})}
        yield Row(f"segment/{what}", HERE, f"{VIDEO}.{ending}", files)
    here = (f"{VIDEO}.npy",)
    for what, words, place in (
        ("gamma of a closed run", "--gamma 1", "--gamma"),
        ("a name of no class", "--actions juggle", "vocabulary"),
        ("media of an attribute", "--media {name.__class__}", "--media"),
    ):
        yield Row(f"segment/{what}", f"{HERE} {words}", place, copies=here)
    yield Row("segment/the folder of the features", HERE.replace("--out out", "--out ."), "--out", copies=here)
    yield Row("segment/out links to itself", HERE, f"{VIDEO}.csv", {"out": link("out")}, here)
    yield Row("segment/one name twice", f"{HERE} a/{VIDEO}.npy", f"{VIDEO}.npy", {f"a/{VIDEO}.npy": ROWS_30}, here)
    record = f"out/.results/{VIDEO}.json"
    yield Row("segment/a record that is a pipe", HERE, f"{VIDEO}.json", {record: fifo}, here)
    yield Row("segment/a record that is deep", HERE, "", {record: "[" * 100_000}, here, 0, ("out*",))
    yield Row("segment/one bad of two", f"{HERE} b.npy", "b.npy", {"b.npy": b"x"}, here, 1, ("out*",))
    labels = f"segment {{w}}/{VIDEO}.npy --run {{w}}/run --format txt --overwrite --out data/groundTruth"
    yield Row("segment/over the labels", labels, "--out", copies=("data",))
    made: dict[str, Content] = {"out/clip.npy": array(np.zeros((7, 3)))}
    video = "segment {w}/clip.mp4 --run {w}/run --encoder grid --out out --overwrite"
    yield Row("segment/over features of the video", video, "--out", made)
    yield Row("segment/bytes on stdin", "segment - --run {w}/run --out out", "", stdin="\udcff\udcfe.npy\n")
    for what, text in (("JSON", '["insert bolt", "grasp nut"]'), ("a table", "id;name\n1;insert bolt\n")):
        yield Row(f"actions/{what}", f"{SEGMENT} {{w}}/words --actions-file a.txt", "a.txt", {"a.txt": text})
    yield Row("actions/background", [*f"{SEGMENT} {{w}}/words --actions".split(), "no action"], "--actions")
    yield Row("extract/over features of others", EXTRACT, "clip.npy", made)
    yield Row("extract/over a result", EXTRACT, "clip.json", {"out/clip.json": '{"fps": 5, "segments": []}'})
    yield Row(
        "extract/a part that is damaged", EXTRACT, "", {"out/clip.part": '{"dim": 5, "form'}, code=0, leaves=("out*",)
    )
    for name in ("concat:clip.mp4", "pipe:0"):
        yield Row(
            f"extract/{name[:4]}", f"extract {name} --encoder grid --out out", copies=("clip.mp4",), leaves=("out",)
        )
    for what, text in (
        ("files", "ffconcat version 1.0\nfile clip.mp4\n"),
        ("addresses", "ffconcat version 1.0\nfile http://127.0.0.1:9/secret.mp4\n"),
        ("HLS", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n"),
    ):
        files = {"v.mp4": text}
        yield Row(
            f"extract/a list of {what}",
            EXTRACT.replace("{w}/clip", "v"),
            "v.mp4",
            files,
            ("clip.mp4",),
            leaves=("out",),
        )


class Evil:
    """A pickle that would write a file."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch pwned ../pwned",)


def saved(change: Callable[[dict[str, Any], Any], Any]) -> Content:
    """What is made of the world's checkpoint and torch, saved by torch."""

    def make(path: Path) -> None:
        import torch

        torch.save(change(torch.load(path, weights_only=True), torch), path)

    return make


def parameter(change: Callable[[Any, Any], Any]) -> Content:
    """The first convolution, changed."""
    name = "block_list.0.frame_branch.conv_1x1.weight"
    return saved(lambda state, torch: {**state, name: change(state[name], torch)})


CHECKPOINTS: dict[str, Content] = {
    "a pickle that runs": saved(lambda state, torch: {"a": Evil()}),
    "a model": saved(lambda state, torch: torch.nn.Linear(2, 2)),
    "a key with an escape": saved(lambda state, torch: {**state, "\x1b[31m": torch.zeros(3)}),
    "a parameter less": saved(lambda state, torch: {key: state[key] for key in state if key != "action_query"}),
    "sparse": parameter(lambda value, torch: value.to_sparse()),
    "NaN": parameter(lambda value, torch: value * float("nan")),
    "a value stretched to 10^12": parameter(lambda value, torch: torch.zeros(1).expand(1_000_000, 1_000_000)),
}


def _published() -> Iterator[Row]:
    net = ("published.net",)
    for what, content in CHECKPOINTS.items():
        yield Row(f"checkpoint/{what}", PUBLISHED, "published.net", {"published.net": content}, net)
    yield Row("checkpoint/a folder that is full", PUBLISHED, "out", {"out/x": ""}, net)
    yield Row("checkpoint/a recipe of ours", PUBLISHED.replace("reference", "tiny"), "published.net", copies=net)
    command, size = PUBLISHED.replace("{w}/reference", "reference"), replaced("hid_dim: 40", "hid_dim: wide")
    yield Row(
        "checkpoint/a size of text", command, "reference.yaml", {"reference.yaml": size}, ("reference.yaml", *net)
    )
    script = "scripts/run_eval --cfg {w}/tiny.yaml --ckpt published.net"
    evil = {"published.net": CHECKPOINTS["a pickle that runs"]}
    yield Row("scripts/a pickle that runs", script, "published.net", evil, net)
    yield Row("scripts/nothing trained", "scripts/eval", "logs")
    choice = "scripts/select_holdout_classes --cfg {w}/tiny.yaml --number 2 --output out"
    yield Row("scripts/a choice into a folder", choice, "out", {"out/x": ""})


ROWS = (*_run_folders(), *_results(), *_published())
