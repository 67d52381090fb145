"""Reports, and the command that opens the page."""

from __future__ import annotations

from collections.abc import Iterator

from ..row import Content, Row, cut, fifo, flipped, folder, link
from .checkpoints import bomb
from .settings import DIGITS


def _rows() -> Iterator[Row]:
    yield Row("report/no run", "report none", ("none", "run.json"))
    yield Row("report/a file", "report f", ("f",), {"f": ""})
    yield Row("report/an empty folder", "report f", ("f",), {"f/x": ""})
    yield Row("report/a device that is none", "report run --device tpu", ("tpu",), copies=("run",))
    yield Row("report/a run twice", "report run run --out o.html", ("run", "twice"), copies=("run",))
    yield Row("report/no split of it", "report run --split nothing", ("'nothing'",), copies=("run",))
    yield Row("report/out is a folder", "report run --out o", ("o",), {"o/x": ""}, ("run",), leaves=("run/*",))
    yield Row(
        "report/out is a pipe", "report run --out o.html", ("o", "pipe"), {"o.html": fifo}, ("run",), leaves=("run/*",)
    )
    damaged: dict[str, Content] = {
        "empty": b"",
        "text": "x",
        "a bomb": bomb,
        "a folder": folder,
        "endless": link("/dev/zero"),
    }
    for what, content in damaged.items():
        yield Row(
            f"report evaluation/{what}",
            "report run",
            (),
            {"run/evaluation.npz": content, "run/evaluation.json": "{}"},
            ("run",),
            leaves=("run/*",),
        )
    yield Row(
        "report/weights that are cut off",
        "report run",
        ("model.safetensors",),
        {"run/model.safetensors": cut(-100)},
        ("run",),
        leaves=("run/*",),
    )
    yield Row(
        "report/a damaged header",
        "report run",
        ("model.safetensors",),
        {"run/model.safetensors": flipped(10, 20)},
        ("run",),
        leaves=("run/*",),
    )
    yield Row("app/neither", "app", ("--run",))
    yield Row("app/no run", "app --run none", ("none", "run.json"))
    yield Row("app/both", "app --run {w}/run --training-free", ("--run",))
    for option, values in {
        "--port": ("-1", "70000", "x", DIGITS),
        "--max-megabytes": ("0", "-1", "x"),
        "--max-minutes": ("0", "-1", "x"),
        "--fps": ("0", "-1", "nan", "inf", "1e300"),
        "--window": ("0", "-1", "nan"),
        "--device": ("tpu", ""),
    }.items():
        for value in values:
            yield Row(
                f"app {option}/{value[:20] or 'empty'}", ["app", "--run", "{w}/run", option, value], (), leaves=()
            )


ROWS = tuple(_rows())
