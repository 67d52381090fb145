"""Recipes, data sets and arrays that were once accepted silently, blamed on the wrong thing, or refused too late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..row import Content, Row, appended, bytewise, dumped, fifo, folder, header, link, replaced

VIDEO, OTHER = "person1_video1", "person2_video1"  # tested and trained on in split 1
LABELS, FEATURES, SIDECAR = (
    f"data/{part}" for part in (f"groundTruth/{VIDEO}.txt", f"features/{VIDEO}.npy", f"features/{VIDEO}.json")
)
SPLIT, TEST = "data/splits/train.split1.bundle", "data/splits/test.split1.bundle"
TRAIN = "train {w}/tiny.yaml train.epochs=1 --out out"
ON_DATA = f"{TRAIN} data.root=data"
HOLDOUT = "data holdout {w}/data data.name=workbench"
TABLE = "data convert --from table t.csv --fps 5 --out o"

RECIPES = {  # what is in r.yaml below its base, and where it is refused
    "a group twice": ("train: {epochs: 1}\ntrain: {lr: 0.1}\n", "r.yaml"),
    "a key twice": ("train: {lr: 0.1, lr: 0.2}\n", "r.yaml"),
    "octal": ("train: {seed: 010}\n", "r.yaml"),
    "sexagesimal": ("data: {fps: 1:30}\n", "r.yaml"),
    "python": ("data: !!python/object/apply:os.system ['touch pwned']", "r.yaml"),
    "a truth value as a name": ("data: {unlabelled: [no]}\n", "r.yaml"),
    "a split that is a path": ("data: {split: ../../x}", "x.bundle"),
}  # fmt: skip

OVERRIDES = {  # words after TRAIN, and where they are refused
    "a window twice": ("data.context=[5,5]", "data.context"),
    "rivals without a hold-out": ("data.validation_unseen=[tap]", "data.validation_unseen"),
    "passes that share a whole window": ("decode.window=40 decode.overlap=40", "decode.overlap"),
    "matching by a transcript without one": ("loss.match=seq", "loss.match"),
    "a seed swept twice": ("train.seed=5 --sweep train.seed=0,1", "train.seed"),
    "equal numbers swept": ("--sweep train.lr=1,1.0", "--sweep"),
}


def stored(change: Callable[[Any], Any]) -> Content:
    """The features of a video, changed."""
    return lambda path: np.save(path, change(np.load(path)))


def every(change: Callable[[Any], Any]) -> Content:
    """The features of all videos, changed."""
    return lambda path: [np.save(file, change(np.load(file))) for file in path.parent.glob("*.npy")]


def spoilt(rows: np.ndarray) -> np.ndarray:
    rows[3, 2] = np.nan
    return rows


CODE = header("__import__('os').system('touch pwned')")
OVERFLOW = header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 8), }\n")
TIMES = dumped({"times": [row / 50 for row in range(10_000)]})

FAULTS: dict[str, tuple[dict[str, Content], str]] = {  # what is changed in a copy of the data, and where it is refused
    "an unknown label": ({LABELS: replaced("no action", "juggle")}, f"{VIDEO}.txt:1"),
    "a blank line in labels": ({LABELS: replaced("\n", "\n\n")}, f"{VIDEO}.txt:2"),
    "labels ten times as long": ({LABELS: bytewise(lambda raw: raw * 10)}, f"{VIDEO}.npy"),
    "an id twice": ({"data/mapping.txt": "0 idle\n0 walk\n"}, "mapping.txt:2"),
    "names that look the same": ({"data/mapping.txt": appended("23 caf\u00e9\n24 cafe\u0301\n")}, "mapping.txt"),
    "a video that leads out": ({SPLIT: appended("\n../../../canary\n")}, "train.split1.bundle"),
    "a video of the whole disk": ({SPLIT: appended("\n/etc/passwd\n")}, "train.split1.bundle"),
    "a test video in training": ({SPLIT: appended(f"\n{VIDEO}\n")}, "test.split1.bundle"),
    "another rate beside one video": ({SIDECAR: '{"fps": 5}'}, f"{VIDEO}.json"),
    "too few times beside one video": ({SIDECAR: '{"times": [0, 1]}'}, f"{VIDEO}.json"),
    "times of another rate": ({SIDECAR: TIMES}, f"{VIDEO}.json"),
    "two encoders": ({SIDECAR: '{"encoder": "a"}', SIDECAR.replace(VIDEO, OTHER): '{"encoder": "x"}'}, f"{VIDEO}.json"),
    "all frames the same": ({FEATURES: every(np.zeros_like)}, "features"),
    "another width": ({FEATURES: stored(lambda rows: rows[:, :7])}, f"{VIDEO}.npy"),
    "another orientation": ({FEATURES: stored(np.transpose)}, f"{VIDEO}.npy"),
    "a header of code": ({FEATURES: CODE}, f"{VIDEO}.npy"),
    "a shape that overflows": ({FEATURES: OVERFLOW}, f"{VIDEO}.npy"),
}

WRITTEN: dict[str, tuple[str, str, dict[str, Content]]] = {  # features and tables into a data set
    "two widths": ("data convert --from table a.csv b.csv --out o", "b.csv", {"a.csv": "1 2\n", "b.csv": "1 2 3\n"}),
    "features that are a link": (TABLE, "features", {"t.csv": "1\n", "o/features": link("../..")}),
    "what is there describes others": (TABLE.replace("--fps 5 ", ""), "t.json", {"t.csv": "1\n", "o/features/t.json": '{"fps": 9}'}),
    "digits of Python": (TABLE, "t.csv", {"t.csv": "x,y\n1,1_0\n"}),
    "decimal commas": (f"{TABLE} --time time", "t.csv:2", {"t.csv": "time;x\n0;1,5\n"}),
    "a time that goes back": (f"{TABLE} --time time", "t.csv:4", {"t.csv": "time,x\n0,1\n0.2,1\n0.1,2\n"}),
}  # fmt: skip


def _training() -> Iterator[Row]:
    for what, (text, place) in RECIPES.items():
        yield Row(f"recipe/{what}", "train r.yaml --out out", place, {"r.yaml": f"base: {{w}}/tiny.yaml\n{text}"})
    yield Row("recipe/a base in a circle", "train r.yaml --out out", "r.yaml", {"r.yaml": "base: r.yaml"})
    for what, (words, place) in OVERRIDES.items():
        yield Row(f"setting/{what}", f"{TRAIN} {words}", place)
    for what, (files, place) in FAULTS.items():
        leaves = ("data/features/*",) if "all" in what else ()
        yield Row(f"data/{what}", ON_DATA, place, files, ("data",), leaves=leaves)
    late = {FEATURES.replace(VIDEO, OTHER): stored(spoilt)}
    yield Row("data/a NaN", f"{ON_DATA} data.validation=0", f"{OTHER}.npy", late, ("data",), leaves=("out*",))
    large = {FEATURES: every(lambda rows: rows.astype(np.float32) * 1e29)}
    leaves = ("out*", "data/features/*")
    yield Row("data/so large that the loss is no number", ON_DATA, "features", large, ("data",), leaves=leaves)
    old = bytewise(lambda raw: raw.replace(b"\n", b"\r"))
    yield Row("data/old line ends", ON_DATA, "", {"data/mapping.txt": old, LABELS: old}, ("data",), 0, ("out*",))
    yield Row("data/a stride beyond every video", f"{TRAIN} data.stride=1000000", code=0, leaves=("out*",))
    text = f"{TRAIN} model.head=text text.encoder=hash:16"
    for what, choice in (
        ("an unknown class", '["juggle"]'),
        ("unseen twice", '{"unseen": ["insert bolt"], "unseen": ["grasp nut"]}'),
        ("videos that lead out", '{"unseen": ["insert bolt"], "train_videos": ["../../x"]}'),
    ):
        place = "holdout.train_videos" if "lead out" in what else "h.json"
        yield Row(f"holdout/{what}", f"{text} data.holdout=h.json", place, {"h.json": choice})
    factors: dict[str, Content] = {"data/factors.csv": "class,verb\ninsert bolt,a\ninsert bolt,b\n"}
    yield Row("factors/a class twice", f"{text} data.root=data", "factors.csv:3", factors, ("data",))
    vectors: Content = lambda path: np.savez(path, **{"a b": np.ones(9), "a_b": np.zeros(9) + 2})  # noqa: E731
    command = f"{TRAIN} model.head=text text.encoder=file:v.npz"
    yield Row("vectors/two for one name", command, "v.npz", {"v.npz": vectors})


def _commands() -> Iterator[Row]:
    for what, files, place in (  # findings, with exit code 1
        ("labels in UTF-16", {LABELS: "no action\n".encode("utf-16")}, f"{VIDEO}.txt"),
        ("a pipe for labels", {LABELS: fifo}, f"{VIDEO}.txt"),
        ("a video that leads out", {SPLIT: appended("\n../../../canary\n")}, "train.split1.bundle"),
    ):
        yield Row(f"data check/{what}", "data check data data.name=workbench", place, files, ("data",), 1)
    recipe: dict[str, Content] = {"data/recipe.yaml": "base: folder\ndata: {fps: 5, fps: 7}\n"}
    yield Row("data check/a recipe with a key twice", "data check data", "recipe.yaml", recipe, ("data",))
    yield Row("data init/over a recipe", "data init data --out x.yaml", "x.yaml", {"x.yaml": "a: 1"}, ("data",))
    wrong = {LABELS: replaced("\n", " x\n")}
    yield Row("data init/one fault", "data init data --out r.yaml", f"{VIDEO}.txt:1", wrong, ("data",))
    yield Row("data sample/over files", "data sample out", "out", {"out/x": ""})
    over = [*HOLDOUT.split(), "--unseen", "insert bolt", "--out", "o.json"]
    yield Row("data holdout/over a file", over, "o.json", {"o.json": "{}"})
    mapping = "data holdout data data.name=workbench --count 1 --out data/mapping.txt"
    yield Row("data holdout/over the mapping", mapping, "mapping.txt", copies=("data",))
    yield Row("data split/a share of nothing", "data split data --test 0.0001 --overwrite", "--test", copies=("data",))
    folds, odd = (
        "data split data --folds 2 --overwrite",
        {"data/groundTruth/a\nb.txt": "x", "data/features/a\nb.npy": b""},
    )
    yield Row("data split/a name of two lines", folds, "splits", odd, ("data",))
    yield Row("data split/a list that is a folder", folds, "train.split1.bundle", {SPLIT: folder}, ("data",))
    for what, (command, place, files) in WRITTEN.items():
        yield Row(f"features/{what}", command, place, files)


ROWS = (*_training(), *_commands())
