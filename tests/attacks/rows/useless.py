"""Good files and settings that give a useless result together, and refusals that came too late: the seventh test."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fact_clip.core import Vocabulary

from ..row import Row, array, dumped, edited, gone, header, replaced
from ..world import VIA

VIDEO = "person1_video1"
CHECK = "data check data data.name=workbench"


def _frozen(folder: Path) -> None:
    """Put one frame, over and over, into all feature files beside a path, which is not made itself."""
    for path in folder.parent.glob("*.npy"):
        path.write_bytes(array(np.zeros(np.load(path).shape)))


def _data() -> Iterator[Row]:
    frozen = {"data/features/made": _frozen}
    yield Row("useless data/nothing changes", CHECK, ("note: constant", "all 6 videos"), frozen, ("data",), code=0)
    train = "train {w}/tiny.yaml train.epochs=1 data.root=data --out out"
    yield Row(
        "useless data/nothing changes, trained", train, ("the same values in every frame of all",), frozen, ("data",)
    )
    yield Row(
        "useless data/another data set's name",
        "data summary {w}/data data.name=kscgr",
        ("warning", "classes, where kscgr has 67", "data.name=folder"),
        code=0,
    )
    moved = {"data/recipe.yaml": "base: {w}/tiny.yaml\ndata:\n  root: {w}/data\n"}
    yield Row("useless data/a recipe of another folder", "data check data", ("recipe.yaml", "not this folder"), moved, ("data",), code=0)  # fmt: skip


def _texts() -> Iterator[Row]:
    def one_vector(path: Path) -> None:
        names = Vocabulary.from_mapping(path.parent / "data" / "mapping.txt").names
        np.savez(path, **{name: np.ones(8, dtype=np.float32) for name in names})  # type: ignore[arg-type]

    text = "data.root=data model.head=text text.parts=[sentence] text.encoder=file:v.npz"
    yield Row(
        "useless texts/one vector for two classes",
        f"train {{w}}/tiny.yaml train.epochs=1 {text} --out out",
        ("warning", "one vector for the classes"),
        {"v.npz": one_vector},
        ("data",),
        code=0,
        leaves=("out*",),
    )


def _segments() -> Iterator[Row]:
    here = f"segment data/features/{VIDEO}.npy --run {{w}}/run --out o"
    broken = {f"data/groundTruth/{VIDEO}.txt": "fly a kite\n\nfly a kite\n"}
    yield Row("useless segment/--plot beside broken labels", f"{here} --plot p.png", (f"{VIDEO}.txt", "no names"), broken, ("data",))  # fmt: skip
    other = {f"data/groundTruth/{VIDEO}.txt": "fly a kite\n"}
    yield Row("useless segment/--plot beside other labels", f"{here} --plot p.png", ("1 labels, and",), other, ("data",), 0, ("o*", "p.png"))  # fmt: skip
    yield Row("useless segment/a window of no row", f"{here} --window 1e-9", ("--window", "two rows"), copies=("data",))
    escape = {f"data/features/{VIDEO}.json": dumped({"fps": 15, "video": "a\x1b[31m.mp4"})}
    yield Row("useless segment/an escape in the name of a video", f"{here} --format vtt,eaf", (f"{VIDEO}.json", "video"), escape, ("data",))  # fmt: skip
    media = f"{here} --media https://host/{{name}} --format"
    yield Row("useless segment/--media for no file", f"{media} csv,txt", ("--media", "name no video"), copies=("data",))
    yield Row("useless segment/--media for one file", f"{media} csv,eaf", copies=("data",), code=0, leaves=("o*",))


def _published() -> Iterator[Row]:
    mapping = {"m.txt": "".join(f"{number} class{number}\n" for number in range(50))}
    yield Row(
        "useless weights/a mapping of too many",
        "convert {w}/published.net --config {w}/reference.yaml --mapping m.txt --out o",
        ("m.txt: 50 classes", "at most 38"),
        mapping,
    )
    yield Row("useless weights/a capital", "scripts/train --cfg {w}/reference.yaml --set Data.root x", ("did you mean data.root?",))  # fmt: skip
    lost = {"r.yaml": "data:\n  root: nowhere\n  name: breakfast\n"}
    yield Row("useless weights/no data", "scripts/train --cfg r.yaml", ("nowhere",), lost)


def _settings() -> Iterator[Row]:
    large = "train {w}/tiny.yaml --out out model.tokens=10000 train.batch_size=5000"
    yield Row("useless setting/tokens beyond all memory", large, ("model.tokens", "GB of this machine"))
    train = "train {w}/tiny.yaml train.epochs=1 --out out"
    yield Row("useless setting/text for a closed head", f"{train} text.encoder=hash:64", ("warning", "no effect without a head"), code=0, leaves=("out*",))  # fmt: skip
    yield Row("useless setting/an overlap of one pass", "evaluate run decode.overlap=5", ("warning", "no effect without decode.window"), copies=("run",), code=0, leaves=("run/*",))  # fmt: skip


def _runs() -> Iterator[Row]:
    """Refusals that left something changed, and figures of what does not belong together."""
    for what, (options, files, words) in {
        "half a state": ("train.epochs=3", {"run/last.safetensors": "x"}, ("last.safetensors",)),
        "a log that is a pipe": ("train.epochs=3", {"run/log.csv": _pipe}, ("log.csv", "a pipe")),
    }.items():
        command = f"train run/config.yaml {options} --resume --out run"
        yield Row(f"useless resume/{what}", command, words, files, ("run",))
    for name in ("evaluation.json", "evaluation.npz"):
        yield Row(f"useless evaluation/{name} is a folder", "evaluate run", (name, "a folder"), {f"run/{name}/x": ""}, ("run",))  # fmt: skip
    trained = ["evaluate", "run", "data.holdout=[insert bolt]"]
    yield Row(
        "useless evaluation/a trained class called unseen", trained, ("'insert bolt'", "trained on"), copies=("run",)
    )
    lost = {"words/calibration.json": gone}
    yield Row(
        "useless segment/no calibration",
        f"segment {{w}}/{VIDEO}.npy --run words --out o",
        ("warning", "no calibration.json"),
        lost,
        ("words",),
        code=0,
        leaves=("o*",),
    )
    for what, old, new, words in (
        ("width", "hash:16", "hash:32", ("words", "of 32 numbers", "of 16")),
        ("data set", "name: workbench", "name: nowhere", ("data.name", "'nowhere'")),
    ):
        command = ["segment", f"{{w}}/{VIDEO}.npy", "--run", "words", "--actions", "fly a kite", "--out", "o"]
        yield Row(f"useless run/another {what}", command, words, {"words/config.yaml": replaced(old, new)}, ("words",))
    yield Row("useless run/a folder of runs", "evaluate runs", ("no run.json", "runs/one"), {"runs/one/run.json": "{}"})
    yield Row("useless scripts/--output_dir is a file", "scripts/eval --ckpt {w}/run --output_dir o", ("--output_dir", "a file"), {"o": ""})  # fmt: skip


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _tenth() -> Iterator[Row]:
    """What the ninth and tenth tests found."""
    optional = f"({'a?' * 30}{'a' * 30})"
    yield Row("useless pattern/optional letters", ["data", "split", "{w}/data", "--leave-out", "p", "--pattern", optional], ("--pattern", "? at most"))  # fmt: skip
    other = {"set/features/a.npy": array(np.eye(20, 5))}
    yield Row("useless app/a training set of other features", "app --run {w}/run --training-set set", ("a.npy", "8 columns"), other)  # fmt: skip
    spans = {"from_name": "action", "type": "timelinelabels", "value": {"ranges": [{"start": 1, "end": 9}], "timelinelabels": ["a"]}}  # fmt: skip
    task = [{"id": 1, "data": {"video": "v.mp4"}, "predictions": [{"model_version": "theirs", "result": [spans]}]}]
    studio = "data convert --from label-studio a.json --fps 5 --out o"
    yield Row("useless convert/predictions without a rate", studio, ("task 1", "fps"), {"a.json": dumped(task)})
    seconds = {"t.csv": "time,x\n" + "".join(f"{number / 50},{number}\n" for number in range(2000))}
    table = "data convert --from table t.csv --time time --unit milliseconds --fps 15 --out o"
    yield Row("useless convert/seconds as milliseconds", table, ("rows for each frame", "--unit"), seconds, code=0, leaves=("o*",))  # fmt: skip
    labels = {"o/groundTruth/a.txt": "x\n" * 90, "a.npy": array(np.eye(200, 4))}
    yield Row("useless convert/features beside other labels", "data convert --from npy a.npy --out o", ("a.npy", "90"), labels)  # fmt: skip
    own = {
        "d/mapping.txt": "0 a b\n1 c d\n",
        "d/groundTruth/v.txt": "a b\nc d\n" * 20,
        "d/features/v.npy": array(np.eye(40, 3)),
        "d/splits/train.split1.bundle": "v\n",
        "d/splits/test.split1.bundle": "",
    }
    for what, options, words in (
        ("all background", 'data.background=["a b","c d"]', ("all of them background",)),
        ("an unknown class held out", 'data.holdout=["a x"]', ("no class 'a x'",)),
    ):
        yield Row(f"useless check/{what}", ["data", "check", "d", options], words, own, code=1)
    yield Row("useless summary/all unlabelled", ["data", "summary", "d", 'data.unlabelled=["a b","c d"]'], ("data.unlabelled",), own)  # fmt: skip
    factors = {**own, "d/factors.csv": "class,verb,object\nc d,c,d\n"}
    yield Row("useless summary/the background lacks factors", "data summary d", ("'a b'", "data.background"), factors)
    mixed = {"words/model.safetensors": lambda path: path.write_bytes((path.parent.parent / "run/model.safetensors").read_bytes())}  # fmt: skip
    yield Row("useless run/weights of another head", f"segment {{w}}/{VIDEO}.npy --run words --out o", ("model.safetensors", "head 'text'"), mixed, ("run", "words"))  # fmt: skip
    yield Row("useless extract/a picture", "extract v.png --encoder grid --out o", ("v.png: a picture",), {"v.png": _picture})  # fmt: skip
    for what, options, words in (
        ("the split of another run", "data.split=2", ("data.split", "trained on")),
        ("a weight of 2", "decode.frame_weight=2", ("setting: decode.frame_weight = 2",)),
        ("a format that is a text", "", ("run.json", "format '2'")),
    ):
        files = {"run/run.json": edited("", format="2")} if not options else {}
        yield Row(f"useless evaluation/{what}", f"evaluate run {options}", words, files, ("run",))
    command = f"segment {{w}}/{VIDEO}.npy --run {{w}}/words --out o --actions a.txt"
    yield Row("useless words/a file of actions", command, ("a.txt, a file", "--actions-file"), {"a.txt": "cut ham\n"})
    train = "train {w}/tiny.yaml --out out"
    yield Row("useless words/a list of a wrong item", f"{train} data.context=[0]", ("setting: data.context.0 = 0",))
    dotted = {"r.yaml": "base: {w}/tiny.yaml\ntrain.epochs: 3\n"}
    yield Row("useless words/a key with a dot in a file", "train r.yaml train.epochs=1 --out out", ("r.yaml: unknown key",), dotted)  # fmt: skip
    long = {f"{VIDEO}.npy": _sparse}
    yield Row("useless segment/rows without end", f"segment {VIDEO}.npy --run {{w}}/run --out o", ("4,000,000,000 rows",), long)  # fmt: skip


def _eleventh() -> Iterator[Row]:
    """What the eleventh test found."""
    via = copy.deepcopy(VIA)
    via["metadata"]["1_a"]["z"] = [0.0, 1.0, 2.0]
    yield Row("useless via/three times", "data convert --from via a.json --fps 5 --out o", ("z of 3 times",), {"a.json": dumped(via)})  # fmt: skip
    sweep = "train {w}/tiny.yaml train.epochs=1 --sweep text.encoder=hash:16,hash:64 --out out"
    yield Row("useless sweep/text for a closed head", sweep, ("warning", "no effect without a head"), code=0, leaves=("out*",))  # fmt: skip
    encoder = "evaluate words text.encoder=hash:64"
    yield Row("useless evaluation/an encoder for no name", encoder, ("warning", "without new names"), copies=("words",), code=0, leaves=("words/*",))  # fmt: skip
    many = {"a.txt": "".join(f"stir thing {number}\n" for number in range(100_000))}
    yield Row("useless actions/100,000 names", f"segment {{w}}/{VIDEO}.npy --run {{w}}/words --out o --actions-file a.txt", ("100,000 names",), many)  # fmt: skip
    ours = "convert {w}/published.net --config {w}/tiny.yaml --mapping {w}/data/mapping.txt --out o"
    yield Row("useless weights/a recipe of ours", ours, ("tiny.yaml", "a recipe of fact-clip"))
    moved = {"run/config.yaml": lambda path: path.write_text(re.sub("root: .*", "root: gone", path.read_text()))}
    yield Row("useless report/data that moved", "report run", ("fact-clip evaluate run data.root=FOLDER",), moved, ("run",))  # fmt: skip
    pattern = ["scripts/select_holdout_classes", "--cfg", "{w}/tiny.yaml", "--set", "data.grammar", "{verb} {object} [with {tool}]", "--number", "1"]  # fmt: skip
    yield Row("useless scripts/a pattern", pattern, ("unseen",), code=0)
    other = {"a.csv": "start,stop,label\n0,9,insert bolt\n", "m.txt": "0 insert bolt\n1 no action\n"}
    mapping = "data convert --from csv a.csv --unit frames --fps 5 --mapping m.txt --out data"
    yield Row("useless convert/a mapping over another", mapping, ("m.txt: other classes", "data/mapping.txt"), other, ("data",))  # fmt: skip
    labels = f"segment {{w}}/{VIDEO}.npy --run {{w}}/run --format txt --overwrite --out data/groundTruth"
    yield Row("useless segment/over the labels", labels, ("--out", "labels of a data set"), copies=("data",))
    yield Row("useless setting/a window beyond all", "train {w}/tiny.yaml train.epochs=1 data.context=[100001] --out out", ("warning", "data.context"), code=0, leaves=("out*",))  # fmt: skip


def _picture(path: Path) -> None:
    import av

    with av.open(str(path), "w", format="image2") as file:
        stream = file.add_stream("png", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))):
            file.mux(packet)


def _sparse(path: Path) -> None:
    """A file with a hole, of 4 billion rows."""
    head = header("{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 8), }".ljust(117) + "\n")
    path.write_bytes(head)
    os.truncate(path, len(head) + 4 * 8 * 4_000_000_000)


def _encoders() -> Iterator[Row]:
    two = {f"data/features/person{person}_video1.json": dumped({"encoder": f"e{person}"}) for person in (1, 2)}
    train = "train {w}/tiny.yaml train.epochs=1 data.root=data --out out"
    yield Row(
        "useless data/features of two encoders", train, ("features by", "extract all by one encoder"), two, ("data",)
    )


def _words() -> Iterator[Row]:
    """Lines that told too little."""
    train = "train {w}/tiny.yaml --out out"
    for setting, words in {
        "train.epochs=ten": ("setting: train.epochs = 'ten'", "a whole number"),
        "train.epoch=3": ("train.epoch=3", "train.epochs?"),
        "model.blocks=ux": ("setting: model.blocks = 'ux'", "i or I first"),
    }.items():
        yield Row(f"useless words/{setting}", f"{train} {setting}", words)
    yield Row("useless words/a mapping as a recipe", "train {w}/data/mapping.txt --out out", ("mapping.txt", ".yaml"))
    yield Row("useless words/a support beyond all", "data holdout {w}/data data.name=workbench --count 1 --min-support 500", ("min_support",))  # fmt: skip
    yield Row("useless words/a seed of named classes", ["data", "holdout", "{w}/data", "data.name=workbench", "--unseen", "insert bolt", "--seed", "3"], ("--seed",))  # fmt: skip


ROWS = (
    *_runs(),
    *_tenth(),
    *_eleventh(),
    *_encoders(),
    *_words(),
    *_settings(),
    *_data(),
    *_texts(),
    *_segments(),
    *_published(),
)
