"""Right things that do not belong together: the fourth hostile test, of `segment`, `extract`, `data convert` and the page."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..row import Content, Row, array, dumped
from ..world import BORIS, LABEL_STUDIO, VIA

NAME = "person1_video1"
HERE = f"segment {NAME}.npy --run {{w}}/run --out o"
WORDS = f"segment {NAME}.npy --run {{w}}/words --out o"
CSV = "data convert --from csv a.csv --fps 10 --out o"


def _names() -> Iterator[Row]:
    for name, words in {
        "no action": ("actions", "background"),
        "none of these": ("actions", "'none of these'"),
        "?": ("actions", "'?'"),
    }.items():
        yield Row(f"mixup actions/{name}", [*WORDS.split(), "--actions", name], words, copies=(f"{NAME}.npy",))
    files: dict[str, Content] = {
        "JSON": '["insert bolt", "grasp nut"]',
        "JSON on lines": '[\n "insert bolt",\n "grasp nut"\n]',
        "a table": "id;name\n1;insert bolt\n",
    }
    for what, content in files.items():
        command = [*WORDS.split(), "--actions-file", "n.txt"]
        yield Row(
            f"mixup actions file/{what}", command, ("n.txt", "JSON or a table"), {"n.txt": content}, (f"{NAME}.npy",)
        )


def _features() -> Iterator[Row]:
    def longer(path: Path) -> None:
        rows = np.zeros((30, 8), dtype=np.float32)
        with path.open("wb") as file:
            np.save(file, rows)
            np.save(file, rows)

    beside = f"{NAME}.json"
    sidecars: dict[str, tuple[Any, tuple[str, ...]]] = {
        "of more rows": ({"fps": 15.0, "n_frames": 90_000}, (beside, "n_frames = 90000")),
        "of more columns": ({"fps": 15.0, "dim": 512}, (beside, "dim = 512")),
        "with times that fall": ({"times": [3, 2, 1]}, (beside, "times that rise")),
        "with milliseconds": ({"times": [66.7 * row for row in range(30)]}, (beside, "times of 0.015 rows")),
    }
    for what, (facts, words) in sidecars.items():
        files: dict[str, Content] = {beside: dumped(facts), f"{NAME}.npy": array(np.zeros((30, 8)))}
        if "of more" in what:
            files.pop(f"{NAME}.npy")
        yield Row(f"mixup sidecar/{what}", HERE, words, files, () if len(files) == 2 else (f"{NAME}.npy",))
    two = {f"{NAME}.npy": longer}
    yield Row("mixup features/two arrays in a file", HERE, (f"{NAME}.npy", "after its array"), two)
    half = {f"{NAME}.npy": array(np.zeros((30, 8)))[:-9]}
    yield Row("mixup features/half a file", HERE, (f"{NAME}.npy", "cut off"), half)
    for ending in ("jpg", "wav", "mp4.part", "zip"):
        name = f"a.{ending}"
        yield Row(
            f"mixup input/{name}",
            f"segment {name} --run {{w}}/run --out o",
            (name, ".npy", ".mp4"),
            {name: b"\xff\xd8\xff"},
        )
    made = {"o/clip.npy": array(np.zeros((7, 3))), "o/clip.json": '{"fps": 5}'}
    command = "extract {w}/clip.mp4 --encoder grid --out o"
    for what, files in {"with a sidecar": made, "alone": {"o/clip.npy": made["o/clip.npy"]}}.items():
        yield Row(f"mixup extract/over features of others, {what}", command, ("o/clip.", "has not made"), dict(files))
    result = {"o/clip.json": '{"fps": 5, "segments": []}'}
    yield Row("mixup extract/over a result", command, ("o/clip.json", "has not made"), result)
    for options in ("--device cuda", "--precision bf16", "--compile"):
        yield Row(f"mixup extract/grid {options}", f"{command} {options}", (options.split()[0], "grid"))


def _outputs() -> Iterator[Row]:
    here = (f"{NAME}.npy",)
    for media in ("{", "https://h/{name", "{name!r}", "{name.__class__}", "name}"):
        yield Row(f"mixup media/{media}", [*HERE.split(), "--media", media], ("--media", "{name}"), copies=here)
    files = {"b.npy": array(np.zeros((30, 8)))}
    command = f"segment {NAME}.npy b.npy --run {{w}}/run --out o --media one.mp4"
    yield Row("mixup media/one for two videos", command, ("--media", "2 videos"), files, here)
    video = "segment {w}/clip.mp4 --run {w}/run --encoder grid --out o --overwrite"
    yield Row("mixup out/features of the video", video, ("--out", "NAME.json"), {"o/clip.npy": array(np.zeros((7, 3)))})
    yield Row(
        "mixup out/the folder of the features", HERE.replace("--out o", "--out ."), ("--out", "NAME.json"), copies=here
    )
    yield Row("mixup plot/below a file", f"{HERE} --plot {NAME}.npy/a.png", ("a.png", "cannot be written"), copies=here)
    yield Row("mixup gamma/a closed run", f"{HERE} --gamma 1", ("--gamma",), copies=here)
    yield Row("mixup window/beyond every video", f"{HERE} --window 1e12", ("--window", "at most"), copies=here)
    yield Row(
        "mixup app/wording of a run", "app --run {w}/run --port 0 --prompts person", ("--prompts", "--training-free")
    )
    for what, (words, set_files) in {
        "a mapping that is none": (("mapping.txt",), {"s/mapping.txt": "garbage", "s/features/a.txt": ""}),
        "a place below a file": (("cannot be written",), {"s": "x"}),
    }.items():
        place = "s/set" if "s" in set_files else "s"
        yield Row(f"mixup app/{what}", f"app --run {{w}}/run --port 0 --training-set {place}", words, set_files)
    stdin = f"\ufeff{NAME}.npy\r\n"
    yield Row(
        "mixup stdin/a byte-order mark",
        "segment - --run {w}/run --out o",
        ("written",),
        copies=here,
        stdin=stdin,
        code=0,
        leaves=("o*",),
    )


def _annotations() -> Iterator[Row]:
    def boris(file: str = "a.boris", **changes: Any) -> dict[str, Content]:
        tree = copy.deepcopy(BORIS)
        tree["observations"]["clip"].update(changes)
        return {file: dumped(tree)}

    convert = "data convert --from {} {} --fps 10 --out o"
    command = convert.format("boris", "a.boris")
    yield Row("mixup boris/an offset", command, ("time offset of 5", "BORIS"), boris(**{"time offset": 5.0}))
    point = copy.deepcopy(BORIS)
    for behaviour in point["behaviors_conf"].values():
        behaviour["type"] = "Point event"
    yield Row("mixup boris/only point events", command, ("a.boris", "point events"), {"a.boris": dumped(point)})
    head = "Observation id\tBehavior\tBehavior type\tTime\tTime offset (s)\n"
    table = convert.format("boris", "a.tsv")
    yield Row(
        "mixup boris/a table of points", table, ("a.tsv", "point events"), {"a.tsv": f"{head}t\tstir\tPOINT\t1\t0\n"}
    )
    rows = "t\tstir\tSTART\t1\t5.0\nt\tstir\tSTOP\t2\t5.0\n"
    yield Row("mixup boris/a table with an offset", table, ("a.tsv:2", "time offset"), {"a.tsv": head + rows})
    mixed = head + "t\tstir\tSTART\t1\t0\nt\tstir\tSTOP\t2\t0\nt\tbeep\tPOINT\t1\t0\n"
    told = ("warning", "1 point events")
    yield Row("mixup boris/a point among states", table, told, {"a.tsv": mixed}, code=0, leaves=("o*",))
    via = copy.deepcopy(VIA)
    for segment in via["metadata"].values():
        segment["av"] = {}
    yield Row(
        "mixup via/a segment without a label",
        convert.format("via", "a.json"),
        ("segment", "label ''"),
        {"a.json": dumped(via)},
    )
    studio = copy.deepcopy(LABEL_STUDIO)
    del studio[0]["data"]["fps"]
    command = convert.format("label-studio", "a.json")
    yield Row("mixup label studio/no rate", command, ("task 1", "--source-fps"), {"a.json": dumped(studio)})
    studio = copy.deepcopy(LABEL_STUDIO)
    studio[0]["predictions"] = studio[0].pop("annotations")
    told, files = ("warning", "nobody has annotated 1 of 1"), {"a.json": dumped(studio)}
    yield Row("mixup label studio/predictions alone", command, told, files, code=0, leaves=("o*",))
    studio = copy.deepcopy(LABEL_STUDIO)
    studio[0]["annotations"][0]["result"][0]["value"]["timelinelabels"] = []
    yield Row(
        "mixup label studio/a region without a label", command, ("region", "no label"), {"a.json": dumped(studio)}
    )
    seconds = "start_seconds,stop_seconds,label\n0,2,stir\n"
    yield Row("mixup csv/a rate for seconds", f"{CSV} --source-fps 30", ("--source-fps", "seconds"), {"a.csv": seconds})
    yield Row("mixup csv/frames of seconds", f"{CSV} --unit frames", ("--unit", "start_seconds"), {"a.csv": seconds})
    some = "start_seconds,stop_seconds,label,video\n0,2,stir,a\n0,2,stir,\n"
    yield Row("mixup csv/a row without its video", CSV, ("a.csv:3", "video"), {"a.csv": some})
    yield Row(
        "mixup csv/milliseconds for seconds",
        f"{CSV} --unit seconds",
        ("shorter than a frame",),
        {"a.csv": "start,stop,label\n0,0.002,stir\n"},
    )
    sep = {"a.csv": "sep=;\r\n" + seconds.replace(",", ";").replace("\n", "\r\n")}
    yield Row("mixup csv/a line for Excel", CSV, (" 20 ",), sep, code=0, leaves=("o*",))


ROWS = (*_names(), *_features(), *_outputs(), *_annotations())
