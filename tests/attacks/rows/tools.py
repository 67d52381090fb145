"""Annotation files of other tools that were once read as something else than they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..row import Content, Row, array, changed, dumped, fifo, link
from ..world import BORIS, EAF, EPIC, LABEL_STUDIO, VIA

HEAD = "start,stop,label\n"
GOOD = f"{HEAD}0,2,stir\n3,4,pour\n"
TABLE = "Subject\tBehavior\tBehavior type\tTime\tMedia file name\n"
SLOT = '<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1000"/>'
ONE = EAF[EAF.index("<ANNOTATION>") : EAF.index("</TIER>")]
TIER = EAF[EAF.index("<TIER ") : EAF.index("</TIER>") + 7]
ENTITY = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY x SYSTEM "../canary.txt">]>'
LAUGHS = '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)) + "]>"  # fmt: skip


def clip(**values: Any) -> str:
    """A project of BORIS with one change in its observation."""
    return changed(BORIS, lambda tree: tree["observations"]["clip"].update(values))


def events(*rows: Any) -> str:
    return clip(events=list(rows))


def via(change: Callable[[dict[str, Any]], object]) -> str:
    return changed(VIA, change)


def segment(**values: Any) -> str:
    return via(lambda tree: tree["metadata"]["1_a"].update(values))


def region(**value: Any) -> str:
    return changed(
        LABEL_STUDIO,
        lambda tree: tree[0]["annotations"][0]["result"][0].update(value={"timelinelabels": ["stir"], **value}),
    )


def states(*rows: tuple[str, float], video: str = "x.mp4") -> str:
    return "".join(f"\tstir\t{kind}\t{time}\t{video}\n" for kind, time in rows)


PAIR = ("START", 0), ("STOP", 1)
WHOLE = {"start": 1, "end": 5}

# kind -> the file and further options, and what is in the file -> the place that is named
FILES: dict[str, tuple[str, str, dict[str, tuple[Content, str]]]] = {
    "csv": ("a.csv", "--unit seconds --fps 10", {
        **{f"start {time!r}": (f"{HEAD}{time},999,stir\n", "a.csv:2") for time in ("1_0", "00:00:01:12", "0:75", "inf")},
        **{f"label {label!r}": (f"{HEAD}0,2,{label}\n", "a.csv:2") for label in ("\u200b", "a\u202eb")},
        "the wrong way": (f"{HEAD}2,0,stir\n", "a.csv:2"),
        "names that look the same": (f"{HEAD}0,2,caf\u00e9\n3,4,cafe\u0301\n", "a.csv"),
        "videos of one name": ("start,stop,label,video\n0,2,a,x/t.mp4\n3,4,b,y/t.mp4\n", "a.csv"),
        "seconds in some rows": ("start_seconds,stop_seconds,start,stop,label\n0,1,0,9,a\n,,9,12,b\n", "a.csv:3"),
        "a row without its video": ("start,stop,label,video\n0,2,stir,a\n0,2,stir,\n", "a.csv:3"),
        "milliseconds": (f"{HEAD}0,0.002,stir\n", "a.csv"),
    }),
    "eaf": ("a.eaf", "--fps 10", {
        "an entity of a file": (ENTITY + EAF.split("?>", 1)[1].replace("stir", "&x;"), "a.eaf"),
        "an address": ('<?xml version="1.0"?><!DOCTYPE l SYSTEM "http://localhost:1/x.dtd">' + EAF.split("?>", 1)[1], "a.eaf"),
        "laughs": (f"{LAUGHS}<ANNOTATION_DOCUMENT>&a9;</ANNOTATION_DOCUMENT>", "a.eaf"),
        "a slot twice": (EAF.replace(SLOT, SLOT + SLOT), "a.eaf"),
        "a tier twice": (EAF.replace(TIER, TIER + TIER), "a.eaf"),
        "frames of PAL": (EAF.replace("milliseconds", "PAL-frames"), "a.eaf"),
        "an offset": (EAF.replace('"milliseconds"/>', '"milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="x.mp4" TIME_ORIGIN="5000"/></HEADER>'), "a.eaf"),
        "digits of Python": (EAF.replace("1000", "1_000"), "a.eaf"),
        "a label that cannot be seen": (EAF.replace("stir", "\u200b"), "a.eaf"),
    }),
    "boris": ("a.boris", "--fps 10", {
        "an observation twice": (f'{{"observations": {{"clip": {dumped(BORIS["observations"]["clip"])}, "clip": 1}}}}', "a.boris"),
        "a time of true": (events([0.0, "", "stir"], [True, "", "stir"]), "a.boris"),
        "a start without a stop": (events([0, "", "stir"]), "a.boris"),
        "two subjects": (events([0, "a", "stir"], [1, "a", "stir"], [0, "b", "stir"], [1, "b", "stir"]), "a.boris"),
        "events after the end": (clip(media_info={"length": {"clip.mp4": 0.5}, "fps": {"clip.mp4": 25}}), "a.boris"),
        "an offset": (clip(**{"time offset": 5.0}), "a.boris"),
        "only point events": (changed(BORIS, lambda tree: tree["behaviors_conf"]["0"].update(type="Point event")), "a.boris"),
    }),
    "boris table": ("a.tsv", "--fps 10", {
        "a stop first": (TABLE + states(("STOP", 0), ("START", 1)), "a.tsv"),
        "two starts, two stops": (TABLE + states(("START", 0), ("START", 1), ("STOP", 2), ("STOP", 3)), "a.tsv"),
        "beyond the length": ("Media file name\tMedia duration (s)\tSubject\tBehavior\tBehavior type\tTime\na.mp4\t20\t\tstir\tSTART\t2\na.mp4\t20\t\tstir\tSTOP\t500\n", "a.tsv"),
        "two videos of one name": (TABLE + states(*PAIR, video="a/x.mp4") + states(*PAIR, video="b/x.mp4"), "a.tsv"),
    }),
    "via": ("a.json", "--fps 10", {
        "two attributes of one name": (via(lambda tree: tree["attribute"].update({"2": tree["attribute"]["1"]})), "a.json"),
        "three times": (segment(z=[0.0, 1.0, 2.0]), "a.json"),
        "a video that is missing": (segment(vid="9"), "a.json"),
        "a segment without a label": (segment(av={}), "a.json"),
    }),
    "label-studio": ("a.json", "--fps 10", {
        "two labels": (region(ranges=[WHOLE], timelinelabels=["stir", "pour"]), "a.json"),
        "no label": (region(ranges=[WHOLE], timelinelabels=[]), "a.json"),
        "half a frame": (region(ranges=[{"start": 1.5, "end": 5}]), "a.json"),
        "frames from 0": (region(ranges=[{"start": 0, "end": 5}]), "a.json"),
        "the wrong way": (region(ranges=[{"start": 50, "end": 2}]), "a.json"),
    }),
    "epic": ("a.csv", "--fps 10", {
        "no class": (EPIC.replace(",1,2", ",,2"), "a.csv:2"),
        "frames in a time": (EPIC.replace("00:00:00.0", "0:00:01:12"), "a.csv:2"),
    }),
}  # fmt: skip

NAMES = ("../../x", "/abs/x", "..", "x" * 300, "a\x1b[31mb")


def _rows() -> Iterator[Row]:
    for kind, (file, options, faults) in FILES.items():
        command = f"data convert --from {kind.split()[0]} {file} {options} --out out"
        for what, (content, place) in faults.items():
            yield Row(f"{kind}/{what}", command, place, {file: content})
    for name in NAMES:  # which another tool chose, and become names of files
        project = changed(BORIS, lambda tree, name=name: tree.update(observations={name: {**tree["observations"]["clip"], "file": {"1": ["a.mp4", "b.mp4"]}, "media_info": {}}}))  # fmt: skip
        for kind, file, content in (("epic", "a.csv", EPIC.replace("P01_01", name)), ("boris", "a.boris", project)):
            command = f"data convert --from {kind} {file} --fps 5 --out out"
            yield Row(f"name of a video/{kind}, {name[:20]!r}", command, "", {file: content}, code=0, leaves=("out*",))
    convert, csv = "data convert --from csv a.csv --unit seconds --fps 5 --out out", {"a.csv": GOOD}
    for what, command, place, files in (
        ("a file twice", convert.replace("a.csv", "a.csv a.csv"), "a.csv", {}),
        ("a rate for seconds", f"{convert} --source-fps 30", "--source-fps", {}),
        ("labels that are a link", convert, "groundTruth", {"out/groundTruth": link("../..")}),
        ("labels that are a pipe", convert, "a.txt", {"out/groundTruth/a.txt": fifo}),
        ("another rate beside the features", f"{convert} --features f --layout TD", "a.json", {"f/a.npy": array([[0.0]] * 20), "f/a.json": '{"fps": 10}'}),
    ):  # fmt: skip
        yield Row(f"convert/{what}", command, place, {**csv, **files})
    other = {"a.csv": f"{HEAD}0,9,insert bolt\n", "m.txt": "0 insert bolt\n1 no action\n"}
    mapping = "data convert --from csv a.csv --unit frames --fps 5 --mapping m.txt --out data"
    yield Row("convert/a mapping over another", mapping, "m.txt", other, ("data",))
    for what, text in (("a formula", "=cmd|'/c calc'!A1"), ("other letters", "混ぜる 🥄")):
        yield Row(f"good/{what}", convert, "", {"a.csv": GOOD.replace("stir", text)}, code=0, leaves=("out*",))


ROWS = tuple(_rows())
