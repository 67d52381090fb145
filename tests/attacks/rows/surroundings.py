"""Full disks, variables, names of files, words that are no command, and the page."""

from __future__ import annotations

from collections.abc import Iterator

from ..row import Content, Row

TRAIN = "train {w}/tiny.yaml --out out"
SEGMENT = "segment {w}/person1_video1.npy --run {w}/run --out out"

WRITERS: dict[str, tuple[str, tuple[str, ...], int]] = {  # a command, what is copied first, and room that is too small
    "train": (TRAIN, (), 0),
    "train, later": (TRAIN, (), 65536),
    "members": (f"{TRAIN} train.members=2", (), 131_072),
    "resume": ("train run/config.yaml train.epochs=2 --out run --resume", ("run",), 40_000),
    "extract": ("extract {w}/clip.mp4 --encoder grid --out out", (), 0),
    "segment": (f"{SEGMENT} --format csv,json,eaf,boris,srt,vtt,txt", (), 24576),
    "convert": ("convert {w}/published.net --config {w}/reference.yaml --mapping {w}/data/mapping.txt --out out", (), 20480),
    "evaluate": ("evaluate run", ("run",), 24576),
    "labels": ("data convert --from csv {w}/a.csv --unit seconds --fps 4000 --out out", (), 16384),
    "data sample": ("data sample out", (), 65536),
    "data sample assembly": ("data sample out --name assembly", (), 65536),
    "data init": ("data init data --fps 15", ("data",), 0),
}  # fmt: skip

NAMES = ("a\nb", "a\x1b[31mb", "a\udcff\udcfeb", "-a", "混ぜる", "$HOME")
WORDS = (["trian"], ["\x1b[31m"], ["x" * 100_000], ["\udcff\udcfe"], ["data", "check", "/dev/zero"])


def _rows() -> Iterator[Row]:
    for what, (command, copies, room) in WRITERS.items():
        yield Row(f"full disk/{what}", command, copies=copies, leaves=("out*", "run*"), room=room)
    yield Row("full disk/a file that may not grow", TRAIN, disk=40_000, leaves=("out*",))
    for name in NAMES:
        words = ["segment", "--run", "{w}/run", "--out", "out", "--", f"{name}.npy"]
        yield Row(f"name of a file/{name[:20]!r}", words, files={f"{name}.npy": b"x"})
    yield Row("variables/RANK", "evaluate run", "RANK", copies=("run",), environment={"RANK": "x"})
    yield Row("variables/no launcher", TRAIN, environment={"WORLD_SIZE": "2", "RANK": "0"})
    for words in WORDS:
        yield Row(f"words/{' '.join(words)[:20]!r}", words)
    yield Row("words/no value", ["train", "kscgr", "--out", ""], "--out")
    yield Row("words/a tilde", ["train", "kscgr", "--out=~/x"], "--out")
    yield Row("words/out that is a file", "train {w}/tiny.yaml --out a", "a", {"a": "x"})
    yield Row("demo/data of someone else", "demo --out .", "data", {"data/mapping.txt": "0 a\n"})
    yield Row("demo/files of someone else", "demo --out .", "mine.txt", {"mine.txt": "a"})
    app = "app --run {w}/run --port 0"
    yield Row("app/another machine", f"{app} --host 203.0.113.9", "--host")
    yield Row("fresh/a typing error", "trian", fresh=True)
    odd = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"}
    command = ["data", "convert", "--from", "csv", "é.csv", "--unit", "seconds", "--fps", "5", "--out", "out"]
    label: dict[str, Content] = {"é.csv": "start,stop,label\n0,1,é\n"}
    yield Row("fresh/letters that the terminal has not", command, "", label, (), 0, ("out*",), odd, fresh=True)


ROWS = tuple(_rows())
