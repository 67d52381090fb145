"""`train`: from a recipe, a configuration or a plan to a run folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fact_clip.config import Config
from fact_clip.core import InputError
from fact_clip.core.arguments import checked
from fact_clip.core.distributed import Processes, place_in_launch
from fact_clip.core.errors import ConfigKey
from fact_clip.core.messages import printable
from fact_clip.core.paths import locked
from fact_clip.datasets.memory import DataSource, MemoryFolder, with_data
from fact_clip.run import remove_unfinished
from fact_clip.training import trainer
from fact_clip.training.calibration import learn_calibration
from fact_clip.training.callbacks import Callback
from fact_clip.training.ensemble import members_beside
from fact_clip.training.estimate import load_config
from fact_clip.training.evaluation import Progress
from fact_clip.training.plan import Plan, resolve, tell
from fact_clip.training.state import begin, check_free


@checked
def train(
    config: Config | Plan | str | Path,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    data: DataSource | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a run into the folder ``out``: one model, or the members of an ensemble side by side.

    The weights that are kept (``model.safetensors``) are the best on the validation videos, a part of the training
    videos; without validation videos they are the last. The test split is not read.

    Args:
        config: everything that makes the run, the name or path of a recipe (as `load_config` reads it), or a plan.
        out: the run folder; it must be new, unless ``resume``.
        overrides: settings on top of the configuration, as "train.epochs=20"; none with a plan.
        data: data in memory (`datasets.from_arrays`, or a `datasets.DataSource` of your own) in place of ``data.root``.
            They are not written anywhere, so an ensemble is an InputError, `evaluate` takes them again, and the recipe
            `zero_shot` measures nothing.
        callbacks: called after epochs, validations and saves; see `Callback`.
        resume: continue an interrupted run of the same configuration; epochs and members may have become more.
        progress: called with (epochs done, epochs, a short text).

    Returns:
        ``{"epoch", "best", "seconds", "parameters"}`` of the (first) model.
    """
    out = Path(out)
    if not resume and place_in_launch()[0] == 0:  # before a data set is measured
        check_free(out)
    plan = _planned(config, overrides, data, out / "config.yaml" if resume else None)
    if printable(str(out)) != str(out):
        raise InputError(out, "control characters, or bytes that are not UTF-8, in the name of the folder")
    processes = Processes(plan.device)
    if processes.world > 1 and plan.config.train.members > 1:
        fix = "train an ensemble without a launcher: its members take the GPUs of the machine in turn"
        raise InputError(ConfigKey("train.members"), f"{plan.config.train.members} in {processes.world} processes", fix)
    with ExitStack() as while_training:
        if processes.is_main:
            tell(plan.notes)
            while_training.enter_context(locked(out, "a training"))
            while_training.enter_context(_removed_unless_begun(out))
            if resume:
                remove_unfinished(out)
        with processes.main_first():
            run, texts = begin(plan, out, processes, resume)
        with members_beside(plan, out, resume) as check_members, trainer.numerics(run.config.train):
            loop = trainer.Trainer(run, plan.dataset, texts, resume, check_members, callbacks)
            result = loop.run_all(progress if processes.is_main else None)
        if processes.is_main:
            learn_calibration(run, plan.dataset, plan.device)
        processes.wait()
    return result


def _planned(
    config: Config | Plan | str | Path, overrides: Sequence[str], data: DataSource | None, stored: Path | None
) -> Plan:
    if isinstance(config, Plan):
        if overrides or data is not None:
            raise InputError("config", "a plan, whose settings and data are decided", "give a Config or a recipe")
        return config
    if not isinstance(config, Config):
        config = Config.load(config, overrides) if data is not None else load_config(config, overrides, stored)
    elif overrides:
        config = Config.overridden(config.model_dump(mode="json"), overrides, "config")
    if data is None:
        return resolve(config)
    if config.train.members > 1:
        problem = f"{config.train.members}, but other processes cannot read data in memory"
        raise InputError(ConfigKey("train.members"), problem, "write the data with datasets.save, and set data.root")
    return resolve(with_data(config, data), MemoryFolder(data))


@contextmanager
def _removed_unless_begun(out: Path) -> Iterator[None]:
    """Leave the folder as empty as it was where bad input, or Ctrl-C, ends a training before its first state."""
    was_empty = not any(out.iterdir())
    try:
        yield
    except (InputError, MemoryError, RuntimeError, KeyboardInterrupt):  # RuntimeError is that of torch without memory
        if was_empty and not any(out.rglob("last.safetensors")):
            for path in out.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        raise
