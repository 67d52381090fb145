"""What a hostile tester found in data, labels, formats, segment and extract: the ninth test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..row import Content, Row, array, dumped, edited, replaced
from ..world import BORIS, EAF, LABEL_STUDIO, VIA

VIDEO = "person1_video1"
CHECK = "data check data data.name=workbench"
TRAIN = "train {w}/tiny.yaml train.epochs=1 data.root=data --out out"


def _descriptions() -> Iterator[Row]:
    """NAME.json of other features: what training refuses, data check finds."""
    one, two = (f"data/features/person{person}_video{person}.json" for person in (1, 2))
    fifty = dumped({"times": [number / 50 for number in range(10_000)]})

    def times(path: Path) -> None:
        rows = len(np.load(path.with_suffix(".npy")))
        path.write_text(dumped({"times": [number / 50 for number in range(rows)]}))

    cases: dict[str, tuple[dict[str, Content], tuple[str, ...]]] = {
        "more rows": ({one: dumped({"n_frames": 90_000})}, (one, "n_frames = 90000")),
        "more columns": ({one: dumped({"dim": 9})}, (one, "dim = 9; expected 8")),
        "too many times": ({one: fifty}, (one, "10000 times for")),
        "times of another rate": ({one: times}, (one, "times of 50 rows a second; expected about 15")),
        "two encoders": ({one: '{"encoder": "grid"}', two: '{"encoder": "x"}'}, ("features by", "as data/features/")),
    }
    for what, (files, words) in cases.items():
        yield Row(f"foreign description/{what}, checked", f"{CHECK} data.fps=15", words, files, ("data",), code=1)
        yield Row(f"foreign description/{what}, trained", TRAIN, words, files, ("data",))
    rates: dict[str, Content] = {one: '{"fps": 5}', two: '{"fps": 25}'}
    words = ("rows a second; expected", "as data/features/")
    yield Row("foreign description/two rates, checked", "data check data", words, rates, ("data",), code=1)
    yield Row(
        "foreign description/two rates, trained", f"{TRAIN} data.fps=null data.name=folder", words, rates, ("data",)
    )
    here = f"segment data/features/{VIDEO}.npy --run {{w}}/run --out o"
    yield Row("foreign description/times of another rate, segmented", here, (one, "times of 50 rows"), {one: times}, ("data",))  # fmt: skip


def _dumped(tree: Any, change: Callable[[Any], object]) -> str:
    """A changed copy of a JSON tree."""
    copy = json.loads(json.dumps(tree))
    change(copy)
    return json.dumps(copy)


TIER = """<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="right">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>pour</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="empty"/>
<LINGUISTIC_TYPE """


def _left_out() -> Iterator[Row]:
    """Of several tiers the one that is called as ours is read, and the others are told."""

    def subject(tree: Any) -> None:
        clip = tree["observations"]["clip"]
        clip["events"] = [[time, who, "stir"] for who in ("action", "right") for time in (0, 2)]

    def attribute(tree: Any) -> None:
        tree["attribute"]["2"] = {**tree["attribute"]["1"], "aname": "right"}
        tree["metadata"]["1_b"] = {**tree["metadata"]["1_a"], "av": {"2": "0"}}

    def control(tree: Any) -> None:
        regions = tree[0]["annotations"][0]["result"]
        regions.append({**regions[0], "id": "b", "from_name": "right"})

    several = {
        "eaf": ("tier", EAF.replace("<LINGUISTIC_TYPE ", TIER)),
        "boris": ("subject", _dumped(BORIS, subject)),
        "via": ("attribute", _dumped(VIA, attribute)),
        "label-studio": ("control", _dumped(LABEL_STUDIO, control)),
    }
    for kind, (what, content) in several.items():
        command = f"data convert --from {kind} a.{kind} --fps 5 --out out"
        words = ("warning", f"{what} 'right' are left out", "--tier")
        yield Row(f"foreign tier/{kind}", command, words, {f"a.{kind}": content}, code=0, leaves=("out*",))
    command, files = "data convert --from eaf a.eaf --fps 5 --out out --tier empty", {"a.eaf": several["eaf"][1]}
    words = ("the tier 'empty' has no annotations", "one of 'action', 'right'")
    yield Row("foreign tier/eaf without annotations", command, words, files)
    point = _dumped(VIA, lambda tree: tree["metadata"].update({"1_b": {**tree["metadata"]["1_a"], "z": [1.0]}}))
    words = ("warning", "segments of one time", "left out: 1")
    command = "data convert --from via a.json --fps 5 --out out"
    yield Row("foreign tier/via, a segment of one time", command, words, {"a.json": point}, code=0, leaves=("out*",))


TABLE = "Media file name\tMedia duration (s)\tSubject\tBehavior\tBehavior type\t"
EVENTS = f"{TABLE}Time\na.mp4\t20\t\tstir\tSTART\t2\na.mp4\t20\t\tstir\tSTOP\t500\n"
STATES = f"{TABLE}Start (s)\tStop (s)\na.mp4\t20\t\tstir\tSTATE\t2\t500\n"
OWN = (
    "start,stop,start_seconds,stop_seconds,action,confidence\n"
    "0,10,0.0,2.0,idle,\n10,25,2.0,5.0,stir,\n25,60,5.0,12.0,idle,\n"
)


def _tables() -> Iterator[Row]:
    for what, content in {"events": EVENTS, "states": STATES}.items():
        command = "data convert --from boris a.tsv --fps 5 --out out"
        words = ("segments of 'a' to frame 2,500", "a video of 100 frames")
        yield Row(f"foreign table/{what} beyond the length", command, words, {"a.tsv": content})
        good = content.replace("500", "10")
        words = ("a         100         3",)
        yield Row(f"foreign table/{what} within the length", command, words, {"a.tsv": good}, code=0, leaves=("out*",))
    command = "data convert --from csv a.csv --fps 5 --out out"
    words = ("a.csv:3", "stop is frame 25, but stop_seconds is 9", "frame 25 at about 5 s", "--unit")
    wrong = {"a.csv": OWN.replace("2.0,5.0", "2.0,9.0")}
    yield Row("foreign table/frames against seconds", command, words, wrong)
    for unit in ("seconds", "frames"):
        name = f"foreign table/frames against seconds, {unit}"
        yield Row(name, f"{command} --unit {unit}", ("1 videos",), wrong, code=0, leaves=("out*",))
    xml = {"a.csv": EAF}
    yield Row("foreign table/XML", f"{command} --unit seconds", ("a.csv: XML; expected a table",), xml)
    header = {"a.csv": "Start,Stop,Label\n0,1,stir\n"}
    yield Row("foreign table/capitals", command, ("no column 'label' among 'Start', 'Stop', 'Label'",), header)
    wide = "\n".join(",".join([str(row), *["0.5"] * 100_000]) for row in range(5))
    command = "data convert --from table t.csv --time 1 --fps 5 --out out"
    yield Row("foreign table/100,001 columns", command, ("100000",), {"t.csv": wide}, code=0, leaves=("out*",))


def _replaced() -> Iterator[Row]:
    """Features that another shape would replace."""
    for what, shape, words in (
        ("another width", (400, 2), ("2 columns (shape (400, 2) as TD)", "which would replace")),
        ("another length", (7, 8), ("7 frames", "has labels")),
    ):
        files: dict[str, Content] = {
            f"{VIDEO}.npy": array(np.random.default_rng(0).random(shape)),
            f"{VIDEO}.csv": "\n".join(",".join(["0.5"] * shape[1]) for _ in range(shape[0])),
        }
        for kind, name in (("npy", f"{VIDEO}.npy"), ("table", f"{VIDEO}.csv")):
            command = f"data convert --from {kind} {name} --out data"
            yield Row(f"foreign features/{what}, {kind}", command, (name, *words, "another --out"), files, ("data",))


def _options() -> Iterator[Row]:
    here = ["segment", f"{{w}}/{VIDEO}.npy", "--run", "{w}/words", "--out", "o"]
    yield Row(
        "foreign options/--actions and --more-actions",
        [*here, "--actions", "insert bolt", "--more-actions", "polish gear"],
        ("--more-actions: names beside --actions", "one of them"),
    )
    yield Row("foreign options/one input twice", [*here, here[1]], (f"{VIDEO}.npy: given twice",))
    quoted = ("data check 'my data'", "data init 'my data' --fps")
    yield Row(
        "foreign options/data sample with a blank",
        ["data", "sample", "my data", "--videos", "6"],
        quoted,
        code=0,
        leaves=("my data*",),
    )
    yield Row(
        "foreign options/a column of number 0",
        "data convert --from table t.csv --time 0 --fps 5 --out o",
        ("--time: no column '0'", "columns count from 1 to 2"),
        {"t.csv": "time,x\n0,1\n1,2\n"},
    )
    start = edited("0.annotations.0.result.0.value", ranges=[{"start": 0, "end": 5}])
    yield Row(
        "foreign options/frames from 0",
        "data convert --from label-studio a.ls.json --fps 5 --out o",
        ("start 0; expected frames that count from 1",),
        {"a.ls.json": start},
        ("a.ls.json",),
    )
    wrong = {f"data/groundTruth/{VIDEO}.txt": replaced("\n", " x\n")}
    words = (f"{VIDEO}.txt:1: label", "look again with: fact-clip data check data")
    yield Row("foreign options/one fault of data init", "data init data --out r.yaml", words, wrong, ("data",))


ROWS = (*_descriptions(), *_left_out(), *_tables(), *_replaced(), *_options())
