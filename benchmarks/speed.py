"""How fast fact_clip is beside plain.py, an older checkout, one process, and the machine's own matrix products.

python benchmarks/speed.py [--quick] [--only inference step ...] [--against CHECKOUT] [--threads 1]

Same weights and same made-up inputs on both sides, runs in turns, medians. A whole run takes about eight minutes on two
idle cores and writes results.md; --quick looks at short videos once, for use beside other work, and writes nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import startup
import torch
from made_up import SHAPES, WIDTH, Shape, folder, plant, video, write
from plain import PlainFACT, PlainLoss, PlainTraining, decode
from torch import Tensor
from torch.utils import flop_counter
from torch.utils.flop_counter import FlopCounterMode

from fact_clip import decoding
from fact_clip.config import Config
from fact_clip.datasets.kscgr import write_kscgr
from fact_clip.devices.device import cpu_has_bf16
from fact_clip.devices.processes import Processes
from fact_clip.models import FACT, Classes
from fact_clip.training import trainer
from fact_clip.training.description import begin
from fact_clip.training.plan import resolve

ROOT = Path(__file__).resolve().parents[1]
# Times faster than the other side, at least.
INFERENCE = {"Breakfast": 1.8, "HA-ViD": 1.5, "GTEA": 1.8}
BF16 = {"Breakfast": 2.8, "HA-ViD": 2.2, "GTEA": 2.2}  # beside plain in float32
STEP = {"Breakfast": 1.5, "HA-ViD": 1.4, "GTEA": 2.0}
EPOCH = 1.4
PROCESSES = 1.7
PAIRS = 3  # runs of one process and of two, in turns
# Share of the machine's rate of float32 matrix products that inference reaches, at least.
SHARE = {"Breakfast": 0.8, "HA-ViD": 0.7, "GTEA": 0.6}
# Memory of a step beside that of plain, at most.
MEMORY = 0.8
# Exponent of time and of memory in the number of frames, at most.
GROWTH = 1.05
AGREE = 1e-4  # relative difference of outputs, at most

# Products whose best rate counts as the machine's: (M, K) @ (K, N), of the sizes that the convolutions have.
PRODUCTS = ((2048, 512, 512), (1024, 1024, 1024), (2048, 2560, 512))
FRAMES = {
    "GTEA": (1000, 2000, 4000, 8000, 16000, 32000, 64000),
    "Breakfast": (1000, 4000, 16000, 64000),
}
PLANTED = True  # --random: weights as they are drawn (made_up.py says what that changes)
ROOMY = 12e9  # bytes free, to train Breakfast with the recipe's batch of 4


@dataclass(frozen=True)
class Row:
    """A measured figure; ``target`` is a least value, or a largest one with ``at_most``; None: no target."""

    what: str
    ours: str
    other: str
    value: float
    target: float | None = None
    at_most: bool = False
    spread: str = ""

    @property
    def missed(self) -> bool:
        """Whether there is a target and it is not reached."""
        return self.target is not None and (
            self.value > self.target if self.at_most else self.value < self.target
        )

    def cells(self) -> list[str]:
        """What a table shows."""
        sign, told = "≤" if self.at_most else "≥", "missed" if self.missed else "met"
        target = ["", ""] if self.target is None else [f"{sign} {self.target:g}", told]
        return [self.what, self.ours, self.other, f"{self.value:.2f}", self.spread, *target]


HEADER = ["what", "ours", "against", "figure", "lowest to highest", "target", ""]


def clock() -> float:
    """Seconds; of this process's own work with --threads 1, which other work on the machine hardly changes."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def alternate(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int,
    wait: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each call, in turns, after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            wait()
            start = now()
            call()
            wait()
            if number:
                times[name].append(now() - start)
    return times


def ratio(
    what: str, ours: Sequence[float], other: Sequence[float], target: float | None, unit: str = "s"
) -> Row:
    """Their median over ours, with the lowest and highest ratio of a pair."""
    pairs = [b / a for a, b in zip(ours, other, strict=True)]
    mine, theirs = statistics.median(ours), statistics.median(other)
    figures = f"{mine:.3g} {unit}", f"{theirs:.3g} {unit}"
    return Row(
        what, *figures, theirs / mine, target, spread=f"{min(pairs):.2f} to {max(pairs):.2f}"
    )


def waiter(device: torch.device) -> Callable[[], None]:
    """What waits for the device to be done."""
    return (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)


# --- inference ----------------------------------------------------------------------------------------


def both_models(shape: Shape, config: Config) -> tuple[FACT, PlainFACT]:
    """Ours and the plain one with the same planted weights, in evaluation mode."""
    torch.manual_seed(0)
    ours = FACT(
        config.model, WIDTH, Classes(shape.classes), frame_weight=config.decode.frame_weight
    ).eval()
    if PLANTED:
        plant(ours, shape)
    plain = PlainFACT(config.model, WIDTH, shape.classes).eval()
    plain.load_state_dict(ours.state_dict())
    return ours.requires_grad_(False), plain.requires_grad_(False)


def check(name: str, ours: FACT, plain: PlainFACT, features: Tensor, frame_weight: float) -> None:
    """Stop where the two do not agree in float32."""
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    with torch.no_grad():
        output, results = ours(features.unsqueeze(0)), plain(features)
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = convolutions
    expected = results[-1].frame_logits
    error = float((output.blocks[-1].frame_logits[0] - expected).abs().max() / expected.abs().max())
    differ = int((decoding.best_classes(output)[0] != decode(results, frame_weight)).sum())
    if error > AGREE or differ:
        raise SystemExit(
            f"{name}: outputs differ by {error:.1e} (at most {AGREE}), labels in {differ} frames"
        )


def counter() -> FlopCounterMode:
    """Counts the FLOP of matrix products and convolutions, those included that torch's own list lacks."""
    aten = torch.ops.aten
    missing = {
        aten.baddbmm_: lambda _, a, b, *rest, **more: flop_counter.bmm_flop(a, b),
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *rest, **more: (
            flop_counter.sdpa_flop(q, k, v)
        ),
    }
    known = flop_counter.flop_registry
    return FlopCounterMode(
        display=False, custom_mapping={op: own for op, own in missing.items() if op not in known}
    )


class Products:
    """Products of matrices, whose best rate counts as the machine's."""

    def __init__(self, device: torch.device) -> None:
        self.repeats = 200 if device.type == "cuda" else 5
        self.factors = {
            size: (torch.randn(size[:2], device=device), torch.randn(size[1:], device=device))
            for size in PRODUCTS
        }

    def run(self, size: tuple[int, int, int]) -> None:
        """Multiply matrices of a size, several times."""
        for _ in range(self.repeats):
            torch.mm(*self.factors[size])

    def rate(self, times: Mapping[Any, Sequence[float]]) -> float:
        """Operations a second, of the seconds of each size."""
        flops = 2 * self.repeats
        return max(flops * np.prod(size) / statistics.median(times[size]) for size in PRODUCTS)

    def share(self, what: str, flops: int, ours: Sequence[float], times: Any, target: Any) -> Row:
        """The share of their rate that a work of `flops` reaches, which took `ours` seconds."""
        rate = self.rate(times)
        shares = sorted(flops / seconds / rate for seconds in ours)
        speed = flops / statistics.median(ours)
        return Row(
            f"share of the matrix-product rate, {what}",
            f"{flops / 1e9:.0f} GFLOP at {speed / 1e9:.0f} GFLOP/s",
            f"{rate / 1e9:.0f} GFLOP/s",
            statistics.median(shares),
            target,
            spread=f"{shares[0]:.2f} to {shares[-1]:.2f}",
        )


def inference(
    name: str,
    shape: Shape,
    rounds: int,
    device: torch.device,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    wrap: Callable[[FACT], Callable[[Tensor], Any]] = lambda model: model,
) -> list[Row]:
    """From features to labels, one video, no gradients; `around` sets a precision, `wrap` may compile ours."""
    config = shape.config()
    ours, plain = (model.to(device) for model in both_models(shape, config))
    weight, features = config.decode.frame_weight, video(shape, shape.frames)[0].to(device)
    check(name, ours, plain, features, weight)
    model, batch = wrap(ours), features.unsqueeze(0)
    with torch.no_grad(), counter() as counted:
        segments = [
            int(b.segments.mask.sum()) for b in ours(batch).blocks if b.segments is not None
        ]
    with torch.no_grad(), counter() as plain_counted:
        plain(features)
    flops, plain_flops = counted.get_total_flops(), plain_counted.get_total_flops()
    products = Products(device)
    calls: dict[Any, Callable[[], Any]] = {
        "ours": lambda: decoding.best_classes(model(batch)).cpu(),
        "plain": lambda: decode(plain(features), weight).cpu(),
    }
    for size in PRODUCTS:
        calls[size] = partial(products.run, size)
    has_bf16 = device.type == "cpu" and cpu_has_bf16()
    if has_bf16:

        def in_bf16() -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = model(batch)
            return decoding.best_classes(output)

        calls["bf16"] = in_bf16
    with torch.no_grad(), around():
        times = alternate(calls, rounds, waiter(device), clock)
    what = f"inference, {name}, T = {shape.frames:,}"
    cut = f", {max(segments)} segments" if segments else ""
    return [
        ratio(what + cut, times["ours"], times["plain"], INFERENCE[name]),
        *([ratio(f"{what}, bf16", times["bf16"], times["plain"], BF16[name])] if has_bf16 else []),
        Row(
            f"FLOP of it, {name}",
            f"{flops / 1e9:.0f} G",
            f"{plain_flops / 1e9:.0f} G",
            plain_flops / flops,
        ),
        products.share(name, flops, times["ours"], times, SHARE[name]),
    ]


# --- a training step ----------------------------------------------------------------------------------


def step(
    name: str,
    shape: Shape,
    rounds: int,
    device: torch.device,
    *overrides: str,
    around: Callable[[], AbstractContextManager[Any]] | None = None,
) -> list[Row]:
    """Forward, loss, backward and optimiser, by the training that everybody uses; plain steps take turns with it.

    The videos of a batch are one padded batch for ours, and one after the other for plain. `around` sets the precision
    of plain where `overrides` set that of ours to another one than float32.
    """
    times: dict[Any, list[float]] = {name: [] for name in ("ours", "plain", *PRODUCTS)}
    flops: list[int] = []
    products = Products(device)
    wait = waiter(device)

    class Timed(trainer.Trainer):
        def __init__(self, *parts: Any, **options: Any) -> None:
            super().__init__(*parts, **options)
            self.plain = twin_of(self, shape)

        def _step(self, batch: Any, truth: Any) -> Any:
            wait()
            start = clock()
            with nullcontext() if flops else counter() as counted:  # the first step is not timed
                answer = super()._step(batch, truth)
            wait()
            times["ours"].append(clock() - start)
            if counted is not None:
                flops.append(counted.get_total_flops())
            for size in PRODUCTS:
                start = clock()
                products.run(size)
                wait()
                times[size].append(clock() - start)
            wait()
            start = clock()
            with (around or nullcontext)():
                row = self.plain.step(videos_of(batch))
            wait()
            times["plain"].append(clock() - start)
            # Once: afterwards rounding moves the weights apart.
            exact = around is None and torch.get_float32_matmul_precision() == "highest"
            exact = exact and not self.files.config.model.input.dropout
            if (
                exact
                and len(times["plain"]) == 1
                and abs(answer["total"] / row["total"] - 1) > AGREE
            ):
                raise SystemExit(
                    f"{name}: the loss is {float(answer['total'])}, that of plain.py {row['total']}"
                )
            return answer

    train_by(Timed, shape, rounds + 1, f"train.device={device}", *overrides)
    what = f"training step, {name}, T = {shape.frames:,}, batch of {shape.batch}"
    ours = times["ours"][1:]
    return [
        ratio(what, ours, times["plain"][1:], STEP[name]),
        products.share(f"training step, {name}", flops[0], ours, times, None),
    ]


def twin_of(training: trainer.Trainer, shape: Shape) -> PlainTraining:
    """The same training by plain.py, with the same weights."""
    if PLANTED:
        plant(training.model, shape)
    config = training.files.config
    twin = PlainFACT(config.model, WIDTH, shape.classes).to(training.device)
    twin.load_state_dict(training.model.state_dict())
    length = training.parallel.criterion.mean_transcript_length
    loss = PlainLoss(config.loss, shape.classes, config.model.tokens, (0,), length)
    return PlainTraining(twin.train(), loss, config.train)


def videos_of(batch: Any) -> list[tuple[Tensor, Tensor]]:
    """The videos of a batch without what pads them."""
    return [(x[m], y[m]) for x, y, m in zip(batch.features, batch.labels, batch.mask, strict=True)]


def train_by(kind: type[trainer.Trainer], shape: Shape, steps: int, *overrides: str) -> None:
    """An epoch of so many steps by another class of trainer."""
    kept = trainer.Trainer
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        write(root / "data", shape, shape.batch * steps)
        fixed = [*folder(root / "data"), "train.epochs=1", f"train.batch_size={shape.batch}"]
        plan = resolve(shape.config(*fixed, *overrides))
        processes = Processes(plan.device)
        run, parts = begin(plan, root / "run", processes)
        trainer.Trainer = kind  # type: ignore[misc]
        try:
            trainer.Trainer(run, plan.dataset, parts, processes).run_all()
        finally:
            trainer.Trainer = kept  # type: ignore[misc]


def memory(name: str, shape: Shape) -> list[Row]:
    """Peak memory of a step and of a pass, of one video, beside plain; what weights and moments take does not count."""
    peaks: dict[str, list[float]] = {}

    def noted(key: str, call: Callable[[], Any]) -> Any:
        forget_peak()
        before = peak()
        result = call()
        peaks.setdefault(key, []).append(peak() - before)
        return result

    class Measured(trainer.Trainer):
        def __init__(self, *parts: Any, **options: Any) -> None:
            super().__init__(*parts, **options)
            self.plain = twin_of(self, shape)

        def _step(self, batch: Any, truth: Any) -> Any:
            for optimizer in (self.optimizer, self.plain.optimizer):
                optimizer.zero_grad(set_to_none=True)
            terms = noted("ours step", lambda: super(Measured, self)._step(batch, truth))
            noted("plain step", lambda: self.plain.step(videos_of(batch)))
            with torch.no_grad():
                noted("ours pass", lambda: self.model.eval()(batch.features))
                noted("plain pass", lambda: self.plain.model.eval()(videos_of(batch)[0][0]))
            for model in (self.model, self.plain.model):
                model.train()
            return terms

    train_by(Measured, replace(shape, batch=1), 4, "train.device=cpu")
    rows = []
    for kind in ("step", "pass"):
        ours, plain = (statistics.median(peaks[f"{side} {kind}"][1:]) for side in ("ours", "plain"))
        figures = f"{ours / 1e6:.0f} MB", f"{plain / 1e6:.0f} MB"
        what = f"peak memory of a {'training step' if kind == 'step' else 'pass'}, {name}, T = {shape.frames:,}"
        rows.append(
            Row(what, *figures, ours / plain, MEMORY if kind == "step" else None, at_most=True)
        )
    return rows


def free_memory() -> float:
    """Bytes that can be had without swapping."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) / 2
    return next(
        1024.0 * int(line.split()[1])
        for line in meminfo.read_text().splitlines()
        if "MemAvailable" in line
    )


# --- whole trainings in processes of their own --------------------------------------------------------


def training(command: Sequence[str], code: Path, **environment: str) -> dict[str, Any]:
    """What epoch.py prints, run with the code of a checkout."""
    script = code / "benchmarks/epoch.py"  # that of the checkout, which knows its names
    words = [*command, str(script if script.is_file() else ROOT / "benchmarks/epoch.py")]
    return {
        "words": words,
        "cwd": code,
        "env": {**os.environ, "PYTHONPATH": str(code), **environment},
    }


def answer(of: Mapping[str, Any], *arguments: str) -> dict[str, Any]:
    """Run it; its last line."""
    done = subprocess.run(
        [*of["words"], *arguments],
        cwd=of["cwd"],
        env=of["env"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if Path(found["code"]).parent.resolve() != Path(of["cwd"]).resolve():
        raise SystemExit(f"ran {found['code']} in place of the code in {of['cwd']}")
    return found


TRAINED = {  # recipe -> the real data set for training, and settings that the recipe needs for it
    "kscgr": ("kscgr", ["text.encoder=hash:384"]),
    "own": ("openpack", ["data.split=1", "data.layout=TD", 'data.background=["no action"]']),
}


def epoch(recipe: str, against: Path, rounds: int, epochs: int) -> list[Row]:
    """An epoch of a recipe, one model, with the code here and with that of another checkout: processor and wall time.

    Both train with as many threads as they take by themselves, or with one where torch has one here.
    """
    alone = {"OMP_NUM_THREADS": "1"} if torch.get_num_threads() == 1 else {}
    places, (name, settings) = {"ours": ROOT, "theirs": against.resolve()}, TRAINED[recipe]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=against, capture_output=True, text=True
    )
    rows = []
    with tempfile.TemporaryDirectory() as place:
        if name == "kscgr":
            data = write_kscgr(Path(place) / "kscgr")
        else:
            # Data sets that are not part of the package. experiments/data has the scripts that build them.
            data = Path(os.environ.get("FACT_CLIP_DATA", "data")).resolve() / name
        if not data.is_dir():
            return []
        # The last epoch validates, and the first one reads files; neither counts.
        fixed = [
            f"data.root={data}",
            *settings,
            "train.members=1",
            f"train.epochs={epochs}",
        ]
        for kind, target in (("process", EPOCH), ("wall", None)):
            codes = {
                side: training([sys.executable], code, CLOCK=kind, **alone)
                for side, code in places.items()
            }
            times: dict[str, list[float]] = {side: [] for side in codes}
            for number in range(rounds):
                for side, code in codes.items():
                    out = f"{place}/{kind}{side}{number}"
                    found = answer(code, recipe, out, *fixed, "train.validate_from=0.99")
                    times[side].append(statistics.median(found["epochs"][:-1]))
            what = (
                f"epoch of {recipe}, videos of {name}, {kind} time, against {commit.stdout.strip()}"
            )
            rows.append(ratio(what, times["ours"], times["theirs"], target))
    return rows


def processes(shape: Shape, steps: int) -> Row:
    """Frames a second of two processes with one core each, beside one process with one core; one video each a step."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as place:
        for number in range(PAIRS):
            for count, found_rates in rates.items():
                root = Path(place) / f"{number} {count}"
                write(root / "data", shape, count * steps)
                launch = [
                    sys.executable,
                    "-m",
                    "torch.distributed.run",
                    "--standalone",
                    f"--nproc-per-node={count}",
                ]
                code = training(
                    [sys.executable] if count == 1 else launch, ROOT, OMP_NUM_THREADS="1"
                )
                fixed = [
                    *folder(root / "data"),
                    "train.epochs=1",
                    "train.batch_size=1",
                    "train.device=cpu",
                ]
                found = answer(code, shape.recipe, str(root / "run"), *fixed)
                found_rates.append(count * shape.frames / statistics.median(found["steps"]))
    what = f"two processes against one, Breakfast, T = {shape.frames:,}, one core each"
    row = ratio(what, rates[1], rates[2], PROCESSES, "frames/s")
    return replace(row, ours=row.other, other=row.ours)


# --- growth -------------------------------------------------------------------------------------------


def peak() -> float:
    """Bytes resident at most so far, or since `forget_peak`."""
    status = Path("/proc/self/status")
    if status.is_file():
        return next(
            1024.0 * int(line.split()[1])
            for line in status.read_text().splitlines()
            if "VmHWM" in line
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1.0 if sys.platform == "darwin" else 1024.0
    )


def forget_peak() -> None:
    """Give back what lies free in the heap and count anew; elsewhere than on Linux the count goes on."""
    if Path("/proc/self/clear_refs").exists():
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
        if trim is not None:
            trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def grown(name: str, frames: int) -> dict[str, float]:
    """Seconds of inference, and bytes it needs besides weights and input; for a process of its own."""
    shape = SHAPES[name]
    config = shape.config()
    model = both_models(shape, config)[0]
    features = video(shape, frames)[0].unsqueeze(0)
    with torch.no_grad():
        decoding.best_classes(model(features[:, :200]))  # fills torch's own buffers
        forget_peak()
        before, times = peak(), []
        for _ in range(3 if frames < 16000 else 1):
            start = clock()
            decoding.best_classes(model(features))
            times.append(clock() - start)
    return {"seconds": statistics.median(times), "bytes": max(peak() - before, 1.0)}


def growth(name: str, frames: Sequence[int]) -> list[Row]:
    """The exponents of a straight line through log time and log memory over log frames."""
    found = []
    for count in frames:
        threads = str(torch.get_num_threads())
        command = [sys.executable, __file__, "--grow", name, str(count), "--threads", threads]
        environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))}
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        found.append(json.loads(done.stdout.splitlines()[-1]))
    rows = []
    for key, unit, scale in (("seconds", "s", 1.0), ("bytes", "MB", 1e-6)):
        values = [each[key] for each in found]
        exponent = float(np.polyfit(np.log(frames), np.log(values), 1)[0])
        ends = (
            f"{scale * values[-1]:.3g} {unit} at {frames[-1]:,}",
            f"{scale * values[0]:.3g} {unit} at {frames[0]:,}",
        )
        kind = "time" if key == "seconds" else "memory"
        per = [1000 * scale * value / count for value, count in zip(values, frames, strict=True)]
        spread = f"{min(per):.3g} to {max(per):.3g} {unit} for 1,000 frames"
        rows.append(
            Row(
                f"exponent of {kind} in T, inference, {name}", *ends, exponent, GROWTH, True, spread
            )
        )
    return rows


def start_up(runs: int) -> Row:
    """`fact-clip --help` beside `import numpy` (startup.py says more)."""
    names = {"ours": "fact-clip --help", "numpy": "import numpy"}
    calls = {
        key: (lambda name=name: startup.seconds(startup.COMMANDS[name]))
        for key, name in names.items()
    }
    times = alternate(calls, runs)
    mine, numpy = statistics.median(times["ours"]), statistics.median(times["numpy"])
    pairs = [a / b for a, b in zip(times["ours"], times["numpy"], strict=True)]
    spread = f"{min(pairs):.2f} to {max(pairs):.2f}"
    figures = f"{mine:.3g} s", f"{numpy:.3g} s"
    return Row(
        "fact-clip --help / import numpy",
        *figures,
        mine / numpy,
        startup.TARGET,
        at_most=True,
        spread=spread,
    )


# --- the run ------------------------------------------------------------------------------------------

KINDS = ("inference", "step", "memory", "epoch", "growth", "processes", "startup")


def measure(
    kind: str, quick: bool, against: Path | None, names: Sequence[str] = tuple(SHAPES)
) -> list[Row]:
    """The rows of a kind, for the shapes of these names."""
    cpu, short = torch.device("cpu"), 4 if quick else 1
    shapes = {name: replace(SHAPES[name], frames=SHAPES[name].frames // short) for name in names}
    if kind == "inference":
        rounds = {"Breakfast": 5, "HA-ViD": 9, "GTEA": 15}
        return [
            row
            for name in shapes
            for row in inference(name, shapes[name], 2 if quick else rounds[name], cpu)
        ]
    if kind == "step":
        rounds, rows = {"Breakfast": 2, "HA-ViD": 5, "GTEA": 9}, []
        for name, shape in shapes.items():
            batch = 1 if name == "Breakfast" and (quick or free_memory() < ROOMY) else shape.batch
            rows.extend(step(name, replace(shape, batch=batch), 1 if quick else rounds[name], cpu))
        return rows
    if kind == "memory":
        return [row for name in names if name == "Breakfast" for row in memory(name, shapes[name])]
    if kind == "epoch":
        if against is None:
            print("epoch: left out; --against CHECKOUT names the other checkout")
            return []
        return [
            row
            for recipe in TRAINED
            for row in epoch(recipe, against, *((1, 3) if quick else (3, 4)))
        ]
    if kind == "growth":
        counts = {"GTEA": (1000, 2000, 4000)} if quick else FRAMES
        return [row for name in names if name in counts for row in growth(name, counts[name])]
    if kind == "processes":
        return [processes(shapes[name], 3) for name in names if name == "Breakfast"]
    return [start_up(3 if quick else 11)]


def facts() -> list[str]:
    """The machine, the versions, the date: what a table of times is worth nothing without."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        cpu = next(
            (
                x.split(": ", 1)[1]
                for x in info.read_text().splitlines()
                if x.startswith("model name")
            ),
            cpu,
        )
    changed = (
        " with uncommitted changes"
        if git("status", "--porcelain", "--", "fact_clip", "benchmarks")
        else ""
    )
    return [
        f"date {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"commit {git('rev-parse', '--short', 'HEAD') or 'unknown'}{changed}",
        f"torch {torch.__version__}, Python {platform.python_version()}",
        f"{cpu}, {os.cpu_count()} cores ({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads"
        + (", processor time" if torch.get_num_threads() == 1 else ""),
        f"load at the end {os.getloadavg()[0]:.1f}",
    ]


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table."""
    lines = [HEADER, ["---"] * len(HEADER), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


EXPLAINED = """\
Made by `make bench`, which benchmarks/README.md describes.
Weights and inputs are synthetic and the same on both sides.
Runs alternate, and times are medians.

For inference and training, "ours" is FACT-CLIP, and "against" is benchmarks/plain.py, a plain implementation of docs/method.md.
"figure" is the time of the plain implementation divided by the time of FACT-CLIP.
"lowest to highest" is the range of the figure over pairs of runs, and shows how reliable a single run is.
The range is large if other programs run at the same time, and different computers differ as well.
"""


def main() -> int:
    """Print the rows and write results.md; 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short videos, once; writes nothing")
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, default=KINDS, help="these rows; writes nothing"
    )
    parser.add_argument(
        "--shape", nargs="+", choices=SHAPES, default=list(SHAPES), help="these videos; likewise"
    )
    parser.add_argument("--against", type=Path, help="another checkout, for the row epoch")
    parser.add_argument(
        "--threads",
        type=int,
        help="unset: one a core; with 1 processor time is told; writes nothing",
    )
    parser.add_argument(
        "--random", action="store_true", help="weights as they are drawn; writes nothing"
    )
    parser.add_argument("--grow", nargs=2, metavar=("SHAPE", "FRAMES"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    global PLANTED
    PLANTED = not given.random
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.grow:
        print(json.dumps(grown(given.grow[0], int(given.grow[1]))))
        return 0
    rows: list[Row] = []
    for kind in given.only:
        for row in measure(kind, given.quick, given.against, given.shape):
            print(" · ".join(cell for cell in row.cells() if cell), flush=True)
            rows.append(row)
    print("\n".join(facts()))
    whole = set(given.only) == set(KINDS) and set(given.shape) == set(SHAPES)
    if whole and not (given.quick or given.random or given.threads):
        about = "".join(f"- {fact}\n" for fact in facts())
        path = ROOT / "benchmarks/results.md"
        # The figures of batch.py follow in the same file.
        _, heading, batches = path.read_text().partition("\n## Batches\n")
        path.write_text(f"# Speed\n\n{EXPLAINED}\n{about}\n{markdown(rows)}{heading}{batches}")
    return int(any(row.missed for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
