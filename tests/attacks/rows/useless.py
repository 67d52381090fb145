"""Good files and settings that give a useless result together, and refusals that came too late: the seventh test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fact_clip.core import Vocabulary

from ..row import Row, array

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
    broken = {f"data/groundTruth/{VIDEO}.txt": "fly a kite\n"}
    yield Row("useless segment/--plot beside broken labels", f"{here} --plot p.png", (f"{VIDEO}.txt:1", "fly a kite"), broken, ("data",))  # fmt: skip
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
    train = "train {w}/tiny.yaml train.epochs=1 --out out"
    yield Row("useless setting/text for a closed head", f"{train} text.encoder=hash:64", ("warning", "no effect without a head"), code=0, leaves=("out*",))  # fmt: skip
    yield Row("useless setting/an overlap of one pass", "evaluate run decode.overlap=5", ("warning", "no effect without decode.window"), copies=("run",), code=0, leaves=("run/*",))  # fmt: skip


ROWS = (*_settings(), *_data(), *_texts(), *_segments(), *_published())
