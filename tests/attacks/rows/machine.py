"""Odd surroundings: variables, terminals, full disks, and words that are no command."""

from __future__ import annotations

from collections.abc import Iterator

from ..row import Row, fifo

DIGITS = "9" * 5000
SEGMENT = "segment {w}/person1_video1.npy --run {w}/run --out out"
EVALUATE = "evaluate run"
TRAIN = "train {w}/tiny.yaml --out out"


def _rows() -> Iterator[Row]:
    for value in ("x", "-1", "1.5", "nan", DIGITS, "²", " 1", "1000000000000"):
        yield Row(f"RANK/{value[:20]}", EVALUATE, ("RANK",), copies=("run",), environment={"RANK": value})
        yield Row(f"WORLD_SIZE/{value[:20]}", TRAIN, ("WORLD_SIZE",), environment={"WORLD_SIZE": value})
    completion = {"_FACT_CLIP_COMPLETE": "complete_bash", "COMP_WORDS": "fact-clip se", "COMP_CWORD": "x"}
    yield Row("COMP_CWORD/no number", "--version", ("COMP_CWORD", "'x'"), environment=completion)
    yield Row("RANK/beyond the world", SEGMENT, ("RANK", "5"), environment={"RANK": "5", "WORLD_SIZE": "2"})
    yield Row("RANK/5 of 1", "extract {w}/clip.mp4 --encoder grid --out out", ("RANK", "5"), environment={"RANK": "5"})
    yield Row("WORLD_SIZE/0", SEGMENT, ("RANK", "WORLD_SIZE"), environment={"WORLD_SIZE": "0"})
    yield Row("WORLD_SIZE/no launcher", TRAIN, ("WORLD_SIZE", "torchrun"), environment={"WORLD_SIZE": "2", "RANK": "0"})
    yield Row(
        "RANK/empty",
        EVALUATE,
        ("frame accuracy",),
        copies=("run",),
        environment={"RANK": "", "WORLD_SIZE": ""},
        code=0,
        leaves=("run/*",),
    )
    yield Row("FACT_CLIP_DATA/nowhere", "data check gtea", ("nowhere",), environment={"FACT_CLIP_DATA": "nowhere"})
    yield Row(
        "FACT_CLIP_DATA/a file", "data check gtea", ("canary.txt",), environment={"FACT_CLIP_DATA": "../canary.txt"}
    )
    yield Row("FACT_CLIP_DATA/an escape", "data check gtea", ("gtea",), environment={"FACT_CLIP_DATA": "\x1b[31m"})
    yield Row("HOME/none", SEGMENT, ("person1_video1",), environment={"HOME": None}, code=0, leaves=("out*",))
    yield Row(
        "TMPDIR/nowhere",
        "segment {w}/clip.mp4 --run {w}/run --encoder grid --out out",
        (),
        environment={"TMPDIR": "/nowhere"},
    )
    for device in ("cuda", "cuda:0", "mps", "cuda:-1", "cpu:x", "meta", "\x1b[31m", DIGITS):
        yield Row(f"device/{device[:20]!r}", ["evaluate", "run", "--device", device], ("device",), copies=("run",))
        yield Row(
            f"train.device/{device[:20]!r}",
            [*TRAIN.split(), f"train.device={device}"],
            ("device",) if device != DIGITS else (),
        )
    for words in (
        ["trian"],
        ["train"],
        ["data"],
        ["data", "chekc"],
        ["segment"],
        ["--loud"],
        ["train", "--loud"],
        ["evaluate", "run", "--split"],
        ["\x1b[31m"],
        ["x" * 100_000],
        ["data", "convert"],
        ["\udcff\udcfe"],
        [""],
        ["train", ""],
        ["train", "kscgr", "--out", ""],
        ["evaluate", ""],
        ["segment", "", "--run", "{w}/run"],
        ["data", "check", ""],
        ["data", "check", "."],
        ["data", "check", "/dev/zero"],
    ):
        yield Row(f"words/{' '.join(words)[:30]!r}", words, ())
    names = {
        "a line break": "a\nb",
        "an escape": "a\x1b[31mb",
        "bytes": "a\udcff\udcfeb",
        "a quote": "a'b\"c",
        "a dash": "-a",
        "blanks": " a ",
        "a tab": "a\tb",
        "a long name": "x" * 200,
        "another script": "混ぜる",
        "right to left": "a\u202eb",
        "a percent": "%s%d{w}",
        "a star": "*",
        "a dollar": "$HOME",
        "a tilde": "~",
        "a colon": "a:b",
    }
    for what, name in names.items():
        if "{w}" in name:
            name = name.replace("{w}", "{x}")
        path = f"{name}.npy"
        words = ["segment", *(["--"] if name.startswith("-") else []), path, "--run", "{w}/run", "--out", "out"]
        if name.startswith("-"):
            words = ["segment", "--run", "{w}/run", "--out", "out", "--", path]
        yield Row(f"names of files/{what}", words, ("not readable as .npy",), {path: b"x"})
        yield Row(
            f"names of recipes/{what}",
            [
                "train",
                *(["--out", "out", "--"] if name.startswith("-") else []),
                f"{name}.yaml",
                *([] if name.startswith("-") else ["--out", "out"]),
            ],
            ("unknown key x",),
            {f"{name}.yaml": "x: 1"},
        )
    yield Row("words/demo into a pipe", "demo --out o", ("o",), {"o": fifo})
    yield Row("full disk/train", f"{TRAIN} --seeds 1", ("cannot be written",), disk=2048, leaves=("out*",))
    yield Row("full disk/train a little later", TRAIN, ("cannot be written",), disk=40_000, leaves=("out*",))
    yield Row(
        "full disk/evaluate", "evaluate run", ("cannot be written",), copies=("run",), disk=600, leaves=("run/*",)
    )
    yield Row("full disk/data sample", "data sample out", (), disk=4096, leaves=("out*",))
    yield Row("full disk/data init", "data init data --fps 15", ("cannot be written",), copies=("data",), disk=400)
    for name, words in {"help": ["--help"], "version": ["--version"], "no word": []}.items():
        yield (
            Row(f"fresh/{name}", words, ("act",), fresh=True, code=0)
            if words
            else Row(f"fresh/{name}", ["data", "--help"], ("act",), fresh=True, code=0)
        )
    yield Row("fresh/a typing error", ["trian"], ("trian",), fresh=True)
    yield Row("fresh/a missing recipe", "train none.yaml --out out", ("none.yaml",), fresh=True)
    yield Row("fresh/no run", "evaluate none", ("none", "run.json"), fresh=True)
    yield Row(
        "fresh/features of nothing", "segment a.npy --run {w}/run --out out", ("a.npy",), {"a.npy": b""}, fresh=True
    )
    yield Row(
        "fresh/a terminal without letters",
        "train {w}/tiny.yaml x.é=1 --out out",
        ("unknown key x",),
        fresh=True,
        environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
    )
    yield Row(
        "fresh/a name that the terminal has not",
        ["data", "convert", "--from", "csv", "é.csv", "--unit", "seconds", "--fps", "5", "--out", "out"],
        ("xe9",),
        {"é.csv": "start,stop,label\n0,1,é\n"},
        fresh=True,
        code=0,
        leaves=("out*",),
        environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"},
    )
    yield Row("fresh/a script", "scripts/train --cfg none.yaml", ("none.yaml",), fresh=True)


ROWS = tuple(_rows())
