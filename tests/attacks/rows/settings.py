"""Numbers nobody meant, and recipes that are no recipes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from fact_clip.config import Config

from ..row import Row, fifo, folder, link, sparse

DIGITS = "9" * 5000
TRAIN = "train {w}/tiny.yaml"


def _numbers(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that takes a number."""
    for name, each in model.model_fields.items():
        kinds = (each.annotation, *get_args(each.annotation))
        nested = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if nested is not None:
            yield from _numbers(nested, f"{prefix}{name}.")
        elif bool not in kinds and (int in kinds or float in kinds) and name != "split":
            yield f"{prefix}{name}", float if float in kinds else int


def _keys() -> Iterator[Row]:
    for key, kind in _numbers():
        bad = {"nan": ".nan", "inf": ".inf", "minus": "-2", "huge": "1000000000000", "digits": DIGITS, "list": "[1, 2]"}
        if kind is float:
            bad |= {"1e300": "1.0e+300"}
        if key == "loss.null_weight":
            bad["minus"] = "-1.5"
        for what, value in bad.items():
            yield Row(f"settings/{key} {what}", [*TRAIN.split(), f"{key}={value}", "--out", "out"], (key,))


RECIPES: dict[str, tuple[Any, tuple[str, ...]]] = {
    # what is in bad.yaml, and the words of the answer
    "text": ("just text", ("bad.yaml", "mapping")),
    "list": ("[1, 2]", ("bad.yaml", "mapping")),
    "number": ("5", ("bad.yaml", "mapping")),
    "tab": ("data:\n\troot: x", ("bad.yaml", "YAML")),
    "open bracket": ("data: {root: [", ("bad.yaml", "YAML")),
    "two documents": ("a: 1\n---\nb: 2", ("bad.yaml", "YAML")),
    "python tag": ("data: !!python/object/apply:os.system ['touch pwned']", ("bad.yaml", "YAML")),
    "python name": ("data: !!python/name:os.system", ("bad.yaml", "YAML")),
    "own tag": ("data: !mine {}", ("bad.yaml", "YAML")),
    "set": ("data: !!set {a, b}", ("bad.yaml",)),
    "binary": ("data: {root: !!binary aGVsbG8=}", ("bad.yaml", "data.root")),
    "bad binary": ("data: {root: !!binary '*'}", ("bad.yaml", "data.root")),
    "date": ("data: {root: 2024-01-01}", ("bad.yaml", "data.root")),
    "impossible date": ("data: {root: 2024-99-99}", ("bad.yaml", "YAML")),
    "bad int tag": ("data: {stride: !!int ''}", ("bad.yaml", "YAML")),
    "bad float tag": ("data: {fps: !!float abc}", ("bad.yaml", "YAML")),
    "bad bool tag": ("data: {interleave: !!bool maybe}", ("bad.yaml", "YAML")),
    "mapping as key": ("? {a: 1}\n: 2", ("bad.yaml", "YAML")),
    "number as key": ("5: {a: 1}", ("bad.yaml", "unknown key 5")),
    "null as key": ("~: {a: 1}", ("bad.yaml", "unknown key")),
    "number as inner key": ("data: {5: 1}", ("bad.yaml", "data.5")),
    "group as value": ("data: 5", ("bad.yaml", "data")),
    "group as text": ("train: fast", ("bad.yaml", "train")),
    "group as list": ("model: [a]", ("bad.yaml", "model")),
    "group as null": ("model: {input: }\ndata: ", ("bad.yaml", "model.input")),
    "text as list of names": ("data: {background: idle}", ("bad.yaml", "data.background")),
    "numbers as names": ("data: {unlabelled: [1, 2]}", ("bad.yaml", "data.unlabelled")),
    "NUL in a path": ('data: {root: "a\\0b"}', ("bad.yaml", "data.root")),
    "line break in a path": ('data: {root: "a\\nb"}', ("bad.yaml", "data.root")),
    "escape in a path": ('data: {root: "a\\x1b[31mb"}', ("bad.yaml", "data.root")),
    "surrogate in a path": ('data: {root: "a\\uD800b"}', ("bad.yaml",)),
    "NUL in a split": ('data: {root: "{w}/data", split: "a\\0b"}', ("bad.yaml", "data.split")),
    "NUL in a holdout": ('data: {root: "{w}/data", holdout: "a\\0b"}', ("bad.yaml", "data.holdout")),
    "NUL in the file of objects": ('data: {root: "{w}/data", objects: {file: "a\\0b"}}', ("bad.yaml", "data.objects.file")),
    "NUL in an encoder": ('model: {head: text}\ntext: {encoder: "file:a\\0b"}', ("bad.yaml", "text.encoder")),
    "NUL in a base": ('base: "a\\0b"', ("bad.yaml", "base")),
    "NUL in a name of a base file": ('base: "a\\0b.yaml"', ("bad.yaml", "base")),
    "NUL in a key": ('"a\\0b": 1', ("bad.yaml", "unknown key")),
    "root as number": ("data: {root: 5}", ("bad.yaml", "data.root")),
    "base as list": ("base: [a, b]", ("bad.yaml", "base")),
    "base as number": ("base: 5", ("bad.yaml", "base")),
    "base is itself": ("base: bad.yaml", ("bad.yaml", "circle")),
    "base is missing": ("base: none.yaml", ("none.yaml", "no such file")),
    "base is no recipe": ("base: kscg", ("kscg", "did you mean 'kscgr'")),
    "base above": ("base: ../canary.txt", ("canary.txt", "no such recipe")),
    "split as list": ("data: {split: [1]}", ("bad.yaml", "data.split")),
    "split as path": ("data: {root: '{w}/data', name: workbench, split: ../../x}", ("split",)),
    "long key": ("x" * 100_000 + ": 1", ("bad.yaml",)),
    "long value": ("data: {root: " + "x" * 100_000 + "}", ("xxx",)),
    "latin-1": ("data: {root: caf\xe9}".encode("latin-1"), ("bad.yaml", "UTF-8")),
    "utf-16": ("data: {}".encode("utf-16"), ("bad.yaml", "UTF-8")),
    "NUL bytes": (b"\0" * 100, ("bad.yaml",)),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ("bad.yaml", "UTF-8")),
    "deep lists": ("data: " + "[" * 5000 + "]" * 5000, ("bad.yaml", "nested")),
    "deep mappings": ("data: " + "{a: " * 5000 + "1" + "}" * 5000, ("bad.yaml", "nested")),
    "deep blocks": ("\n".join(" " * depth + "a:" for depth in range(1000)), ("bad.yaml", "nested")),
    "a hundred million laughs": (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
        ("bad.yaml", "aliases"),
    ),
    "laughs in names": (
        "data:\n  background:\n    - &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"    - &{chr(97 + n)} [{', '.join([f'*{chr(96 + n)}'] * 10)}]\n" for n in range(1, 9)),
        ("bad.yaml", "aliases"),
    ),
    "an alias of itself": ("data: &a {b: *a}", ("bad.yaml",)),
    "a list in itself": ("data: &a [*a]", ("bad.yaml",)),
    "merge of laughs": ("a: &a {x: 1}\nb: &b {<<: [*a, *a, *a]}\nc: {<<: *b}", ("bad.yaml", "unknown key a")),
    "5000 digits": (f"data: {{stride: {DIGITS}}}", ("bad.yaml",)),
    "5000 digits of hexadecimal": (f"data: {{stride: 0x{DIGITS}}}", ("bad.yaml", "an integer of")),
    "5000 digits of a time": (f"data: {{stride: 1:{'59:' * 3000}30}}", ("bad.yaml", "an integer of")),
    "5000 digits as key": (f"{DIGITS}: 1", ("bad.yaml",)),
    "a key twice": ("train: {epochs: 0}\ntrain: {epochs: -1}", ("bad.yaml", "'train' twice")),
    "unknown key": ("data: {rot: x}", ("bad.yaml", "data.rot", "data.root")),
    "many blocks": (f"model: {{blocks: i{'u' * 100_000}}}", ("bad.yaml", "model.blocks")),
    "blocks as list": ("model: {blocks: [i, u]}", ("bad.yaml", "model.blocks")),
    "blocks as number": ("model: {blocks: 5}", ("bad.yaml", "model.blocks")),
    "many windows": (f"data: {{context: {list(range(1, 2000))}}}", ("bad.yaml", "data.context")),
    "windows of 10^9": ("data: {context: [1000000000]}", ("bad.yaml", "data.context")),
    "nan window": ("data: {context: [.nan]}", ("bad.yaml", "data.context")),
    "many swaps": (f"augment: {{swap: {[0.5] * 5000}}}", ("bad.yaml", "augment.swap")),
    "swap of nan": ("augment: {swap: .nan}", ("bad.yaml", "augment.swap")),
    "swap of text": ("augment: {swap: often}", ("bad.yaml", "augment.swap")),
    "no swap": ("augment: {swap: []}", ("bad.yaml", "augment.swap")),
    "object blocks of 10^9": ("data: {objects: {file: x, blocks: [1000000000]}}", ("bad.yaml", "data.objects.blocks")),
    "groups pattern that never ends": ("data: {root: '{w}/data', name: workbench, groups: '((a+)+)+$'}", ("data.groups",)),
    "groups pattern of a bracket": ("data: {root: '{w}/data', name: workbench, groups: '('}", ("data.groups",)),
    "groups pattern without parentheses": ("data: {root: '{w}/data', name: workbench, groups: 'x'}", ("data.groups",)),
    "grammar of brackets": ("data: {root: '{w}/data', grammar: '" + "[" * 3000 + "{a}" + "]" * 3000 + "'}", ("data.grammar",)),
    "grammar that multiplies": (
        "data: {root: '{w}/data', grammar: '" + "".join(f"[{{a{n}}} ]" for n in range(40)) + "{b}'}",
        ("data.grammar",),
    ),
    "grammar of 2000 slots": ("data: {root: '{w}/data', grammar: '" + " x ".join(f"{{a{n}}}" for n in range(2000)) + "'}", ("data.grammar",)),
    "grammar with no slot": ("data: {root: '{w}/data', grammar: 'x'}", ("data.grammar",)),
    "holdout of everything": ("data: {root: '{w}/data', name: workbench, holdout: [0, 1]}", ("holdout", "background")),
    "holdout number": ("data: {root: '{w}/data', name: workbench, holdout: [99]}", ("data.holdout", "99")),
    "holdout of 5000 digits": (f"data: {{root: '{{w}}/data', holdout: [{DIGITS}]}}", ("bad.yaml",)),
    "holdout twice": ("data: {root: '{w}/data', name: workbench, holdout: [insert bolt, insert bolt]}", ("holdout", "insert bolt")),
    "holdout of lists": ("data: {root: '{w}/data', holdout: [[1], [2]]}", ("bad.yaml", "data.holdout")),
    "validation part that is not there": ("data: {root: '{w}/data', name: workbench, validation_part: 7}", ("data.validation_part", "7")),
    "background that is no class": ("data: {root: '{w}/data', background: [nobody]}", ("nobody", "mapping.txt")),
    "encoder that is none": ("data: {root: '{w}/data', name: workbench}\nmodel: {head: text}\ntext: {encoder: 'gpt:5'}", ("text encoder", "gpt:5")),
    "hash encoder of 10^12": ("data: {root: '{w}/data', name: workbench}\nmodel: {head: text}\ntext: {encoder: 'hash:1000000000000'}", ("hash:1000000000000",)),
    "hash encoder of nothing": ("data: {root: '{w}/data', name: workbench}\nmodel: {head: text}\ntext: {encoder: 'hash:0'}", ("hash:0",)),
    "hash encoder of 5000 digits": (f"data: {{root: '{{w}}/data', name: workbench}}\nmodel: {{head: text}}\ntext: {{encoder: 'hash:{DIGITS}'}}", ("hash:",)),
    "vectors that are missing": ("data: {root: '{w}/data', name: workbench}\nmodel: {head: text}\ntext: {encoder: 'file:none.npz'}", ("none.npz",)),
    "templates that are none": ("data: {root: '{w}/data', name: workbench}\nmodel: {head: text}\ntext: {encoder: 'hash:16', templates: x}", ("templates", "'x'")),
    "head that is none": ("data: {root: '{w}/data', name: workbench}\nmodel: {head: x}", ("model.head", "'x'")),
    "profile that is none": ("data: {root: '{w}/data', name: workbench}\nevaluation: {profile: x}", ("profile", "'x'")),
    "logger that is none": ("data: {root: '{w}/data', name: workbench}\ntrain: {loggers: [x]}", ("train.loggers", "'x'")),
    "device that is none": ("data: {root: '{w}/data', name: workbench}\ntrain: {device: tpu}", ("train.device", "tpu")),
    "device with a number": ("data: {root: '{w}/data', name: workbench}\ntrain: {device: 'cuda:99999999999999999999'}", ("train.device",)),
    "device of NUL": ('train: {device: "c\\0pu"}', ("train.device",)),
    "heads that do not divide": ("base: {w}/tiny.yaml\nmodel: {input: {heads: 3}}", ("model", "divisible")),
    "groups that do not divide": ("base: {w}/tiny.yaml\nmodel: {input: {frame_groups: 3}}", ("model",)),
    "more parameters than memory": ("base: {w}/tiny.yaml\nmodel: {input: {hidden: 60000, frame_dim: 60000}}", ("model", "parameters")),
    "hidden too small": ("base: {w}/tiny.yaml\nmodel: {input: {hidden: 16}}", ("model.input.hidden",)),
    "tokens too few": ("base: {w}/tiny.yaml\nmodel: {tokens: 4}", ("model.tokens",)),
    "no tokens": ("base: {w}/tiny.yaml\nmodel: {tokens: 0}", ("model.tokens",)),
    "batch of nothing": ("base: {w}/tiny.yaml\ntrain: {batch_size: 0}", ("train.batch_size",)),
    "fps of no": ("base: {w}/tiny.yaml\ndata: {fps: no}", ("data.fps",)),
    "fps of yes": ("base: {w}/tiny.yaml\ndata: {fps: yes}", ("data.fps",)),
    "seed of yes": ("base: {w}/tiny.yaml\ntrain: {seed: yes}", ("train.seed",)),
    "epochs of 1.5": ("base: {w}/tiny.yaml\ntrain: {epochs: 1.5}", ("train.epochs",)),
}  # fmt: skip


def _recipes() -> Iterator[Row]:
    for what, (content, words) in RECIPES.items():
        yield Row(f"recipe/{what}", "train bad.yaml --out out", words, {"bad.yaml": content})


def _as_other_commands() -> Iterator[Row]:
    for command in ("data check bad.yaml", "data summary bad.yaml", "data holdout bad.yaml"):
        for what in ("python tag", "deep lists", "a hundred million laughs", "5000 digits", "latin-1", "NUL in a path"):
            content, words = RECIPES[what]
            yield Row(f"{command.removesuffix(' bad.yaml')}/{what}", command, words, {"bad.yaml": content})
    for what in ("python tag", "deep lists", "a hundred million laughs", "5000 digits", "latin-1", "impossible date"):
        content, words = RECIPES[what]
        files = {"bad.yaml": content}
        yield Row(f"scripts/train {what}", "scripts/train --cfg bad.yaml", words, files)
        yield Row(f"convert recipe/{what}", "convert {w}/published.net --config bad.yaml --mapping {w}/data/mapping.txt --out out", words, files)  # fmt: skip


OVERRIDES: dict[str, tuple[str, tuple[str, ...]]] = {
    "no equals sign": ("epochs", ("no '='",)),
    "no key": ("=5", ("=5",)),
    "dots alone": ("...=5", ("...",)),
    "a dot at the end": ("data.=5", ("data.",)),
    "a group": ("data=5", ("data",)),
    "a value as group": ("data.root.x=5", ("data.root",)),
    "deep key": (".".join(["data"] * 3000) + "=5", ("data",)),
    "deep value": ("data.background=" + "[" * 3000 + "]" * 3000, ("nested",)),
    "laughs": ("data.background=[" + "&a0 [x, x, x, x, x, x, x, x, x, x], " + ", ".join(f"&a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)) + "]", ("aliases",)),
    "python tag": ("data.root=!!python/object/apply:os.system [touch pwned]", ("YAML",)),
    "impossible date": ("data.root=2024-99-99", ("YAML",)),
    "an open bracket": ("data.background=[a", ("YAML",)),
    "a colon": ("data.root=a: b: c", ("YAML",)),
    "line break": ("train.epochs=1\n2", ("train.epochs",)),
    "escape": ("train.epochs=\x1b[31m", ("train.epochs",)),
    "bytes that are no text": ("train.epochs=\udcff", ("train.epochs",)),
    "bytes that are no text in a path": ("data.root=\udcff", ("data.root",)),
    "an unknown key": ("train.epoch=5", ("did you mean train.epochs",)),
}  # fmt: skip


def _overrides() -> Iterator[Row]:
    for what, (text, words) in OVERRIDES.items():
        yield Row(f"override/{what}", [*TRAIN.split(), text, "--out", "out"], words)
    for what in ("no key", "dots alone", "deep value", "laughs", "impossible date", "escape", "bytes that are no text"):
        text, words = OVERRIDES[what]
        yield Row(f"evaluate override/{what}", ["evaluate", "{w}/run", text], words)


SWEEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "no value": ("train.seed=", ("--sweep",)),
    "no key": ("=1,2", ("KEY=VALUE",)),
    "twice": ("train.seed=1,1", ("--sweep",)),
    "an unknown key": ("train.sed=1,2", ("train.sed",)),
    "impossible date": ("data.root=2024-99-99,x", ("--sweep",)),
    "deep": ("data.root=" + "[" * 3000 + "]" * 3000, ("--sweep",)),
    "5000 digits": (f"train.seed={DIGITS},1", ("--sweep",)),
    "nan": ("train.lr=.nan,1", ("train.lr",)),
    "a path": ("data.name=../../x,y", ("data.name",)),
}


def _sweeps() -> Iterator[Row]:
    for what, (text, words) in SWEEPS.items():
        yield Row(f"sweep/{what}", [*TRAIN.split(), "--sweep", text, "--out", "out"], words)
    for what, text in {"text": "a,b", "minus": "-1", "digits": DIGITS, "twice": "1,1", "empty": "", "wide": "¹,²", "many": ",".join(map(str, range(100000)))}.items():  # fmt: skip
        yield Row(f"seeds/{what}", [*TRAIN.split(), "--seeds", text, "--out", "out"], ("--seeds",))


PLACES = (
    Row("recipe place/folder", "train bad.yaml --out out", ("bad.yaml", "folder"), {"bad.yaml": folder}),
    Row("recipe place/pipe", "train bad.yaml --out out", ("bad.yaml", "no regular file"), {"bad.yaml": fifo}),
    Row("recipe place/device", "train bad.yaml --out out", ("bad.yaml", "no regular file"), {"bad.yaml": link("/dev/zero")}),
    Row("recipe place/link to itself", "train bad.yaml --out out", ("bad.yaml",), {"bad.yaml": link("bad.yaml")}),
    Row("recipe place/huge", "train bad.yaml --out out", ("bad.yaml", "bytes"), {"bad.yaml": sparse(10 << 30, b"a: 1\n")}),
    Row("recipe place/missing", "train bad.yaml --out out", ("bad.yaml", "no such file")),
    Row("recipe place/long name", ["train", "x" * 300 + ".yaml", "--out", "out"], ("xxx.yaml",)),
    Row("recipe place/long recipe", ["train", "x" * 300, "--out", "out"], ("no such recipe",)),
    Row("recipe place/long path", ["train", "x/" * 3000 + "a.yaml", "--out", "out"], ("a.yaml",)),
    Row("recipe place/a neighbour of laughs", "train good.yaml --out out", ("bad.yaml", "aliases"), {"good.yaml": "base: bad.yaml", "bad.yaml": RECIPES["a hundred million laughs"][0]}),
    Row("recipe place/a neighbour of latin-1", "train good.yaml --out out", ("bad.yaml", "UTF-8"), {"good.yaml": "base: bad.yaml", "bad.yaml": b"a: \xe9"}),
    Row("recipe place/bases in a circle", "train a.yaml --out out", ("circle",), {"a.yaml": "base: b.yaml", "b.yaml": "base: a.yaml"}),
    Row("recipe place/many bases", "train a0.yaml --out out", ("a",), {f"a{n}.yaml": f"base: a{n + 1}.yaml" for n in range(600)}),
)  # fmt: skip

ROWS = (*_keys(), *_recipes(), *_as_other_commands(), *_overrides(), *_sweeps(), *PLACES)
