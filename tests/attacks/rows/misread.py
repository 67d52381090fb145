"""Inputs that were taken for something else than they say, and answers that blamed the wrong thing: a second test."""

from __future__ import annotations

import copy
import gzip
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..row import Content, Row, array, dumped, fifo, folder, header, link
from ..world import BORIS, EAF, EPIC, LABEL_STUDIO, VIA
from .tools import events, region

HEAD = "start,stop,label\n"
CSV = "data convert --from csv a.csv --unit seconds --fps 10 --out o"
GOOD = HEAD + "0,2,stir\n3,4,pour\n"
AUTHOR = "caf\u00e9", "cafe\u0301"  # look the same


def _csv() -> Iterator[Row]:
    times = ("1_0", "00:00:01:12", "-0:01", "1e1:1", "0:75", "0:75:00", "1.5:30", "inf", "")
    texts = {f"start {time!r}": f"{HEAD}{time},999,stir\n" for time in times}
    for sign in ("\u200b", "\ufeff", "\u00ad", "\u2060", "a\u202eb", "a\u2066b", "st\u200fir", "\u200c"):
        texts[f"label {sign!r}"] = f"{HEAD}0,2,{sign}\n"
    for what, text in texts.items():
        yield Row(f"misread csv/{what}", CSV, ("a.csv:2",), {"a.csv": text})
    more: dict[str, tuple[Content, tuple[str, ...]]] = {
        "label twice": ("start,stop,label,label\n0,2,stir,pour\n", ("'label' twice",)),
        "start twice": ("start,start,stop,label\n0,1,2,stir\n", ("'start' twice",)),
        "names that look the same": (f"{HEAD}0,2,{AUTHOR[0]}\n3,4,{AUTHOR[1]}\n", ("look the same",)),
        "a blank that does not break": (f"{HEAD}0,2,cut ham\n3,4,cut\u00a0ham\n", ("look the same",)),
        "videos of one name": ("start,stop,label,video\n0,2,a,x/t.mp4\n3,4,b,y/t.mp4\n", ("'t' again",)),
        "videos of one name by their endings": ("start,stop,label,video\n0,2,a,t.mp4\n3,4,b,t.avi\n", ("'t' again",)),
        "seconds in some rows": ("start_seconds,stop_seconds,start,stop,label\n0,1,0,9,a\n,,9,12,b\n", ("a.csv:3",)),
        "UTF-16": (GOOD.encode("utf-16"), ("a.csv: UTF-16",)),
        "gzip": (gzip.compress(GOOD.encode()), ("a.csv: a gzip file",)),
    }
    for what, (content, words) in more.items():
        yield Row(f"misread csv/{what}", CSV, words, {"a.csv": content})
    yield Row(
        "misread csv/two spellings",
        CSV,
        ("warning", "'stir'"),
        {"a.csv": f"{HEAD}0,2,stir\n3,4,Stir\n"},
        code=0,
        leaves=("o*",),
    )
    yield Row(
        "misread csv/a name with a dot",
        CSV.replace("a.csv", "take.1.csv") + " --json",
        ('"take.1"',),
        {"take.1.csv": GOOD},
        code=0,
        leaves=("o*",),
    )


def _options() -> Iterator[Row]:
    given = {"--tier": "x", "--verbs": "v", "--axes": "DT", "--dtype": "float16", "--time": "t", "--columns": "a"}
    for option, value in {**given, "--layout": "TD"}.items():
        yield Row(f"misread option/{option} of csv", f"{CSV} {option} {value}", (option,), {"a.csv": GOOD})
    for option, value in {"--fps": "5", "--background": "x", "--mapping": "m", "--layout": "DT"}.items():
        command = f"data convert --from npy a.npy --out o {option} {value}"
        yield Row(f"misread option/{option} of npy", command, (option,), {"a.npy": array([[1.0]])})
    for background in ("\u200b", "a\u202eb"):
        yield Row(
            f"misread option/background {background!r}",
            [*CSV.split(), "--background", background],
            ("--background",),
            {"a.csv": GOOD},
        )
    for option in ("--out", "--mapping"):
        yield Row(f"misread option/{option} empty", [*CSV.split(), option, ""], (option, "empty"), {"a.csv": GOOD})
        yield Row(
            f"misread option/{option} of a tilde", [*CSV.split(), f"{option}=~/x"], (option, "~"), {"a.csv": GOOD}
        )
    yield Row("misread option/an empty file", ["data", "convert", "", *CSV.split()[2:]], ("empty",), {"a.csv": GOOD})
    tables = {"x,x": "'x' twice", ",": "--columns", '"x': "--columns", "x\ny": "--columns", "t,x": "'t' twice"}
    for value, word in tables.items():
        command = ["data", "convert", "--from", "table", "a.csv", "--out", "o", "--columns", value]
        yield Row(
            f"misread option/--columns {value!r}",
            [*command, "--time", "t", "--fps", "1"],
            (word,),
            {"a.csv": "t,x\n0,1\n1,2\n"},
        )
    words = {'"grasp gear': "--actions", "a\nb": "--actions", "\x1b[2J": "--actions", "a\u202eb": "--actions"}
    words |= {", ,": "--actions", "grasp gear,grasp gear": "twice"}
    for value, word in words.items():
        command = ["segment", "person1_video1.npy", "--run", "{w}/words", "--out", "o", "--actions", value]
        yield Row(f"misread option/--actions {value!r}", command, (word,), copies=("person1_video1.npy",))
    for text in ("a\0b\n", "grasp gear\u200b\n", b"\xff\xfea\0"):
        command = "segment person1_video1.npy --run {w}/words --out o --actions-file f.txt"
        yield Row(
            f"misread option/--actions-file {text!r}", command, ("f.txt",), {"f.txt": text}, ("person1_video1.npy",)
        )
    yield Row(
        "misread option/--actions-file of old line ends",  # two names, as in mappings and labels
        "segment person1_video1.npy --run {w}/words --out o --actions-file f.txt",
        ("  place gear  ",),
        {"f.txt": "grasp gear\rplace gear\r"},
        ("person1_video1.npy",),
        code=0,
        leaves=("o*",),
    )
    segment = ("segment", "person1_video1.npy", "--run", "{w}/run", "--out", "o")
    for option, value in (
        ("--prompts", "plain"),
        ("--smoothing", "5"),
        ("--media", "a\nb"),
        ("--media", ""),
        ("--media", "{nme}"),
    ):
        yield Row(
            f"misread option/{option} {value!r}", [*segment, option, value], (option,), copies=("person1_video1.npy",)
        )
    yield Row("misread option/--out links to itself", segment, ("o",), {"o": link("o")}, ("person1_video1.npy",))
    settings = {"--minimal-duration": "-1", "--background-threshold": "2", "--reject": "2", "--device": "gpu"}
    for option, value in settings.items():
        yield Row(
            f"misread option/name of {option}",
            [*segment, option, value],
            (f"{option}: ",),
            copies=("person1_video1.npy",),
        )


def _elan() -> Iterator[Row]:
    one = EAF[EAF.index("<ANNOTATION>") : EAF.index("</TIER>")]
    slot = '<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1000"/>'
    tier = EAF[EAF.index("<TIER ") : EAF.index("</TIER>") + 7]
    media = '<MEDIA_DESCRIPTOR MEDIA_URL="x.mp4" TIME_ORIGIN="5000"/>'
    header_ = '<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"'
    documents = {
        "a slot twice": (EAF.replace(slot, slot + slot), "'ts2' twice"),
        "an annotation twice": (EAF.replace(one, one + one), "'a1' twice"),
        "a tier twice": (EAF.replace(tier, tier + tier), "'action' twice"),
        "a stop before its start": (EAF.replace('"1000"', '"0"').replace('"0"', '"9"', 1), "a stop after the start"),
        "frames of PAL": (EAF.replace("milliseconds", "PAL-frames"), "TIME_UNITS"),
        "an offset": (EAF.replace(header_ + "/>", f"{header_}>{media}</HEADER>"), "TIME_ORIGIN"),
        "digits of Python": (EAF.replace("1000", "1_000"), "time slot ts2"),
        "a label that cannot be seen": (EAF.replace("stir", "\u200b"), "a1"),
    }
    for what, (text, word) in documents.items():
        yield Row(
            f"misread eaf/{what}", "data convert --from eaf a.eaf --fps 10 --out o", ("a.eaf", word), {"a.eaf": text}
        )


def _boris() -> Iterator[Row]:
    clip = dumped(BORIS["observations"]["clip"])
    pair = [[0.0, "", "stir"], [1.0, "", "stir"]]
    projects = {
        "an observation twice": (f'{{"observations": {{"clip": {clip}, "clip": {clip}}}}}', "'clip' twice"),
        "events twice": (dumped(BORIS).replace('"events":', '"events": [], "events":', 1), "'events' twice"),
        "a time of true": (events(pair[0], [True, "", "stir"]), "event 1, time"),
        **{
            f"the behaviour {code!r}": (events(*([row[0], "", code] for row in pair)), "event 0, behaviour")
            for code in (None, True, ["a"], {"a": 1})
        },
        "a subject that is a list": (events([0.0, ["a"], "stir"]), "event 0, subject"),
        "media that are a text": (dumped(BORIS).replace('["clip.mp4"]', '"clip.mp4"'), "file of player 1"),
        "media that are nothing": (dumped(BORIS).replace('{"1": ["clip.mp4"]}', "null"), "file is None"),
        "events after the end": (dumped(BORIS).replace('"clip.mp4": 4.0', '"clip.mp4": 0.5'), "a video of 5 frames"),
        "a length of true": (dumped(BORIS).replace('"clip.mp4": 4.0', '"clip.mp4": true'), "length"),
        "an observation of null": ('{"observations": {"clip": null}}', "it is None"),
    }
    for what, (text, word) in projects.items():
        yield Row(
            f"misread boris/{what}",
            "data convert --from boris a.boris --fps 10 --out o",
            ("a.boris", word),
            {"a.boris": text},
        )
    head = "Subject\tBehavior\tBehavior type\tTime\tMedia file name\n"

    def rows(*pairs: tuple[str, int], video: str = "x.mp4") -> str:
        return "".join(f"\tstir\t{kind}\t{time}\t{video}\n" for kind, time in pairs)

    texts = {
        "a stop first": (head + rows(("STOP", 0), ("START", 1)), "'stir' stops at 0 s"),
        "two starts, two stops": (head + rows(("START", 0), ("START", 1), ("STOP", 2), ("STOP", 3)), "starts again"),
        "two stops": (head + rows(("STOP", 0), ("STOP", 1)), "'stir' stops"),
        "other kinds": (head + rows(("BEGIN", 0), ("END", 1)), "'BEGIN'"),
        "Behavior twice": (head.replace("Subject", "Behavior") + rows(("START", 0)), "'Behavior' twice"),
        "two videos of one name": (
            head + rows(("START", 0), ("STOP", 1), video="a/x.mp4") + rows(("START", 0), ("STOP", 1), video="b/x.mp4"),
            "'x' again",
        ),
    }
    for what, (text, word) in texts.items():
        yield Row(
            f"misread boris table/{what}",
            "data convert --from boris a.tsv --fps 10 --out o",
            ("a.tsv", word),
            {"a.tsv": text},
        )


def changed(tree: Any, change: Callable[[Any], object]) -> str:
    """A tree with one change, as JSON."""
    copied = copy.deepcopy(tree)
    change(copied)
    return dumped(copied)


def _web_tools() -> Iterator[Row]:
    attribute = VIA["attribute"]["1"]
    projects = {
        "a name of null": (changed(VIA, lambda tree: tree["attribute"]["1"].update(aname=None)), "aname"),
        "two attributes of one name": (changed(VIA, lambda tree: tree["attribute"].update({"2": attribute})), "again"),
        "times that are an object": (
            changed(VIA, lambda tree: tree["metadata"]["1_a"].update(z={"0": 1, "1": 2})),
            "z is",
        ),
        "several options": (
            changed(
                VIA,
                lambda tree: (
                    tree["attribute"]["1"].update(options={"0": "a", "1": "b"}),
                    tree["metadata"]["1_a"].update(av={"1": "0,1"}),
                ),
            ),
            "several options",
        ),
        "a file without a name": (changed(VIA, lambda tree: tree["file"]["1"].update(fname="")), "fname"),
        "a segment twice": (dumped(VIA).replace('"1_a":', '"1_a": {"vid": "1"}, "1_a":'), "'1_a' twice"),
        "a segment of null": (changed(VIA, lambda tree: tree["metadata"].update({"1_a": None})), "it is None"),
    }
    for what, (text, word) in projects.items():
        yield Row(
            f"misread via/{what}", "data convert --from via a.json --fps 10 --out o", ("a.json", word), {"a.json": text}
        )
    whole = {"start": 1, "end": 5}
    exports = {
        "two labels": (region(ranges=[whole], timelinelabels=["stir", "pour"]), "several labels"),
        "labels that are a text": (region(ranges=[whole], timelinelabels="stir"), "labels is"),
        **{
            f"the label {label!r}": (region(ranges=[whole], timelinelabels=[label]), "its label")
            for label in (3, None, ["a"])
        },
        "half a frame": (region(ranges=[{"start": 1.5, "end": 5}]), "whole frame"),
        "a frame of true": (region(ranges=[{"start": True, "end": 5}]), "whole frame"),
        "a video that is a list": (dumped(LABEL_STUDIO).replace('"clip.mp4"', '["x.mp4"]'), "the video"),
        "the rate twice": (dumped(LABEL_STUDIO).replace('"fps": 25.0', '"fps": 25.0, "fps": 50.0'), "'fps' twice"),
    }
    for what, (text, word) in exports.items():
        yield Row(
            f"misread label studio/{what}",
            "data convert --from label-studio a.json --fps 10 --out o",
            ("a.json", word),
            {"a.json": text},
        )
    yield Row(
        "misread runs/a video twice",
        "data convert --from runs a.json --out o",
        ("'v' twice",),
        {"a.json": '{"v": [["a", 5]], "v": [["b", 9]]}'},
    )
    head = EPIC.split("\n")[0]
    named = " --verbs v.csv --nouns n.csv"
    epic = {
        "no video": (f"{head}\n,0,1,1,2\n", "id,key\n1,take\n", "e.csv:2", ""),
        "no class": (f"{head}\nP,0,1,,2\n", "id,key\n1,take\n", "e.csv:2", ""),
        "frames in a time": (f"{head}\nP,0:00:01:12,0:00:02:00,1,2\n", "id,key\n1,take\n", "e.csv:2", ""),
        "a class twice": (EPIC, "id,key\n1,take\n1,put\n", "v.csv:3", named),
        "a class without a name": (EPIC, "id,key\n1,\n", "v.csv:2", named),
    }
    for what, (text, verbs, word, more) in epic.items():
        yield Row(
            f"misread epic/{what}",
            f"data convert --from epic e.csv --fps 10 --out o{more}",
            (word,),
            {"e.csv": text, "v.csv": verbs, "n.csv": "id,key\n2,cup\n"},
        )


def _features() -> Iterator[Row]:
    def converted(what: str, word: str, content: Content, more: str = "", **files: Content) -> Row:
        named = {"a.npy": content, **{name.replace("__", "/").replace("_", "."): one for name, one in files.items()}}
        return Row(f"misread npy/{what}", f"data convert --from npy a.npy{more} --out o", (word,), named)

    shape = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }\n"
    yield converted("NaN", "nan in frame 0", array([[float("nan")]]))
    yield converted("infinity", "inf in frame 0", array([[float("inf")]]))
    yield converted("a shape of true", "a.npy", header(shape % "(True, 12)", bytes(48)))
    yield converted("a shape beyond integers", "a.npy", header(shape % "(9223372036854775807, 3)", bytes(48)))
    yield converted("the second is broken", "b.npy", array([[1.0]]), " b.npy", b_npy=b"x")
    yield converted("features that are a link", "symbolic link", array([[1.0]]), o__features=link("../.."))
    yield converted("what is there describes others", "a.json", array([[1.0]]), o__features__a_json='{"fps": 9}')
    yield Row(
        "misread npy/the output is the input",
        "data convert --from npy features/a.npy --axes DT --out .",
        ("features/a.npy",),
        {"features/a.npy": array([[1.0, 2.0]])},
    )
    for what, text in {
        "a column twice": "x,x\n1,2\n",
        "digits of Python": "x,y\n1,1_0\n",
        "a frame number": "Frame #,x\n1,2\n",
    }.items():
        yield Row(f"misread table/{what}", "data convert --from table a.csv --out o", ("a.csv",), {"a.csv": text})
    table = "data convert --from table a.csv --fps 5 --out o"
    yield Row(
        "misread table/its JSON is a link",
        table,
        ("a.json",),
        {"a.csv": "x\n1\n", "o/features/a.json": link("../../x")},
    )
    yield Row(
        "misread csv/groundTruth is a link", CSV, ("symbolic link",), {"a.csv": GOOD, "o/groundTruth": link("../..")}
    )
    yield Row("misread csv/groundTruth is a file", CSV, ("groundTruth",), {"a.csv": GOOD, "o/groundTruth": "x"})
    yield Row("misread csv/a label file is a pipe", CSV, ("a.txt",), {"a.csv": GOOD, "o/groundTruth/a.txt": fifo})
    known: dict[str, Content] = {"a.csv": GOOD, "f/a.npy": array([[1.0]] * 20), "f/a.json": '{"fps": 5}'}
    yield Row("misread csv/another rate beside the features", CSV + " --features f", ("a.json", "--fps"), known)


def _data() -> Iterator[Row]:
    mapping, labels = "data/mapping.txt", "data/groundTruth/person1_video1.txt"

    def check(what: str, words: Sequence[str], files: dict[str, Content], *more: str, code: int = 1) -> Row:
        return Row(f"misread data/{what}", ["data", "check", "data", *more], tuple(words), files, ("data",), code=code)

    def more(*lines: str) -> Callable[[Path], object]:
        return lambda path: path.write_text(path.read_text(encoding="utf-8") + "".join(lines), encoding="utf-8")

    yield check(
        "names that look the same",
        ("again",),
        {mapping: more(*(f"{24 + place} {name}\n" for place, name in enumerate(AUTHOR)))},
    )
    yield check("a mapping of old line ends", ("mapping.txt",), {mapping: "0 no action\r1 stir\r"})
    yield check("a name that cannot be seen", ("mapping.txt",), {mapping: more("24 \u200b\n")})
    yield check("labels in UTF-16", ("UTF-16",), {labels: "no action\n".encode("utf-16")})
    yield check("a broken JSON beside features", ("person1_video1.json",), {"data/features/person1_video1.json": "{"})
    yield check(
        "another rate", ("person1_video1.json",), {"data/features/person1_video1.json": '{"fps": 3}'}, "data.fps=15"
    )
    for text in (
        "data: {fps: 5}\ndata: {fps: 7}\n",
        "data: {fps: 5, fps: 7}\n",
        "data: {fps: 1:30}\n",
        "data: {fps: 010}\n",
    ):
        yield check(f"the recipe {text!r}", ("recipe.yaml",), {"data/recipe.yaml": f"base: folder\n{text}"}, code=2)
    yield check("a base that is none", ("recipe.yaml",), {"data/recipe.yaml": "base: nope\n"}, code=2)
    for value in ("0x10", "1_5"):
        yield check(f"a rate of {value}", ("data.fps",), {}, f"data.fps={value}", code=2)
    hold = ("data", "holdout", "data")
    choices = {"null": '{"unseen": null}', "twice": '{"unseen": ["grasp nut"], "unseen": ["grasp gear"]}'}
    for what, text in choices.items():
        yield Row(
            f"misread holdout/unseen {what}", [*hold, "--file", "f.json"], ("f.json",), {"f.json": text}, ("data",)
        )
    for what, options, word in (
        ("a count without a choice", ("--validation-count", "2"), "--count"),
        ("support without a choice", ("--min-support", "3"), "--count"),
        ("another ending", ("--count", "1", "--out", "x.txt"), ".json"),
        ("over the mapping", ("--count", "1", "--out", "data/mapping.txt"), ".json"),
        ("quotes that do not close", ("--unseen", '"grasp nut'), "--unseen"),
        ("two lines", ("--unseen", "grasp nut\ngrasp gear"), "--unseen"),
    ):
        yield Row(f"misread holdout/{what}", [*hold, *options], (word,), copies=("data",))
    for split in ("9", "../x", "all"):
        yield Row(
            f"misread init/--split {split}",
            ["data", "init", "data", "--split", split],
            ("data.split",),
            copies=("data",),
        )
    divide = ["data", "split", "data", "--folds", "2", "--overwrite"]
    odd: dict[str, Content] = {"groundTruth/{}.txt": "no action\n", "features/{}.npy": array([[1.0] * 8])}
    for name in ("a\nb", " ", "\udcff"):
        files = {f"data/{place.format(name)}": content for place, content in odd.items()}
        yield Row(f"misread split/{name!r}", divide, ("the name",), files, ("data",))
    yield Row(
        "misread split/a bundle is a folder",
        divide,
        ("train.split1.bundle",),
        {"data/splits/train.split1.bundle": folder},
        ("data",),
    )


def _rest() -> Iterator[Row]:
    extract = "extract a.mp4 --encoder grid --out o"
    for what, content in {"a pipe": fifo, "a device": link("/dev/zero")}.items():
        yield Row(f"misread video/{what}", extract, ("pipe or a device",), {"a.mp4": content})
    yield Row(
        "misread video/its JSON is a pipe",
        "extract clip.mp4 --encoder grid --out o",
        ("clip.json",),
        {"o/clip.json": fifo},
        ("clip.mp4",),
    )
    yield Row(
        "misread video/features of one name",
        ["extract", "d/.a.mp4", "_a.mp4", "--encoder", "grid", "--out", "o"],
        ("same name",),
        {"d/.a.mp4": "x", "_a.mp4": "y"},
    )
    yield Row(
        "misread convert/two lines",
        [
            "convert",
            "{w}/published.net",
            "--config",
            "{w}/reference.yaml",
            "--mapping",
            "{w}/data/mapping.txt",
            "--out",
            "r",
            "--background",
            "a\nb",
        ],
        ("--background",),
    )
    yield Row(
        "misread convert/text is no advice",
        "convert {w}/tiny.yaml --config {w}/reference.yaml --mapping {w}/data/mapping.txt --out r",
        ("tiny.yaml: not readable as plain weights",),
    )
    yield Row("misread app/empty", ["app", "--run", ""], ("--run", "empty"))


ROWS = tuple(row for rows in (_csv, _options, _elan, _boris, _web_tools, _features, _data, _rest) for row in rows())
