"""Inputs of the second hostile test that were accepted silently, blamed on the wrong thing, or refused too late."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..row import MISSING, Content, Row, appended, edited, gone, replaced, tensors

TRAIN = "train {w}/tiny.yaml train.epochs=1 --out out"
ON_DATA = "train {w}/tiny.yaml data.root=data train.epochs=1 --out out"
VIDEO = "person1_video1"


def _settings() -> Iterator[Row]:
    texts = {
        "a group twice": ("base: {w}/tiny.yaml\ntrain: {epochs: 1}\ntrain: {lr: 0.1}\n", ("r.yaml", "'train' twice")),
        "a key twice": ("base: {w}/tiny.yaml\ntrain: {lr: 0.1, lr: 0.2}\n", ("r.yaml", "'lr' twice", "line 2")),
        "octal": ("base: {w}/tiny.yaml\ntrain: {seed: 010}\n", ("r.yaml", "010")),
        "sexagesimal": ("base: {w}/tiny.yaml\ndata: {fps: 1:30}\n", ("r.yaml", "1:30")),
        "sexagesimal with a point": ("base: {w}/tiny.yaml\ndata: {fps: 1:30.5}\n", ("r.yaml", "1:30.5")),
        "a name that is a truth value": (
            "base: {w}/tiny.yaml\ndata: {unlabelled: [no]}\n",
            ("unlabelled", "in quotes"),
        ),
        "one name for a list": ("base: {w}/tiny.yaml\ndata: {background: no action}\n", ("data.background", "a list")),
        "parts of a text": ("base: {w}/tiny.yaml\ntext: {parts: sentence}\n", ("text.parts", "'auto' or a list")),
        "a split that is none": ("base: {w}/tiny.yaml\ndata: {split: null}\n", ("data.split = None",)),
    }
    for what, (text, words) in texts.items():
        yield Row(f"recipe silent/{what}", "train r.yaml --out out", words, {"r.yaml": text})
    overrides = {
        "a window twice": (["data.context=[5, 5]"], ("data.context", "each once")),
        "no parts": (["model.head=text", "text.parts=[]"], ("text.parts",)),
        "a part twice": (["model.head=text", "text.parts=[sentence, sentence]"], ("text.parts", "each once")),
        "no base": (["base="], ("base=",)),
        "an empty run": (["train.init="], ()),
        "an empty text": (["train.init=''"], ("train.init = ''",)),
        "a home of nobody": (["data.root=~nobody_has_this_name/data"], ("nobody_has_this_name", "no such folder")),
        "class numbers of truth values": (["data.holdout=[yes]"], ("data.holdout = true",)),
        "a mode without a hold-out": (["data.holdout_mode=drop"], ("data.holdout_mode", "data.holdout")),
        "rivals without a hold-out": (["data.validation_unseen=[insert bolt]"], ("data.validation_unseen",)),
        "passes that share a whole window": (["decode.window=40", "decode.overlap=40"], ("decode.overlap",)),
    }
    for what, (words, said) in overrides.items():
        good = {"an empty run": 0}.get(what, 2)
        yield Row(
            f"override silent/{what}",
            [*TRAIN.split(), *words],
            said,
            code=good,
            leaves=() if good else ("out*",),
        )
    yield Row(
        "override silent/a group is merged",
        [*TRAIN.split()[:2], "train.lr=0.5", "train={epochs: 1}", "--out", "out"],
        ("1 epochs",),
        code=0,
        leaves=("out*",),
    )
    yield Row(
        "override silent/gamma by what no video shows",
        [*TRAIN.split(), "model.head=text", "text.encoder=hash:16", "data.holdout=[insert bolt]", "decode.gamma_rule=harmonic"],
        ("decode.gamma_rule",),
    )  # fmt: skip


def _options() -> Iterator[Row]:
    yield Row("option twice/--out", f"{TRAIN} --out other", ("--out", "twice"))
    yield Row("option twice/--seeds", f"{TRAIN} --seeds 0 --seeds 1", ("--seeds", "twice"))
    yield Row("option twice/--split", "evaluate {w}/run --split train --split test", ("--split", "twice"))
    yield Row("option empty/--out", [*TRAIN.split()[:3], "--out", ""], ("--out", "empty"))
    yield Row("option empty/evaluate", ["evaluate", ""], ("empty",))
    yield Row("option empty/--plots", ["report", "{w}/run", "--plots", ""], ("--plots", "empty"))
    yield Row("option empty/report --out", ["report", "{w}/run", "--out", ""], ("--out", "empty"))
    for what, (options, words) in {
        "the key of an override": (["train.seed=5", "--seeds", "0,1"], ("train.seed", "swept")),
        "equal numbers": (["--sweep", "train.lr=1,1.0"], ("--sweep", "twice")),
        "a split in all": (["--sweep", "data.split=1,all"], ("--sweep", "twice")),
        "a head that is none": (["--sweep", "model.head=closed,nope"], ("model.head", "'nope'")),
        "a device that is none": (["--sweep", "train.device=cpu,cuda:99"], ("train.device", "cuda:99")),
        "no key": (["--sweep", "=1,2"], ("--sweep", "KEY=VALUE")),
        "a seed to the base 8": (["--seeds", "010"], ("010",)),
    }.items():
        yield Row(f"sweep silent/{what}", [*TRAIN.split(), *options], words)
    yield Row("out silent/no UTF-8", [*TRAIN.split()[:3], "--out", "\udcff"], ("UTF-8",))
    yield Row("report silent/a page over a run", "report run --out run/run.json", ("--out", ".html"), copies=("run",))
    yield Row("report silent/page and plots", "report {w}/run --out a.html --plots p", ("--out", "--plots"))
    yield Row(
        "evaluate silent/a plot without unseen classes", "evaluate run --plot a.png", ("--plot",), copies=("run",)
    )
    yield Row("demo silent/data of someone else", "demo --out .", ("data",), {"data/mapping.txt": "0 a\n"})
    yield Row("demo silent/a run of someone else", "demo --out .", ("run",), copies=("run",))
    yield Row("demo silent/files of someone else", "demo --out .", ("mine.txt",), {"mine.txt": "a"})
    for what, (options, words) in {
        "no address": ("--host nowhere.invalid", ("--host", "nowhere.invalid")),
        "an address of another machine": ("--host 203.0.113.9", ("--host", "203.0.113.9")),
        "a file as training set": ("--training-set {w}/tiny.yaml", ("--training-set",)),
        "a run as training set": ("--training-set {w}/run", ("--training-set",)),
        "an infinity of megabytes": ("--max-megabytes inf", ("--max-megabytes",)),
        "prompts that are none": ("--prompts fancy", ("--prompts",)),
        "an open quote": ('--actions "insert', ("names",)),
    }.items():
        yield Row(f"app silent/{what}", f"app --run {{w}}/run --port 0 {options}", words)


def _data() -> Iterator[Row]:
    def unlabelled(path: Path) -> None:
        for file in path.parent.glob("*.txt"):
            file.write_text("?\n" * len(file.read_text(encoding="utf-8").splitlines()), encoding="utf-8")

    labels, beside = f"data/groundTruth/{VIDEO}.txt", f"data/features/{VIDEO}.json"
    rows: dict[str, tuple[dict[str, Content], tuple[str, ...]]] = {
        "no label at all": ({labels: unlabelled}, ("data", "no labelled frame")),
        "another rate beside one video": ({beside: '{"fps": 5}'}, (f"{VIDEO}.json", "5 rows a second")),
        "too few times beside one video": ({beside: '{"times": [0, 1]}'}, (f"{VIDEO}.json", "2 times")),
        "a key twice beside one video": ({beside: '{"fps": 15, "fps": 5}'}, (f"{VIDEO}.json", "'fps' twice")),
        "an escape as encoder": ({beside: '{"encoder": "a\\u001bb"}'}, (f"{VIDEO}.json", "encoder")),
        "three million faults": ({"data/mapping.txt": "0 x\n" * 3_000_000}, ("mapping.txt:2", "id 0 twice")),
        "no list of test videos": ({"data/splits/test.split1.bundle": gone}, ("test.split1.bundle", "no such file")),
    }
    for what, (files, words) in rows.items():
        leaves = ("data/*",) if what == "no label at all" else ()
        yield Row(f"data silent/{what}", ON_DATA, words, files, ("data",), leaves=leaves)
    twice = '{"unseen": ["insert bolt"], "unseen": ["grasp nut"]}'
    yield Row(
        "holdout silent/a key twice", [*TRAIN.split(), "data.holdout=h.json"], ("h.json", "twice"), {"h.json": twice}
    )
    yield Row(
        "holdout silent/an empty list", [*TRAIN.split(), "data.holdout=h.txt"], ("h.txt", "no classes"), {"h.txt": ""}
    )
    everything = [f"data.background={json.dumps(_names())}"]
    yield Row("data silent/all classes are background", [*TRAIN.split(), *everything], ("all of them background",))
    yield Row(
        "data silent/a stride beyond every video",
        f"{TRAIN} data.stride=1000000",
        ("1 epochs",),
        code=0,
        leaves=("out*",),
    )
    yield Row(
        "data silent/old line ends",
        ON_DATA,
        ("1 epochs",),
        {"data/mapping.txt": replaced_all("\n", "\r"), labels: replaced_all("\n", "\r")},
        ("data",),
        code=0,
        leaves=("out*",),
    )
    yield Row(
        "data silent/one name in two spellings",
        ON_DATA,
        ("warning", "Insert Bolt"),
        {"data/mapping.txt": appended("23 Insert Bolt\n")},
        ("data",),
        code=0,
        leaves=("out*",),
    )


def replaced_all(old: str, new: str) -> Any:
    """Replace every `old` in a text file."""

    def change(file: Path) -> None:
        file.write_bytes(file.read_bytes().replace(old.encode(), new.encode()))

    return change


def _names() -> list[str]:
    from fact_clip.datasets.synthetic import FACTORS

    return list(FACTORS)


def _runs() -> Iterator[Row]:
    def statistics(found: dict[str, Any]) -> None:
        for name in ("mean", "std"):
            del found[name]

    def without_optimiser(found: dict[str, Any]) -> None:
        for name in [name for name in found if name.startswith("optimizer.")]:
            del found[name]

    files: dict[str, tuple[dict[str, Content], tuple[str, ...]]] = {
        "statistics of another run": ({"run/features.safetensors": tensors(statistics)}, ("data.standardize",)),
        "a key twice": (
            {"run/run.json": replaced('"fps": 15.0', '"fps": 15.0, "fps": 5.0')},
            ("run.json", "'fps' twice"),
        ),
        "an escape as encoder": ({"run/run.json": edited("", encoder="a\x1bb")}, ("run.json", "encoder")),
        "no slope": ({"run/confidence.json": edited("", slope=0.0)}, ("confidence.json", "slope")),
    }
    for what, (content, words) in files.items():
        yield Row(f"run silent/{what}", "evaluate run", words, content, ("run",))
    weights = "run/model.safetensors"
    yield Row(
        "run silent/weights that overflow",
        "evaluate run",
        ("model.safetensors", "not finite"),
        {weights: tensors(lambda found: [value.fill(3e38) for value in found.values() if value.dtype == np.float32])},
        ("run",),
    )
    for setting in (
        "train.lr=5",
        "model.input.heads=1",
        "loss.smoothing=3",
        "augment.speed=2",
        "data.objects.file=o.txt",
        "data.context=[5]",
        "data.standardize=false",
    ):
        yield Row(f"evaluate silent/{setting}", f"evaluate run {setting}", (setting,), copies=("run",))
    calibration: dict[str, Content] = {
        "no gamma": edited("", gamma=MISSING),
        "a seen class of another run": edited("", seen=["nope"]),
        "all classes seen": edited("", seen=_names()),
        "a seen class twice": edited("", seen=["no action", "no action"]),
        "a prior of another run": edited("prior", nope=-1.0),
    }
    for what, change in calibration.items():
        name = f"calibration silent/{what}"
        yield Row(name, "evaluate words", ("calibration.json",), {"words/calibration.json": change}, ("words",))
    resume = "train {w}/tiny.yaml data.standardize=true train.epochs=3 --out run --resume"
    for what, (row_files, words) in {
        "no optimiser": (
            {"run/last.safetensors": tensors_with_facts(without_optimiser)},
            ("last.safetensors", "optimiser"),
        ),
        "no best weights": ({weights: gone}, ("model.safetensors", "no such file")),
    }.items():
        yield Row(f"resume silent/{what}", resume, words, row_files, ("run",), leaves=("run*",))
    for setting, words in {"train.seed=4": ("train.seed: 4",), "train.lr=0.5": ("train.lr: 0.5",)}.items():
        yield Row(f"resume silent/{setting}", [*resume.split(), setting], words, copies=("run",), leaves=("run*",))


def tensors_with_facts(change: Any) -> Any:
    """Change the arrays of a safetensors file, and keep what it says beside them."""

    def make(file: Path) -> None:
        from safetensors import safe_open
        from safetensors.numpy import save_file

        with safe_open(file, framework="np") as opened:
            found, facts = {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118
        change(found)
        save_file(found, file, facts)

    return make


def _others() -> Iterator[Row]:
    def whole(path: Path) -> None:
        import torch

        found = torch.load(path, weights_only=True)
        torch.save({name: value.bool() for name, value in found.items()}, path)

    convert = "convert published.net --config {w}/reference.yaml --mapping {w}/data/mapping.txt --out out"
    yield Row("checkpoint silent/bits", convert, ("torch.bool",), {"published.net": whole}, ("published.net",))
    groups = {"published.yaml": "dataset: breakfast\nFACT: {ntoken: 40, block: iu}\nBi: [8, 2]\n"}
    convert = convert.replace("{w}/reference.yaml", "published.yaml")
    yield Row("checkpoint silent/a group that is a list", convert, ("Bi",), groups, ("published.net",))
    actions = {
        "an escape": "insert\x1b[31m bolt\n",
        "bytes": b"\x00\x01\xff" * 50,
        "a number twice": "0 no action\n0 insert bolt\n",
    }
    for what, content in actions.items():
        yield Row(
            f"actions silent/{what}", "evaluate words --actions-file a.txt", ("a.txt",), {"a.txt": content}, ("words",)
        )
    vectors = {"a b": np.ones(9), "a_b": np.zeros(9) + 2}

    def stored(path: Path) -> None:
        np.savez(path, **{name: value.astype(np.float32) for name, value in vectors.items()})  # type: ignore[arg-type]

    words = ["model.head=text", "text.encoder=file:v.npz"]
    yield Row(
        "encoder silent/two vectors for one name", [*TRAIN.split(), *words], ("v.npz", "'a b'"), {"v.npz": stored}
    )


ROWS = (*_settings(), *_options(), *_data(), *_runs(), *_others())
