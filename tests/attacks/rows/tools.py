"""Annotation files of other tools, for `data convert`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from ..row import Content, Row, array, dumped, fifo, folder, link, sparse
from ..world import BORIS, CSV, EAF, EPIC, LABEL_STUDIO, VIA

DIGITS = "9" * 5000


def boris(change: Callable[[dict[str, Any]], object]) -> str:
    """A project of BORIS with one change."""
    tree = copy.deepcopy(BORIS)
    change(tree)
    return dumped(tree)


def events(*rows: Any) -> str:
    """A project of BORIS with these events."""
    return boris(lambda tree: tree["observations"]["clip"].update(events=list(rows)))


def via(change: Callable[[dict[str, Any]], object]) -> str:
    tree = copy.deepcopy(VIA)
    change(tree)
    return dumped(tree)


def studio(change: Callable[[dict[str, Any]], object]) -> str:
    tree = copy.deepcopy(LABEL_STUDIO)
    change(tree[0])
    return dumped(tree)


def region(**value: Any) -> str:
    return studio(lambda task: task["annotations"][0]["result"][0].update(value={"timelinelabels": ["stir"], **value}))


BROKEN: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": (b"", ()),
    "text": ("no such thing", ()),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ()),
    "NUL bytes": (b"\0" * 1000, ()),
    "utf-16": ("<a/>".encode("utf-16"), ()),
    "a folder": (folder, ("folder",)),
    "a pipe": (fifo, ("pipe",)),
    "an endless device": (link("/dev/zero"), ("device",)),
    "a link to itself": (link("a.FORM"), ()),
    "10 GB": (sparse(10 << 30, b"<a>"), ("bytes",)),
}

JSON: dict[str, tuple[Content, tuple[str, ...]]] = {
    "a list": ("[]", ()),
    "an object": ("{}", ()),
    "null": ("null", ()),
    "a number": ("5", ()),
    "deep": ("[" * 100_000, ("nested",)),
    "deep objects": ('{"a":' * 100_000, ("nested",)),
    "NaN": ('{"a": NaN}', ("NaN",)),
    "5000 digits": (f"[{DIGITS}]", ("digits",)),
    "surrogates": ('{"a": "\\ud800"}', ("surrogate",)),
    "cut off": ('{"observations": {"a"', ("JSON",)),
    "latin-1": (b'{"a": "\xe9"}', ("UTF-8",)),
}

FILES: dict[str, tuple[str, tuple[str, ...], dict[str, tuple[Content, tuple[str, ...]]]]] = {
    # kind: file, further options, faults
    "eaf": ("a.eaf", ("--fps", "5"), {
        "another document": ("<html/>", ("ELAN",)),
        "cut off": (EAF[:700], ("XML",)),
        "laughs": ('<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)) + "]><ANNOTATION_DOCUMENT>&a9;</ANNOTATION_DOCUMENT>", ("document type",)),
        "laughs in an attribute": ('<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)) + ']><ANNOTATION_DOCUMENT AUTHOR="&a9;"/>', ("document type",)),
        "a large entity many times": ('<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "' + "x" * 100_000 + '">]><ANNOTATION_DOCUMENT>' + "&a;" * 20_000 + "</ANNOTATION_DOCUMENT>", ("document type",)),
        "an external entity": ('<?xml version="1.0"?><!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + EAF.split("?>", 1)[1].replace("stir", "&x;"), ("document type",)),
        "an external entity of the canary": ('<?xml version="1.0"?><!DOCTYPE l [<!ENTITY x SYSTEM "../canary.txt">]>' + EAF.split("?>", 1)[1].replace("stir", "&x;"), ("document type",)),
        "an external document type": ('<?xml version="1.0"?><!DOCTYPE l SYSTEM "http://localhost:1/x.dtd">' + EAF.split("?>", 1)[1], ("document type",)),
        "a parameter entity": ('<?xml version="1.0"?><!DOCTYPE l [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]>' + EAF.split("?>", 1)[1], ("document type",)),
        "deep": ("<ANNOTATION_DOCUMENT>" + "<a>" * 200_000, ("XML",)),
        "deep and closed": ("<ANNOTATION_DOCUMENT>" + "<a>" * 20_000 + "</a>" * 20_000 + "</ANNOTATION_DOCUMENT>", ("tier",)),
        "an unknown encoding": (EAF.replace("UTF-8", "KLINGON"), ("XML",)),
        "utf-7": (EAF.replace("UTF-8", "UTF-7"), ("XML",)),
        "no tier": (EAF.replace("<TIER", "<X").replace("</TIER>", "</X>"), ("tier",)),
        "no times": (EAF.replace("TIME_SLOT_ID", "X"), ("TIME_SLOT_ID",)),
        "a time of text": (EAF.replace('TIME_VALUE="1000"', 'TIME_VALUE="soon"'), ("time slot ts2",)),
        "a time of 10^15": (EAF.replace('TIME_VALUE="1000"', 'TIME_VALUE="1000000000000000"'), ("a.eaf", "time slot ts2")),
        "a time of 10^11": (EAF.replace('TIME_VALUE="1000"', 'TIME_VALUE="100000000000"'), ("a.eaf", "frame")),
        "a time of 5000 digits": (EAF.replace('TIME_VALUE="1000"', f'TIME_VALUE="{DIGITS}"'), ("time slot ts2",)),
        "a time below zero": (EAF.replace('TIME_VALUE="0"', 'TIME_VALUE="-5"'), ("time slot ts1",)),
        "times the wrong way": (EAF.replace('TIME_VALUE="0"', 'TIME_VALUE="5000"'), ("stop",)),
        "a slot that is missing": (EAF.replace('TIME_SLOT_REF2="ts2"', 'TIME_SLOT_REF2="ts9"'), ("a.eaf",)),
        "a blank label": (EAF.replace("stir", " "), ("label",)),
        "a line break in a label": (EAF.replace("stir", "st\nir"), ("label",)),
        "a tab in a label": (EAF.replace("stir", "st&#9;ir"), ("label",)),
        "a control character": (EAF.replace("stir", "st&#1;ir"), ("XML",)),
        "a tier that is missing": (EAF.replace('TIER_ID="action"', ""), ("a.eaf",)),
    }),
    "boris": ("a.boris", ("--fps", "5"), {
        "observations of a list": (boris(lambda tree: tree.update(observations=[])), ("observations",)),
        "observations of a number": (boris(lambda tree: tree.update(observations={"a": 5})), ("observation 'a'",)),
        "files of a number": (boris(lambda tree: tree["observations"]["clip"].update(file=5)), ("file is 5",)),
        "files of numbers": (boris(lambda tree: tree["observations"]["clip"].update(file={"1": [5]})), ("a media file is 5",)),
        "behaviours of a list": (boris(lambda tree: tree.update(behaviors_conf=[1])), ("behaviors_conf",)),
        "events of a text": (boris(lambda tree: tree["observations"]["clip"].update(events="x")), ("events",)),
        "an event of nothing": (events([]), ("event 0",)),
        "a time of text": (events(["soon", "", "stir"]), ("event 0, time",)),
        "a time of null": (events([None, "", "stir"]), ("event 0, time",)),
        "a time of NaN": (events([float("nan"), "", "stir"]), ("NaN",)),
        "a time of infinity": (events([0, "", "stir"], ["inf", "", "stir"]), ("inf",)),
        "a time of NaN as text": (events(["nan", "", "stir"], ["nan", "", "stir"]), ("nan",)),
        "a time of 1e300": (events([0, "", "stir"], [1e300, "", "stir"]), ("1e+300",)),
        "times of 1e300": (events([1e300, "", "stir"], [1e300, "", "stir"]), ("1e+300",)),
        "a time of 10^8": (events([0, "", "stir"], [1e8, "", "stir"]), ("frame 500,000,000",)),
        "a time below zero": (events([-5, "", "stir"], [1, "", "stir"]), ("times",)),
        "a start without a stop": (events([0, "", "stir"]), ("never stops",)),
        "a length of 1e300": (boris(lambda tree: tree["observations"]["clip"]["media_info"].update(length={"clip.mp4": 1e300})), ("a.boris",)),
        "a length of NaN": (boris(lambda tree: tree["observations"]["clip"]["media_info"].update(length={"clip.mp4": "nan"})), ("a.boris",)),
        "a length of 10^8": (boris(lambda tree: tree["observations"]["clip"]["media_info"].update(length={"clip.mp4": 1e8})), ("a.boris", "frame")),
        "a length of text": (boris(lambda tree: tree["observations"]["clip"]["media_info"].update(length={"clip.mp4": "x"})), ("the length of 'clip.mp4'",)),
        "a blank behaviour": (events([0, "", " "], [1, "", " "]), ("label",)),
        "a behaviour with an escape": (events([0, "", "\x1b[31m"], [1, "", "\x1b[31m"]), ("label",)),
        "a behaviour with NUL": (events([0, "", "a\0b"], [1, "", "a\0b"]), ("label",)),
        "two subjects": (events([0, "a", "stir"], [1, "a", "stir"], [0, "b", "stir"], [1, "b", "stir"]), ("--tier",)),
        "nothing coded": (events(), ("no annotated videos",)),
    }),
    "via": ("a.json", ("--fps", "5"), {
        "attributes of a list": (via(lambda tree: tree.update(attribute=[])), ("VIA",)),
        "an attribute of a number": (via(lambda tree: tree.update(attribute={"1": 5})), ("attribute '1'",)),
        "metadata of a number": (via(lambda tree: tree.update(metadata={"1": 5})), ("segment '1'",)),
        "times of a number": (via(lambda tree: tree["metadata"]["1_a"].update(z=5)), ("z is 5",)),
        "a time of text": (via(lambda tree: tree["metadata"]["1_a"].update(z=["a", "b"])), ("z is 'a'",)),
        "a time of infinity": (via(lambda tree: tree["metadata"]["1_a"].update(z=[0, "inf"])), ("inf",)),
        "a time of 1e300": (via(lambda tree: tree["metadata"]["1_a"].update(z=[0, 1e300])), ("1e+300",)),
        "a time of 10^8": (via(lambda tree: tree["metadata"]["1_a"].update(z=[0, 1e8])), ("frame",)),
        "a time below zero": (via(lambda tree: tree["metadata"]["1_a"].update(z=[-1, 2])), ("times",)),
        "a video that is missing": (via(lambda tree: tree["metadata"]["1_a"].update(vid="9")), ("video '9'",)),
        "a video of a list": (via(lambda tree: tree["metadata"]["1_a"].update(vid=[])), ("'1_a': video []",)),
        "a view of nothing": (via(lambda tree: tree.update(view={"1": {"fid_list": []}})), ("video",)),
        "a file name of a number": (via(lambda tree: tree["file"]["1"].update(fname=5)), ("fname",)),
        "options of a list": (via(lambda tree: tree["attribute"]["1"].update(options=["x"])), ("options",)),
        "a value of a list": (via(lambda tree: tree["metadata"]["1_a"].update(av={"1": ["0"]})), ("the value of 'action'",)),
        "a value with NUL": (via(lambda tree: tree["metadata"]["1_a"].update(av={"1": "a\0b"})), ("label",)),
        "no attribute of time": (via(lambda tree: tree["attribute"]["1"].update(anchor_id="x")), ("attribute",)),
    }),
    "label-studio": ("a.json", ("--fps", "5"), {
        "tasks of numbers": ("[1, 2]", ("tasks",)),
        "data of a number": ('[{"data": 5}]', ("data is 5",)),
        "no video": (studio(lambda task: task.update(data={})), ("video",)),
        "annotations of a number": (studio(lambda task: task.update(annotations=5)), ("annotations is 5",)),
        "an annotation of a number": (studio(lambda task: task.update(annotations=[5])), ("an annotation is 5",)),
        "results of a number": (studio(lambda task: task.update(annotations=[{"result": 5}])), ("result is 5",)),
        "a start of text": (region(ranges=[{"start": "a", "end": 5}]), ("region",)),
        "a start of null": (region(ranges=[{"start": None, "end": 5}]), ("region",)),
        "a start of infinity": (region(start="inf", end="inf"), ("start is 'inf'",)),
        "an end of 1e300": (region(ranges=[{"start": 1, "end": 1e300}]), ("1e+300",)),
        "an end of 10^9": (region(ranges=[{"start": 1, "end": 1_000_000_000}]), ("frame",)),
        "ranges of a number": (region(ranges=5), ("region",)),
        "the wrong way": (region(ranges=[{"start": 50, "end": 2}]), ("stop",)),
        "a rate of 0": (studio(lambda task: task["data"].update(fps=0)), ("frames per second",)),
        "a rate of -1": (studio(lambda task: task["data"].update(fps=-1)), ("frames per second",)),
        "a rate of 1e-300": (studio(lambda task: task["data"].update(fps=1e-300)), ("frames per second",)),
        "a rate of text": (studio(lambda task: task["data"].update(fps="fast")), ("frames per second",)),
        "a label with NUL": (studio(lambda task: task["annotations"][0]["result"][0]["value"].update(timelinelabels=["a\0b"])), ("label",)),
        "a label of a list": (studio(lambda task: task["annotations"][0]["result"][0]["value"].update(timelinelabels=5)), ("labels is 5",)),
        "a background of a list": (studio(lambda task: task["data"].update(background=["x"])), ("a.json",)),
    }),
    "csv": ("a.csv", ("--unit", "seconds", "--fps", "5"), {
        "a header alone": ("start,stop,label\n", ("a.csv",)),
        "no label": ("start,stop\n1,2\n", ("label",)),
        "no start": ("stop,label\n1,a\n", ("columns",)),
        "too few cells": (CSV + "1,2\n", ("a.csv:4", "cells")),
        "too many cells": (CSV + "1,2,a,b\n", ("a.csv:4", "cells")),
        "a time of text": (CSV.replace("0,2", "soon,2"), ("a.csv:2", "'soon'")),
        "a time of NaN": (CSV.replace("0,2", "nan,2"), ("a.csv:2", "nan")),
        "a time of infinity": (CSV.replace("0,2", "0,inf"), ("a.csv:2", "inf")),
        "a time of 1e300": (CSV.replace("0,2", "0,1e300"), ("a.csv:2", "1e+300")),
        "a time of 10^8": (CSV.replace("3,4", "0,100000000"), ("a.csv", "frame")),
        "a time of a thousand colons": (CSV.replace("0,2", "0," + "1:" * 1000 + "1"), ("a.csv:2", "stop")),
        "a time below zero": (CSV.replace("0,2", "-1,2"), ("a.csv:2", "times")),
        "the wrong way": (CSV.replace("0,2", "2,0"), ("a.csv:2", "stop")),
        "an empty cell": (CSV.replace("0,2", ",2"), ("a.csv:2", "empty")),
        "an open quote": (CSV + '5,6,"stir\n', ("a.csv",)),
        "a huge cell": (CSV + "5,6," + "x" * 200_000 + "\n", ("a.csv",)),
        "a huge header": ("x" * 200_000 + ",b\n1,2\n", ("a.csv",)),
        "NUL in a label": (CSV.replace("stir", "st\0ir"), ("a.csv",)),
        "an escape in a label": (CSV.replace("stir", "\x1b[31m"), ("a.csv:2", "label")),
        "a line break in a label": (CSV.replace("stir", '"st\nir"'), ("a.csv", "label")),
        "a blank label": (CSV.replace("stir", " "), ("a.csv:2", "label")),
        "latin-1": (CSV.replace("stir", "caf\xe9").encode("latin-1"), ("a.csv", "UTF-8")),
    }),
    "epic": ("a.csv", ("--fps", "5"), {
        "no column": ("a,b\n1,2\n", ("video_id",)),
        "a time of text": (EPIC.replace("00:00:02.0", "soon"), ("a.csv:2",)),
        "a time of infinity": (EPIC.replace("00:00:02.0", "inf"), ("a.csv:2",)),
        "a time of 10^8": (EPIC.replace("00:00:02.0", "100000000"), ("a.csv", "frame")),
        "a verb with NUL": (EPIC.replace(",1,2", ",a\0b,2"), ("a.csv",)),
    }),
    "runs": ("a.json", ("--fps", "5"), {
        "a list": ("[[1, 2]]", ("a.json",)),
        "runs of a number": ('{"a": 5}', ("a.json",)),
        "a run of one": ('{"a": [["x"]]}', ("a.json", "run 0")),
        "a run of 0 frames": ('{"a": [["x", 0]]}', ("a.json", "run 0")),
        "a run of -5 frames": ('{"a": [["x", -5]]}', ("a.json", "run 0")),
        "a run of 1.5 frames": ('{"a": [["x", 1.5]]}', ("a.json", "run 0")),
        "a run of 10^12 frames": ('{"a": [["x", 1000000000000]]}', ("a.json",)),
        "a run of 10^8 frames": ('{"a": [["x", 100000000]]}', ("a.json", "frame")),
        "a class by number": ('{"a": [[5, 10]]}', ("a.json", "class 5")),
        "a class of null": ('{"a": [[null, 10]]}', ("a.json", "class None")),
        "a class with NUL": ('{"a": [["x\\u0000", 10]]}', ("a.json", "label")),
        "no videos": ("{}", ("no annotated videos",)),
    }),
}  # fmt: skip


def _files() -> Iterator[Row]:
    for kind, (name, options, faults) in FILES.items():
        broken = {**BROKEN, **(JSON if name.endswith((".json", ".boris")) else {})}
        for what, (content, words) in {**broken, **faults}.items():
            if what in ("an object", "a list") and kind in ("runs", "label-studio"):
                words = ()
            made = link(name) if what == "a link to itself" else content
            own = () if what in ("nothing coded", "no videos", "an object", "a list") else (name,)
            command = ["data", "convert", "--from", kind, name, *options, "--out", "out"]
            yield Row(f"{kind}/{what}", command, (*own, *words), {name: made})


FEATURES: dict[str, Content] = {"f/a.npy": array([[0.0] * 4] * 20)}


def _options() -> Iterator[Row]:
    convert = "data convert --from csv a.csv --unit seconds --out out"
    csv: dict[str, Content] = {"a.csv": CSV}
    for value in ("0", "-1", "nan", "inf", "1e300", "1e-300", "x", DIGITS):
        yield Row(f"convert --fps/{value[:20]}", f"{convert} --fps {value}", ("fps",), csv)
        yield Row(
            f"convert --source-fps/{value[:20]}",
            f"data convert --from csv a.csv --unit frames --fps 5 --out out --source-fps {value}",
            ("source-fps",),
            csv,
        )
    yield Row("convert/no rate", convert, ("frame rate",), csv)
    yield Row(
        "convert/no file",
        "data convert --from csv none.csv --fps 5 --unit seconds --out out",
        ("none.csv", "no such file"),
    )
    yield Row(
        "convert/a file twice",
        "data convert --from csv a.csv a.csv --fps 5 --unit seconds --out out",
        ("a.csv", "again"),
        csv,
    )
    yield Row("convert/out is a file", f"{convert} --fps 5", ("out",), {**csv, "out": "x"})
    yield Row("convert/out is a pipe", f"{convert} --fps 5", ("out",), {**csv, "out": fifo})
    yield Row("convert/no features", f"{convert} --features f --fps 5", ("f/a.npy", "no such file"), csv)
    yield Row(
        "convert/features of a pipe",
        f"{convert} --features f --layout TD --fps 5",
        ("f/a.npy", "pipe"),
        {**csv, "f/a.npy": fifo},
    )
    yield Row(
        "convert/features too short",
        f"{convert} --features f --layout TD --fps 500",
        ("a.csv", "features of 20 frames"),
        {**csv, **FEATURES},
    )
    yield Row(
        "convert/features with bad times",
        f"{convert} --features f",
        ("a.json", "times"),
        {**csv, **FEATURES, "f/a.json": '{"times": [0, 0, 0]}'},
    )
    yield Row(
        "convert/features without a rate", f"{convert} --features f --layout TD", ("frame rate",), {**csv, **FEATURES}
    )
    yield Row(
        "convert/a mapping of other names",
        f"{convert} --fps 5 --mapping m.txt",
        ("m.txt", "no class"),
        {**csv, "m.txt": "0 other\n"},
    )
    yield Row(
        "convert/a mapping that is broken",
        f"{convert} --fps 5 --mapping m.txt",
        ("m.txt:1",),
        {**csv, "m.txt": "other\n"},
    )
    yield Row(
        "convert/a mapping of a pipe", f"{convert} --fps 5 --mapping m.txt", ("m.txt", "pipe"), {**csv, "m.txt": fifo}
    )
    yield Row(
        "convert/a mapping there that is broken",
        f"{convert} --fps 5",
        ("mapping.txt:1",),
        {**csv, "out/mapping.txt": "other\n"},
    )
    yield Row(
        "convert/a tier that is missing",
        "data convert --from eaf {w}/a.eaf --tier x --fps 5 --out out",
        ("a.eaf", "tier 'x'"),
    )
    yield Row(
        "convert/a background with a line break",
        [*convert.split(), "--fps", "5", "--background", "a\nb"],
        ("--background",),
        csv,
    )
    yield Row(
        "convert/a background that is blank",
        [*convert.split(), "--fps", "5", "--background", " "],
        ("--background",),
        csv,
    )
    yield Row(
        "convert/a unit of milliseconds",
        "data convert --from csv a.csv --unit milliseconds --fps 5 --out out",
        ("--unit",),
        csv,
    )
    yield Row(
        "convert/verbs alone",
        "data convert --from epic {w}/epic.csv --verbs v.csv --fps 5 --out out",
        ("--verbs",),
        {"v.csv": "id,key\n1,take\n"},
    )
    yield Row(
        "convert/verbs that lack one",
        "data convert --from epic {w}/epic.csv --verbs v.csv --nouns v.csv --fps 5 --out out",
        ("class",),
        {"v.csv": "id,key\n9,take\n"},
    )
    yield Row(
        "convert/verbs that are broken",
        "data convert --from epic {w}/epic.csv --verbs v.csv --nouns v.csv --fps 5 --out out",
        ("v.csv",),
        {"v.csv": "x"},
    )
    yield Row("convert/kind that is none", "data convert --from xls a.csv --fps 5 --out out", ("xls",), csv)
    yield Row(
        "convert/a full disk",
        f"{convert} --fps 5000",
        ("out", "cannot be written"),
        csv,
        disk=4096,
        leaves=("out", "out/mapping.txt", "out/groundTruth"),
    )
    good = ("out*",)
    yield Row(
        "good/a formula as label",
        f"{convert} --fps 5",
        ("a",),
        {"a.csv": CSV.replace("stir", "=cmd|'/c calc'!A1")},
        code=0,
        leaves=good,
    )
    yield Row(
        "good/other scripts",
        f"{convert} --fps 5",
        ("a",),
        {"a.csv": CSV.replace("stir", "混ぜる 🥄 mélanger")},
        code=0,
        leaves=good,
    )
    yield Row("good/a byte-order mark", f"{convert} --fps 5", ("a",), {"a.csv": "\ufeff" + CSV}, code=0, leaves=good)
    yield Row(
        "good/a boris project",
        "data convert --from boris {w}/a.boris --fps 5 --out out",
        ("clip",),
        code=0,
        leaves=good,
    )
    yield Row("good/an eaf", "data convert --from eaf {w}/a.eaf --fps 5 --out out", ("a",), code=0, leaves=good)
    yield Row("good/via", "data convert --from via {w}/a.via.json --fps 5 --out out", ("clip",), code=0, leaves=good)
    yield Row(
        "good/label studio",
        "data convert --from label-studio {w}/a.ls.json --fps 5 --out out",
        ("clip",),
        code=0,
        leaves=good,
    )


FOREIGN = (
    "../../x",
    "/abs/x",
    "..",
    ".",
    ".hidden",
    "a/b",
    "a\\b",
    "C:\\x",
    "nul",
    "x" * 300,
    "a\x1b[31mb",
    "~",
    "$HOME",
    "*",
    "a:b",
    "-rf",
    " x ",
)


def _names() -> Iterator[Row]:
    """Names that another tool chose become names of files; wherever they point, nothing is touched outside."""
    for name in FOREIGN:
        shown = name[:20].replace("\x1b", "ESC")
        epic = EPIC.replace("P01_01", name)
        yield Row(
            f"foreign epic/{shown!r}",
            "data convert --from epic a.csv --fps 5 --out out",
            ("written",),
            {"a.csv": epic},
            code=0,
            leaves=("out*",),
        )
        project = boris(
            lambda tree, name=name: tree.update(
                observations={
                    name: {**tree["observations"]["clip"], "file": {"1": ["a.mp4", "b.mp4"]}, "media_info": {}}
                }
            )
        )
        yield Row(
            f"foreign boris/{shown!r}",
            "data convert --from boris a.boris --fps 5 --out out",
            ("written",),
            {"a.boris": project},
            code=0,
            leaves=("out*",),
        )
        listed = dumped({name: [["x", 5]]})
        yield Row(
            f"foreign runs/{shown!r}",
            "data convert --from runs a.json --fps 5 --out out",
            (),
            {"a.json": listed},
            code=2 if "/" in name or "\\" in name else 0,
            leaves=() if "/" in name or "\\" in name else ("out*",),
        )


ROWS = (*_files(), *_options(), *_names())
