"""Every kind of file that a command reads, with every fault that a file can have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..row import Content, Row, bytewise, fifo, folder, gone, link

VIDEO = "person2_video1"  # trained on in split 1
TRAIN = "train {w}/tiny.yaml data.root=data train.epochs=1 --out out"
TEXT = f"{TRAIN} model.head=text text.encoder=hash:16"
SEGMENT = "segment {w}/person1_video1.npy --out out --run"
RESUME = "train {w}/tiny.yaml data.standardize=true train.epochs=2 --out run --resume"
CONVERT = "data convert --fps 5 --out out --from"
PUBLISHED = "convert published.net --config {} --mapping {} --layout TD --out out"


@dataclass(frozen=True)
class Kind:
    """A file in a copy of a part of the world, and the command that reads it."""

    path: str
    command: str
    copies: tuple[str, ...] = ()
    good: Content | None = None  # where the world has none
    form: str = "text"  # "json", "binary"


KINDS: dict[str, Kind] = {
    "recipe": Kind("r.yaml", "train r.yaml --out out", good="base: {w}/tiny.yaml\ntrain: {epochs: 1}\n"),
    "mapping": Kind("data/mapping.txt", TRAIN, ("data",)),
    "labels": Kind(f"data/groundTruth/{VIDEO}.txt", TRAIN, ("data",)),
    "split": Kind("data/splits/train.split1.bundle", TRAIN, ("data",)),
    "features": Kind(f"data/features/{VIDEO}.npy", TRAIN, ("data",), form="binary"),
    "sidecar": Kind(f"data/features/{VIDEO}.json", TRAIN, ("data",), '{"fps": 15}', "json"),
    "factors": Kind("data/factors.csv", TEXT, ("data",), "class,verb\ninsert bolt,insert\n"),
    "holdout": Kind("h.json", f"{TEXT} data.holdout=h.json", ("data",), '["insert bolt"]', "json"),
    "object names": Kind("data/o.txt", f"{TRAIN} data.objects.file=o.txt", ("data",), "bolt\n" * 8),
    "vectors": Kind("v.npz", f"{TRAIN} model.head=text text.encoder=file:v.npz", ("data",), b"PK", "binary"),
    "run.json": Kind("run/run.json", f"{SEGMENT} run", ("run",), form="json"),
    "config.yaml": Kind("run/config.yaml", f"{SEGMENT} run", ("run",)),
    "vocabulary.json": Kind("run/vocabulary.json", f"{SEGMENT} run", ("run",), form="json"),
    "statistics": Kind("run/features.safetensors", f"{SEGMENT} run", ("run",), form="binary"),
    "weights": Kind("run/model.safetensors", f"{SEGMENT} run", ("run",), form="binary"),
    "calibration": Kind("words/calibration.json", f"{SEGMENT} words", ("words",), form="json"),
    "confidence": Kind("run/confidence.json", f"{SEGMENT} run", ("run",), form="json"),
    "state": Kind("run/last.safetensors", RESUME, ("run",), form="binary"),
    "log": Kind("run/log.jsonl", RESUME, ("run",)),
    "actions": Kind("a.txt", f"{SEGMENT} {{w}}/words --actions-file a.txt", good="insert bolt\n"),
    "input features": Kind("a.npy", "segment a.npy --run {w}/run --out out", good=b"\x93NUMPY", form="binary"),
    "input video": Kind("clip.mp4", "extract clip.mp4 --encoder grid --out out", ("clip.mp4",), form="binary"),
    "eaf": Kind("a.eaf", f"{CONVERT} eaf a.eaf", ("a.eaf",)),
    "boris": Kind("a.boris", f"{CONVERT} boris a.boris", ("a.boris",), form="json"),
    "boris table": Kind("a.tsv", f"{CONVERT} boris a.tsv", good="Observation id\tBehavior\tBehavior type\tTime\n"),
    "via": Kind("a.via.json", f"{CONVERT} via a.via.json", ("a.via.json",), form="json"),
    "label studio": Kind("a.ls.json", f"{CONVERT} label-studio a.ls.json", ("a.ls.json",), form="json"),
    "csv": Kind("a.csv", f"{CONVERT} csv a.csv --unit seconds", ("a.csv",)),
    "epic": Kind("epic.csv", f"{CONVERT} epic epic.csv", ("epic.csv",)),
    "table": Kind("t.csv", f"{CONVERT} table t.csv --time time", good="time,x\n0,1\n0.2,3\n"),
    "database": Kind("a.mdb", "data convert --from lmdb a.mdb --out out", good=b"\0" * 8192, form="binary"),
    "checkpoint": Kind("published.net", PUBLISHED.format("{w}/reference.yaml", "{w}/data/mapping.txt"), ("published.net",), form="binary"),
    "settings": Kind("reference.yaml", PUBLISHED.format("reference.yaml", "{w}/data/mapping.txt"), ("published.net", "reference.yaml")),
}  # fmt: skip


FAULTS: dict[str, dict[str, Content]] = {
    "any": {
        "missing": gone,
        "a folder": folder,
        "a pipe": fifo,
        "an endless device": link("/dev/zero"),
        "a link to itself": lambda path: link(path.name)(path),
        "a link to nothing": link("nothing"),
        "empty": b"",
        "an image": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        "cut in half": bytewise(lambda raw: raw[: len(raw) // 2]),
    },
    "text": {"utf-16": "0 a\n1 b\n".encode("utf-16"), "NUL": b"\0" * 1000, "an escape": "\x1b[31m\n"},
    "json": {
        "latin-1": b'{"a": "\xe9"}',
        "a list": "[[5]]",
        "a number": "5",
        "null": "null",
        "deep": "[" * 100_000,
        "NaN": '{"a": NaN}',
        "a key twice": '{"fps": 5, "fps": 7}',
        "a surrogate": '{"a": "\\ud800"}',
        "digits without end": f'{{"fps": {"9" * 5000}}}',
    },
    "binary": {"text": "no such thing" * 100, "a pickle": b"\x80\x04\x95" + b"\0" * 100, "a zip": b"PK\x03\x04" + b"\0" * 99},
}  # fmt: skip

# What is no file at all is found by one function, and most faults of texts and of JSON by two others, so they are tried with some kinds.
ODD = ("a pipe", "an endless device", "a link to itself", "a link to nothing", "an image")
ODD_KINDS = {"recipe", "features", "weights", "input video"}
ODD_TEXT = ("utf-16", "NUL", "an escape")
ODD_TEXT_KINDS = {"recipe", "labels", "eaf", "csv"}
ODD_JSON = ("latin-1", "deep", "NaN", "a key twice", "a surrogate", "digits without end")
ODD_JSON_KINDS = {"sidecar", "run.json", "boris"}
FEW = ((ODD, ODD_KINDS), (ODD_TEXT, ODD_TEXT_KINDS), (ODD_JSON, ODD_JSON_KINDS))

# Faults that do no harm: what is missing is not needed, or half of it is enough.
GOOD = {
    "recipe/cut in half", "split/cut in half", "actions/cut in half", "sidecar/missing", "factors/missing", "calibration/missing",
    "confidence/missing", "state/missing", "log/missing", "log/empty",
}  # fmt: skip

ELSEWHERE = {  # what is found at another place than its file
    "recipe/empty": "folder",
    "mapping/cut in half": "class 'sc'",
    "database/a folder": "data.mdb",
    **{f"run.json/{fault}": "run" for fault in ("missing", "a folder")},
    "settings/empty": "published.net",
}

LEAVES = {"input video": ("out",), "state": ("run/*",), "log": ("run/*",)}


def _rows() -> Iterator[Row]:
    for name, kind in KINDS.items():
        for fault, content in {**FAULTS["any"], **FAULTS[kind.form]}.items():
            row = f"{name}/{fault}"
            if any(fault in faults and name not in kinds for faults, kinds in FEW):
                continue
            files: dict[str, Content] = {} if kind.good is None else {kind.path: kind.good}
            if kind.good is not None and callable(content) and fault == "cut in half":
                files = {kind.path: kind.good[: len(kind.good) // 2]}  # type: ignore[index]
            else:
                files[kind.path] = content
            code = 0 if row in GOOD else 2
            leaves = ("out*", "run/*", "words/*", "data/*") if code == 0 else LEAVES.get(name, ())
            place = ELSEWHERE.get(row, kind.path.rsplit("/", 1)[-1])
            yield Row(row, kind.command, place, files, kind.copies, code, leaves)


ROWS = tuple(_rows())
