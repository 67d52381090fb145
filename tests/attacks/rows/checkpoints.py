"""Checkpoints of the published code, for `convert` and the published command lines."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..row import Content, Row, cut, fifo, flipped, folder, gone, link, replaced, sparse
from .settings import DIGITS

MADE = "convert published.net --config {w}/reference.yaml --mapping {w}/data/mapping.txt --layout TD --out out"


def saved(change: Callable[[dict[str, Any]], Any]) -> Content:
    """The world's checkpoint with one change, saved by torch; what the change gives back, if anything."""

    def make(path: Path) -> None:
        import torch

        state = torch.load(path, weights_only=True)
        other = change(state)
        torch.save(state if other is None else other, path)

    return make


def trained(state: dict[str, Any]) -> None:
    """Scores of 23 classes that have grown beyond what weights are made with."""
    state["block_list.1.frame_branch.conv_out.weight"][-23:] *= 20


def as_safetensors(change: Callable[[dict[str, Any]], Any]) -> Content:
    def make(path: Path) -> None:
        import torch
        from safetensors.torch import save_file

        state = torch.load(path.with_suffix(".net"), weights_only=True)
        change(state)
        save_file({name: value.contiguous() for name, value in state.items()}, path)

    return make


FIRST = "block_list.0.frame_branch.conv_1x1.weight"


def first(change: Callable[[Any], Any]) -> Content:
    """The first convolution, changed."""
    return saved(lambda state: state.update({FIRST: change(state[FIRST])}))


def _torch() -> Any:
    import torch

    return torch


class Evil:
    """A pickle that would write a file."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch pwned ../pwned",)


def pickled(path: Path) -> None:
    import pickle

    path.write_bytes(pickle.dumps({"a": Evil()}))


def bomb(path: Path) -> None:
    """A zip whose one member unpacks to 2 GB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("archive/data.pkl", "w", force_zip64=True) as member,
    ):
        for _ in range(128):
            member.write(b"\0" * (1 << 20))


def lying(path: Path) -> None:
    """A zip whose directory says 2^40 bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 100)
    raw = path.read_bytes()
    at = raw.rindex(b"PK\x01\x02")
    path.write_bytes(raw[: at + 24] + (0xFFFFFF00).to_bytes(4, "little") + raw[at + 28 :])


CHECKPOINTS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "empty": (b"", ()),
    "text": ("no such thing", ()),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ()),
    "a pickle that runs": (pickled, ()),
    "a pickle inside": (saved(lambda state: {"a": Evil()}), ()),
    "a model": (saved(lambda state: _torch().nn.Linear(2, 2)), ()),
    "a folder": (folder, ("folder",)),
    "a pipe": (fifo, ("pipe",)),
    "an endless device": (link("/dev/zero"), ("device",)),
    "missing": (gone, ("no such file",)),
    "cut off": (cut(-1000), ()),
    "cut to 30 bytes": (cut(30), ()),
    "damaged in its middle": (flipped(600, 400), ()),
    "10 GB": (sparse(10 << 30), ()),
    "a zip bomb": (bomb, ("unpacks",)),
    "a zip that lies": (lying, ()),
    "a list": (saved(lambda state: [1, 2]), ("more than parameters",)),
    "a number": (saved(lambda state: 5), ("more than parameters",)),
    "a tensor": (saved(lambda state: _torch().zeros(3)), ("more than parameters",)),
    "nested": (saved(lambda state: {"model": state}), ("more than parameters",)),
    "deep": (saved(lambda state: _deep(100)), ()),
    "nothing": (saved(lambda state: {}), ("FACT checkpoint",)),
    "keys of numbers": (saved(lambda state: {1: _torch().zeros(3)}), ("names that are texts",)),
    "keys of tuples": (saved(lambda state: {("a", 1): _torch().zeros(3)}), ("names that are texts",)),
    "a key of None": (saved(lambda state: {**state, None: _torch().zeros(3)}), ("names that are texts",)),
    "a key with NUL": (saved(lambda state: {**state, "a\0b": _torch().zeros(3)}), ("1 unexpected",)),
    "a key with an escape": (saved(lambda state: {**state, "\x1b[31m": _torch().zeros(3)}), ("1 unexpected",)),
    "a parameter less": (saved(lambda state: state.__delitem__(FIRST)), ("input convolution",)),
    "another parameter less": (saved(lambda state: state.__delitem__("action_query")), ("1 missing", "action_query")),
    "a parameter more": (saved(lambda state: {**state, "x": _torch().zeros(3)}), ("1 unexpected", "first: x")),
    "a parameter of text": (saved(lambda state: {**state, "x": "y"}), ("more than parameters",)),
    "no dimension": (first(lambda value: _torch().zeros(())), ("input convolution",)),
    "one dimension": (first(lambda value: _torch().zeros(8)), ("input convolution",)),
    "no columns": (first(lambda value: value[:, :0]), ()),
    "sparse": (first(lambda value: value.to_sparse()), ("sparse",)),
    "sparse rows": (saved(lambda state: state.update(action_query=state["action_query"].flatten(1).to_sparse_csr())), ("sparse",)),
    "quantised": (first(lambda value: _torch().quantize_per_tensor(value, 0.1, 0, _torch().qint8)), ("quantised",)),
    "on no device": (first(lambda value: value.to("meta")), ("on no device",)),
    "complex": (first(lambda value: value.to(_torch().complex64)), ("complex",)),
    "whole numbers": (first(lambda value: value.to(_torch().int64)), ("int64",)),
    "NaN": (first(lambda value: value * float("nan")), ("NaN",)),
    "infinity": (first(lambda value: value + float("inf")), ("NaN or an infinity",)),
    "a value stretched to 10^12": (first(lambda value: _torch().zeros(1).expand(1_000_000, 1_000_000)), ("more than the values",)),
    "another width": (first(lambda value: _torch().zeros(8, 9, 1)), ()),
    "another count of classes": (saved(lambda state: _fewer(state)), ("shape",)),
}  # fmt: skip


def _deep(depth: int) -> Any:
    found: Any = {}
    for _ in range(depth):
        found = {"a": found}
    return found


def _fewer(state: dict[str, Any]) -> None:
    """As if it was trained on two classes: the scores of the null class are the last row."""
    for name, value in state.items():
        if value.ndim and value.shape[0] == 40:
            state[name] = value[:19]


SETTINGS: dict[str, tuple[Content, tuple[str, ...]]] = {
    "no keys": ("{}", ("published.net",)),
    "keys of numbers": ("1: 2", ()),
    "sizes of text": (replaced("hid_dim: 40", "hid_dim: wide"), ("model.input.hidden",)),
    "sizes of NaN": (replaced("hid_dim: 40", "hid_dim: .nan"), ("model.input.hidden",)),
    "10^9 hidden units": (replaced("hid_dim: 40", "hid_dim: 1000000000"), ("model.input.hidden",)),
    "10^9 layers": (replaced("a_layers: 1", "a_layers: 1000000000"), ("model.input.action_layers",)),
    "10^9 tokens": (replaced("ntoken: 40", "ntoken: 1000000000"), ("model.tokens",)),
    "blocks of a list": (replaced("block: iu", "block: [i, u]"), ("model.blocks",)),
    "blocks that are none": (replaced("block: iu", "block: xyz"), ("model.blocks",)),
    "other tokens": (replaced("ntoken: 40", "ntoken: 41"), ("shape",)),
    "classes held out that are none": ("holdout_mode: true\nholdout_classes: 5\n", ("holdout_classes",)),
    "a split of a list": ("split: [1]\n", ()),
    "a rate of text": ("lr: fast\n", ()),
}


def _rows() -> Iterator[Row]:
    for what, (content, words) in CHECKPOINTS.items():
        code, leaves = (0, ("out*",)) if what == "another width" else (2, ())
        yield Row(
            f"checkpoint/{what}",
            MADE,
            words if code == 0 else ("published.net", *words),
            {"published.net": content},
            ("published.net",),
            code,
            leaves,
        )
    for what, content in {
        "text": "x" * 1000,
        "a huge header": (1 << 62).to_bytes(8, "little") + b"{}",
        "a pickle": pickled,
        "a pipe": fifo,
    }.items():
        yield Row(
            f"checkpoint of safetensors/{what}",
            MADE.replace(".net", ".safetensors"),
            ("published.safetensors",),
            {"published.safetensors": content},
            ("published.net",),
        )
    yield Row(
        "checkpoint of safetensors/a parameter more",
        MADE.replace(".net", ".safetensors"),
        ("1 unexpected",),
        {"published.safetensors": as_safetensors(lambda state: state.update(x=_torch().zeros(3)))},
        ("published.net",),
    )
    for what, (content, words) in SETTINGS.items():
        yield Row(
            f"checkpoint settings/{what}",
            MADE.replace("{w}/reference", "reference"),
            words,
            {"reference.yaml": content},
            ("reference.yaml", "published.net"),
        )
    mappings = {
        "40 classes": "".join(f"{n} c{n}\n" for n in range(40)),
        "broken": "x\n",
        "a pipe": fifo,
    }
    for what, content in mappings.items():
        yield Row(
            f"checkpoint mapping/{what}",
            MADE.replace("{w}/data/mapping", "mapping"),
            (),
            {"mapping.txt": content},
            ("published.net",),
        )
    for count in (1, 2, 22):
        yield Row(
            f"checkpoint mapping/{count} classes for weights that were trained for 23",
            MADE.replace("{w}/data/mapping", "mapping"),
            ("mapping.txt", f"{count} classes", "at least 23"),
            {
                "mapping.txt": "".join(f"{n} c{n}\n" for n in range(count)),
                "published.net": saved(trained),
            },
            ("published.net",),
        )
    yield Row(
        "checkpoint mapping/no such background",
        [*MADE.split(), "--background", "nobody"],
        ("nobody",),
        copies=("published.net",),
    )
    yield Row("checkpoint/out that is full", MADE, ("out", "not empty"), {"out/x": ""}, ("published.net",))
    yield Row(
        "checkpoint/a full disk", MADE, ("cannot be written",), {}, ("published.net",), leaves=("out*",), disk=2048
    )
    for script in ("run_eval", "eval_holdout"):
        yield Row(
            f"scripts/{script} a pickle that runs",
            f"scripts/{script} --cfg {{w}}/tiny.yaml --ckpt published.net",
            ("published.net",),
            {"published.net": pickled},
        )
        yield Row(
            f"scripts/{script} no checkpoint", f"scripts/{script} --cfg {{w}}/tiny.yaml --ckpt none.net", ("none.net",)
        )
        yield Row(
            f"scripts/{script} no settings",
            f"scripts/{script} --ckpt published.net",
            ("published.net", "--cfg"),
            copies=("published.net",),
        )
    yield Row("scripts/eval nothing trained", "scripts/eval", ("logs",))
    yield Row(
        "scripts/eval_holdout nothing held out",
        "scripts/eval_holdout --ckpt run --output_dir o",
        ("run",),
        copies=("run",),
        leaves=("run/*",),
    )
    yield Row("scripts/train nothing", "scripts/train", ("--cfg",))
    for pair in (
        ("lr",),
        ("lr", ".nan"),
        ("lr", "-1"),
        ("epoch", DIGITS),
        ("epoch", "[" * 3000),
        ("split", "2024-99-99"),
        ("aux.gpu", "x"),
        ("aux.gpu", "1.5"),
        ("nonsense", "1"),
        ("data.root", "a\x1bb"),
        ("train.lr", "1e300"),
        ("", "1"),
    ):
        yield Row(
            f"scripts/train --set {' '.join(pair)[:30]!r}",
            ["scripts/train", "--cfg", "{w}/tiny.yaml", "--set", *pair],
            ("",),
            leaves=(),
        )
    for value in ("0", "-1", "1000000000000", "x", DIGITS):
        yield Row(
            f"scripts/select_holdout_classes {value[:20]}",
            f"scripts/select_holdout_classes --cfg {{w}}/tiny.yaml --number {value}",
            (),
        )
    yield Row(
        "scripts/select_holdout_classes into a folder",
        "scripts/select_holdout_classes --cfg {w}/tiny.yaml --number 2 --output out",
        ("out",),
        {"out/x": ""},
    )
    yield Row("scripts/viz nothing", "scripts/fact_input_emb_logit_viz --logdir none --outdir out", ("none",))
    yield Row(
        "scripts/viz no pictures", "scripts/fact_input_emb_logit_viz --logdir {w}/run --outdir out --videos -1", ()
    )


ROWS = tuple(_rows())
