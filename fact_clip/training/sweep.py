"""Several trainings of one recipe: the members of an ensemble side by side, and sweeps over settings.

:func:`train` makes one run, of one model or of several. :func:`sweep` makes a run for each combination of some settings
(splits, seeds, data sets, anything else), scores it, and sums up. Both call the trainer, which knows one model alone.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import torch

from fact_clip.config import Config, checked_config, set_key
from fact_clip.core import InputError
from fact_clip.core.arguments import path_of
from fact_clip.core.distributed import Processes, pick_device
from fact_clip.core.errors import CommandOption, ConfigKey
from fact_clip.core.files import file_name, inside, whole_file
from fact_clip.core.messages import printable
from fact_clip.core.processes import locked
from fact_clip.core.values import write_value
from fact_clip.core.yaml_text import parse_yaml
from fact_clip.datasets.dataset import Dataset
from fact_clip.inference.windows import cut_windows
from fact_clip.models.blocks import block_configs
from fact_clip.models.heads import HEADS
from fact_clip.run import Run, member_folders, remove_unfinished
from fact_clip.training.calibration import calibrate_run, check_rules
from fact_clip.training.confidence import learn_confidence
from fact_clip.training.evaluation import Progress, check_select, evaluate
from fact_clip.training.logs import check_loggers
from fact_clip.training.setup import by_names, prepare, told_if_accepted, with_choice, with_objects
from fact_clip.training.trainer import train_model
from fact_clip.training.zero_shot import IN_USE

logger = logging.getLogger(__name__)

MOST_RUNS = 10_000
"""Of a sweep."""

SEED_STEP = 1000
"""Member k has the seed of the run + k * this, so that runs of neighbouring seeds share no member."""

# A process of its own, not a fork: torch's threads do not survive one. It ends when its parent closes its end of stdin,
# that is, however the parent ends; on Linux the kernel sees to it, even where no Python runs for a while.
_MEMBER = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from fact_clip.core.distributed import end_with_parent
end_with_parent(int(sys.argv[3]))
from fact_clip.config import Config
from fact_clip.core import InputError
from fact_clip.core.files import file_name, inside, whole_file
from fact_clip.core.processes import locked
from fact_clip.training import train
try:
    train(Config.load(sys.argv[1]), sys.argv[2], resume="--resume" in sys.argv)
except InputError as error:
    sys.exit(f"fact-clip: {error}")
"""


def train(config: Config, out: str | Path, *, resume: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Train a run into the folder ``out``: one model, or the members of an ensemble side by side.

    The weights that are kept (``model.safetensors``) are the best on the validation videos, a part of the training
    videos; without validation videos they are the last. The test split is not read.

    Args:
        config: everything that makes the run.
        out: the run folder; it must be new, unless ``resume``.
        resume: continue after the last whole epoch of an interrupted run of the same configuration; epochs and members
            may have become more.
        progress: called with (epochs done, epochs, a short text).

    Returns:
        ``{"epoch", "best", "seconds", "parameters"}`` of the (first) model.
    """
    config, out = checked_config(config), path_of(out, "out")
    if printable(str(out)) != str(out):
        raise InputError(out, "control characters, or bytes that are not UTF-8; expected a name that weights can have")
    with ExitStack() as while_training:
        with told_if_accepted():
            config = by_names(config)
            dataset = Dataset.open(config.data)
            device = _check(config, dataset)
            dataset.check()
            config = with_objects(with_choice(config, dataset), dataset)
            processes = Processes(device)
            if processes.world > 1 and config.train.members > 1:
                todo = "train an ensemble without a launcher: its members take the GPUs of the machine in turn"
                raise InputError(
                    ConfigKey("train.members"),
                    f"{config.train.members} in {processes.world} processes; expected 1",
                    todo,
                )
            if processes.is_main:
                while_training.enter_context(locked(out, "a training"))
                while_training.enter_context(_kept_if_begun(out))
            if resume and processes.is_main:
                remove_unfinished(out)
            with processes.main_first():
                run, texts = prepare(config, out, dataset, resume, processes)
        with _members_beside(run.config, out, resume) as check_members:
            progress = progress if processes.is_main else None
            result = train_model(run, dataset, texts, resume=resume, progress=progress, after_step=check_members)
        if processes.is_main:
            _calibrate(run, dataset, device)
        processes.wait()
    return result


def _check(config: Config, dataset: Dataset) -> torch.device:
    """Everything that would otherwise fail after minutes, with a folder half written; the device of the training."""
    device = pick_device(config.train.device, "train.device")
    check_loggers(config.train.loggers)
    check_select(config)
    if config.model.head not in HEADS:
        raise InputError(ConfigKey("model.head"), f"{config.model.head!r}; expected one of {', '.join(HEADS)}")
    if device.type == "cpu":
        _check_memory(config)
    if config.train.member_parts and 1 < dataset.validation_parts < config.train.members:
        told = f"{config.train.members} members share {dataset.validation_parts} parts of validation videos"
        warnings.warn(told, stacklevel=2)
    if dataset.holdout is not None and config.model.is_open and not config.train.member_parts:
        check_rules(config.decode, [dataset])
    if config.decode.overlap is not None:
        window, overlap = (-(-rows // config.data.stride) for rows in (config.decode.window, config.decode.overlap))
        cut_windows(window + 1, window, overlap)
    return device


def _check_memory(config: Config) -> None:
    """An InputError where the attention among tokens alone takes more memory than the machine has.

    Of each layer and head about four tables of (B, M, M) are kept for the backward pass (measured, M 40 and 1,500).
    """
    layers = sum(each.heads * each.action_layers for each in block_configs(config.model) if each.action != "gru_om")
    needed = 4 * 4 * config.train.batch_size * layers * config.model.tokens**2
    if config.model.transcript or not hasattr(os, "sysconf"):  # which Windows has not
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        found = f"{config.model.tokens:,}, whose attention takes about {needed / 1e9:.0f} GB a step"
        todo = "fewer tokens, or a smaller train.batch_size"
        raise InputError(
            ConfigKey("model.tokens"), f"{found}; expected less than the {memory / 1e9:.0f} GB of this machine", todo
        )


@contextmanager
def _kept_if_begun(out: Path) -> Iterator[None]:
    """Leave the folder as empty as it was where bad input ends a training before its first state was saved."""
    was_empty = not any(out.iterdir())
    try:
        yield
    except (InputError, MemoryError, RuntimeError):  # the last one is that of torch without memory
        if was_empty and not any(out.rglob("last.safetensors")):
            for path in out.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        raise


def _calibrate(run: Run, dataset: Dataset, device: torch.device) -> None:
    """Write what the validation videos tell: the calibration, with classes held out, and what scores are worth."""
    calibration = None
    if dataset.holdout is not None and run.config.model.is_open:
        calibration = calibrate_run(run, dataset, device)
        write_value(inside(run.path, "calibration.json"), asdict(calibration))
    confidence = learn_confidence(run, dataset, device, calibration)
    if confidence is not None:
        write_value(inside(run.path, "confidence.json"), asdict(confidence))


# --- the members of an ensemble ------------------------------------------------------------------------------------


@contextmanager
def _members_beside(config: Config, out: Path, resume: bool) -> Iterator[Callable[[], None]]:
    """Train all members but the first in processes of their own while the block trains the first.

    PyTorch gains little from a second core on models of this size; a second training uses all of it, so the threads are
    dealt out. At the end of the block all members are done; however it ends, no process is left. What it yields raises
    an InputError as soon as a member has failed, with what it said last.
    """
    folders = member_folders(out, config.train.members)
    if not folders:
        yield lambda: None
        return
    threads = torch.get_num_threads()
    share = max(1, threads // config.train.members)
    running: dict[Path, subprocess.Popen[bytes]] = {}
    said: dict[Path, IO[bytes]] = {}

    def check() -> None:
        for folder, process in running.items():
            if process.poll():
                said[folder].seek(0)
                last = (said[folder].read().decode(errors="replace").splitlines() or [""])[-1]
                found = f"the training of this member ended with exit code {process.returncode}"
                raise InputError(folder, f"{found}; expected 0", last.removeprefix("fact-clip: "))

    try:
        torch.set_num_threads(share)
        for number, folder in enumerate(folders, start=1):
            said[folder] = tempfile.TemporaryFile()  # noqa: SIM115
            running[folder] = _start_member(config, number, folder, resume, share, said[folder])
        yield check
        for process in running.values():
            while process.poll() is None:
                check()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.5)
        check()
    finally:
        for process in running.values():
            process.kill()
            process.wait()
        for file in said.values():
            file.close()
        torch.set_num_threads(threads)


def _start_member(
    config: Config, number: int, folder: Path, resume: bool, threads: int, said: IO[bytes]
) -> subprocess.Popen[bytes]:
    out = folder.parent.parent
    recipe = inside(out, "members", f"{folder.name}.yaml")
    with whole_file(recipe) as unfinished:
        unfinished.write_text(member_config(config, number).to_yaml(), encoding="utf-8")
    inside(out, "members", folder.name)
    resumed = resume and (folder / "run.json").is_file()
    words = [str(recipe), str(folder), str(os.getpid()), *(["--resume"] if resumed else [])]
    command = [sys.executable, "-c", _MEMBER, *words]
    # A session of its own: Ctrl-C reaches the parent alone, which ends its members.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stderr=said, start_new_session=True)


def member_config(config: Config, number: int) -> Config:
    """The recipe of one member; the first, number 0, is the run itself.

    Members differ in their seed, in their entry of ``augment.swap``, with ``train.member_parts`` in the videos that
    validate them, and with ``train.init`` in the member of that run that they start from.
    :class:`fact_clip.inference.segmenter.Segmenter` averages their scores.
    """
    swap = config.augment.swap[number % len(config.augment.swap)]
    part = config.data.validation_part
    if config.train.member_parts and number:
        part = (part + number) % Dataset.open(config.data).validation_parts
    init = config.train.init
    if init is not None:
        member = Path(init) / "members" / str(number + 1)
        init = str(member) if member.is_dir() else init
    values = {
        "train.init": init,
        "train.members": 1,
        "train.seed": config.train.seed + SEED_STEP * number,
        "train.device": member_device(config.train.device, number, torch.cuda.device_count()),
        "train.loggers": [],
        "data.validation_part": part,
        "augment.swap": [swap],
    }
    return with_values(config, values)


def member_device(asked: str, number: int, gpus: int) -> str:
    """Where a member trains: with "auto" and several GPUs they take turns."""
    return f"cuda:{number % gpus}" if asked in ("auto", "cuda") and gpus > 1 else asked


# --- sweeps -----------------------------------------------------------------------------------------------------


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """The configuration with some keys (with dots) set to other values, checked as those of a recipe are."""
    tree = config.model_dump(mode="json")
    for key, value in values.items():
        set_key(tree, key.split("."), value, key)
    return Config.from_tree(tree, ", ".join(values))


def read_axes(texts: Sequence[str]) -> dict[str, list[Any]]:
    """The settings of a sweep, ``KEY=VALUE,VALUE,...`` each, as key -> values; each key and value once."""
    axes: dict[str, list[Any]] = {}
    for text in texts:
        key, _, listed = text.partition("=")
        if not key:
            raise InputError(CommandOption("--sweep"), f"{text!r}; expected KEY=VALUE,VALUE, as train.seed=0,1,2")
        values = [parse_yaml(part, f"--sweep {key}", "a value as in a recipe") for part in listed.split(",")]
        if not values or None in values or len(set(map(str, values))) != len(values) or key in axes:
            raise InputError(
                CommandOption("--sweep"),
                f"{text!r}; expected KEY=VALUE,VALUE with each key and value once, as train.seed=0,1,2",
            )
        axes[key] = values
    return axes


def sweep(
    config: Config,
    out: str | Path,
    axes: Mapping[str, Sequence[Any]],
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and evaluate a run for each combination of settings, and sum up their figures.

    A run goes to ``out/LABEL/LABEL``, a label a key: ``seed0/split1``. With ``data.split: all`` the splits of the data
    set are a further axis.

    With `resume`, runs that are done are only scored, and one that was cut off continues. A setting or a data set that
    cannot be is an InputError before anything is trained.

    Args:
        config: the recipe.
        out: folder of the runs.
        axes: key with dots -> its values.
        resume, progress: as in :func:`train`.

    Returns:
        ``{"metrics": mean, "sd": sd, "axes": axes, "runs": {label: figures}}``, also written to
        ``out/evaluation.json``. The figures are those of `main_figures`. With a sweep over ``train.seed``, sd is that
        of the means of the seeds; else that of all runs; n - 1 in both, and 0 for a single value.
    """
    config, out = checked_config(config), path_of(out, "out")
    for key, values in axes.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise InputError("axes", f"{key}: {values!r}; expected a list of values")
    if not axes and str(config.data.split) != "all":
        raise InputError("axes", "none; expected at least one setting", "call train for a single run")
    if (out / "run.json").is_file():
        raise InputError(out, "a run; expected a folder of the runs of a sweep", "name another --out")
    first = Processes(pick_device(config.train.device, "train.device")).is_main
    combinations = _combinations(config, axes)
    with told_if_accepted():
        combinations = {label: by_names(one) for label, one in combinations.items()}
        opened = {one.data: Dataset.open(one.data) for one in combinations.values()}
        for one in combinations.values():
            _check(one, opened[one.data])
    with locked(out, "a training") if first else nullcontext():
        result = _trained_in_turn(combinations, out, axes, resume, progress)
        if first:
            write_value(inside(out, "evaluation.json"), result)
    return result


def _trained_in_turn(
    combinations: Mapping[str, Config],
    out: Path,
    axes: Mapping[str, Sequence[Any]],
    resume: bool,
    progress: Progress | None,
) -> dict[str, Any]:
    """Train and score the runs of a sweep one after the other; its result."""
    runs, seeds = dict[str, dict[str, float]](), dict[int, list[dict[str, float]]]()
    for number, (label, one) in enumerate(combinations.items(), start=1):
        folder = out / label
        if Processes(pick_device(one.train.device, "train.device")).is_main:
            logger.info("run %d of %d: %s", number, len(combinations), label)
        train(one, folder, resume=resume and (folder / "run.json").is_file(), progress=progress)
        runs[label] = main_figures(evaluate(folder, device=one.train.device))
        seeds.setdefault(one.train.seed, []).append(runs[label])
    groups = list(seeds.values()) if "train.seed" in axes else [[figures] for figures in runs.values()]
    means = [_mean(group) for group in groups]
    sd = {key: statistics.stdev(each[key] for each in means) if len(means) > 1 else 0.0 for key in means[0]}
    return {"metrics": _mean(list(runs.values())), "sd": sd, "axes": dict(axes), "runs": runs}


def _combinations(config: Config, axes: Mapping[str, Sequence[Any]]) -> dict[str, Config]:
    """Label -> configuration of each run, the last axis changing first."""
    found, known = dict[str, Config](), set[str]()
    if (count := math.prod(map(len, axes.values()))) > MOST_RUNS:
        raise InputError(CommandOption("--sweep"), f"{count:,} combinations; expected {MOST_RUNS:,} at most")
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        one = with_values(config, chosen)
        splits = Dataset.splits(one.data) if str(one.data.split) == "all" else [None]
        for split in splits:
            own = chosen if split is None else {**chosen, "data.split": split}
            label, run = "/".join(_label(key, value) for key, value in own.items()), with_values(config, own)
            if label in found or run.to_yaml() in known:
                raise InputError(
                    CommandOption("--sweep"),
                    f"{label} twice; expected runs that differ, and whose folders have other names",
                )
            found[label] = run
            known.add(run.to_yaml())
    return found


def _label(key: str, value: Any) -> str:
    """A folder's name for a setting: "split1", "lr=0.01", "havid_view0_lh_pt"."""
    name = "" if key == "data.name" else key.rpartition(".")[2]
    label = f"{name}{'' if not name or str(value).isalnum() else '='}{value}"
    return file_name("".join(sign if sign.isalnum() or sign in "=.+-_" else "_" for sign in label))


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each figure that all rows have."""
    return {key: statistics.fmean(row[key] for row in rows) for key in rows[0] if all(key in row for row in rows)}


def main_figures(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an evaluation by which runs are compared; with classes held out S, U, H, AUSUC come first."""
    numbers = {key: float(value) for key, value in result["metrics"].items() if isinstance(value, int | float)}
    found = result.get("zero_shot")
    if found is None:
        return numbers
    ways = found["ways"][IN_USE]
    groups = {key: value for key, value in ways.items() if key.startswith(("seen_", "unseen_"))}
    first = {key: ways[key] for key in ("S", "U", "H")}
    rest = {"AUSUC": found["ausuc"], "H*": found["best_harmonic_mean"]}
    rest |= {"unseen labels only": found["unseen_labels_only"], "gamma": found["gamma"]}
    rest |= {key: value for key, value in found["diagnostics"].items() if value is not None}
    return {**first, **rest, **groups, **numbers}
