"""`train`: from a recipe, a configuration or a plan to the run folder of one or more models.

train
  _planned: checks the settings, opens the data set and returns the plan.
  _plan_with_drafts: only with train.self_training; trains the teacher if needed.
  _train_ensemble: locks the run, trains all models, then calibrates the run.
    train_model: the weights of the first model.
      threads_limited: on a CPU, limits threads to the number that makes a step faster.
    train_calibrated: weights and calibration of a further member. Without torchrun, this runs
      in a parallel process (`training.member`). In a launch of torchrun, `_train_member` calls
      it after the first model.
      _locked_then_calibrated, train_model

A launch is the group of processes that torchrun starts. They train the models together, one after
the other. A call without torchrun is a launch of one process. Only `Ensemble` decides which models
to continue and which to start.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from fact_clip.config import Config
from fact_clip.core import InputError, Progress
from fact_clip.core.arguments import validated
from fact_clip.core.launch import place_in_launch
from fact_clip.core.messages import printable
from fact_clip.core.paths import locked
from fact_clip.datasets.memory import DataSource, MemoryStore, with_data
from fact_clip.datasets.statistics import median_frames
from fact_clip.devices.processes import Processes
from fact_clip.evaluation.learning import learn_calibration
from fact_clip.losses.criterion import LOSSES, Loss
from fact_clip.metrics.report import METRICS, Metric
from fact_clip.models.blocks import block_configs
from fact_clip.runs.files import remove_unfinished
from fact_clip.runs.run import Run
from fact_clip.training import trainer
from fact_clip.training.callbacks import Callback
from fact_clip.training.description import begin, check_free
from fact_clip.training.ensemble import Ensemble
from fact_clip.training.plan import Plan, resolve
from fact_clip.training.results import Training
from fact_clip.training.teacher import (
    DRAFTS,
    TEACHER,
    has_drafts,
    teacher_config,
    teacher_folder,
    with_drafts,
    write_drafts,
)
from fact_clip.training.trainer import Watch

# The command line prints the notes of a plan, which this logger reports.
logger = logging.getLogger(__name__)

# torch splits an operation among threads into parts of at least this size (docs/method.md).
_GRAIN = 32_768


@validated("data", "losses", "metrics")
def train(
    config: Config | Plan | str | Path,
    out: str | Path,
    *,
    overrides: Sequence[str] = (),
    data: DataSource | None = None,
    losses: Sequence[Loss | str] = (),
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    progress: Progress | None = None,
) -> Training:
    """Train a run into the folder ``out``: one model, or the members of an ensemble in parallel.

    With ``torchrun``, the members are trained one after the other, each by all processes. The
    saved weights (``model.safetensors``) are the best on the validation videos, which are part of
    the training videos, or the last weights without validation videos. The test split is not read.

    Args:
        config: Configuration, name or path of a recipe, or plan.
        out: Run folder, which must be new unless ``resume`` is set.
        overrides: Settings that replace settings of `config`, such as "train.epochs=20".
            Not allowed with a plan.
        data: Data in memory (`datasets.from_arrays`, or a `datasets.DataSource`) instead of
            ``data.root``. They are not saved: an ensemble is an InputError, and you must pass them
            to `evaluate` again.
        losses: Additional loss terms, as functions of output and truth (`losses.Loss`) or names.
            Functions are registered under their names, and ``loss.terms`` lists them.
        metrics: Additional metrics by name, for this process and its validations; see `register`.
        callbacks: Callbacks for steps, epochs, validations and saves; see `Callback`.
        resume: Whether to continue an interrupted run with the same configuration. You may
            increase the numbers of epochs and members.
        progress: Function called with (completed epochs, epochs, a short description).

    Returns:
        The result of the first model.

    Raises:
        InputError: Settings or data are invalid, or the folder is in use.
    """
    out = Path(out)
    is_main = place_in_launch()[0] == 0
    if is_main and not resume:
        check_free(out)  # `begin` repeats this check, but only after reading the data set
    if printable(str(out)) != str(out):
        problem = "control characters or bytes that are not UTF-8 in the folder name"
        raise InputError(out, problem)
    for name, metric in (metrics or {}).items():
        METRICS.register(metric, name)
    if losses:
        names = [LOSSES.register_by_own_name(term) for term in losses]
        for name in names:
            if names.count(name) > 1:
                fix = "give each function a unique __name__"
                raise InputError("losses", f"two terms have the name {name!r}", fix)
        overrides = [*overrides, f"loss.terms={json.dumps(names)}"]
    plan = _planned(config, overrides, data)
    if is_main:
        for note in plan.notes:
            logger.log(note.level, "%s", note.message)
    processes = Processes(plan.device)
    if plan.config.train.self_training:
        plan = _plan_with_drafts(plan, out, processes, resume, progress)
    return _train_ensemble(Ensemble(plan, out, resume), processes, Watch(callbacks, progress))


def _planned(
    config: Config | Plan | str | Path, overrides: Sequence[str], data: DataSource | None
) -> Plan:
    """Return the plan of a run. If `config` is already a plan, return it."""
    if isinstance(config, Plan):
        if overrides or data is not None:
            problem = "a plan, whose settings and data are already decided"
            raise InputError("config", problem, "pass a Config or a recipe")
        return config
    if isinstance(config, Config):
        config = config.overridden(overrides)
    else:
        config = Config.load(config, overrides)
    folder = None
    if data is not None:
        if config.train.members > 1:
            problem = f"{config.train.members}, but other processes cannot read data in memory"
            fix = "write the data with datasets.save, and set data.root"
            raise InputError("train.members", problem, fix)
        config = with_data(config, data)
        folder = MemoryStore(data)  # read instead of `data.root`
    return resolve(config, folder)


def _plan_with_drafts(
    plan: Plan, out: Path, processes: Processes, resume: bool, progress: Progress | None
) -> Plan:
    """Return the plan with a teacher's drafts. Train the teacher first if needed.

    The teacher is the run that train.self_training names, or else a run inside this run's folder.
    Its drafts are labels for unlabelled frames.
    """
    if plan.config.data.drafts is not None:
        # The config.yaml of a student names its drafts. The code below decides whether they are
        # still valid, for the data set without them.
        plan = with_drafts(plan, None)
    configured_teacher = teacher_folder(plan.dataset, plan.config.train.self_training)
    folder = configured_teacher or out / TEACHER
    drafts = out / DRAFTS
    drafts_exist = has_drafts(plan.dataset, folder, drafts)
    # All processes must look for drafts before any of them trains or writes.
    processes.wait()
    if configured_teacher is None and not drafts_exist:
        store = plan.dataset.folder
        data = store.data if isinstance(store, MemoryStore) else None
        teacher_resumes = resume and (folder / "run.json").is_file()
        train(teacher_config(plan), folder, data=data, resume=teacher_resumes, progress=progress)
    if processes.is_main and not drafts_exist:
        write_drafts(folder, plan.dataset, plan.device, drafts)
    processes.wait()
    return with_drafts(plan, str(drafts.resolve()))


def _train_ensemble(ensemble: Ensemble, processes: Processes, watch: Watch) -> Training:
    """Train all models in parallel, or one after the other with torchrun."""
    plan = ensemble.plan
    folder = ensemble.folder
    # `ensemble.resume` is the argument of `train`. `resumes` decides whether to continue this
    # model. The main process decides for all before it writes a file that would change the
    # decision.
    first_resumes = processes.broadcast(lambda: ensemble.resumes(0))
    with _locked_then_calibrated(plan, folder, processes, ensemble.resume):
        if processes.world == 1:
            # Start the other members. `check_members` reports a member that has failed.
            with ensemble.members_beside() as check_members:
                watch = replace(watch, after_step=check_members)
                result = train_model(plan, folder, processes, watch, resume=first_resumes)
        else:
            result = train_model(plan, folder, processes, watch, resume=first_resumes)
            for model_index in range(1, len(ensemble.folders)):
                _train_member(ensemble, model_index, processes)
    return result


def train_model(
    plan: Plan, folder: Path, processes: Processes, watch: Watch, *, resume: bool
) -> Training:
    """Train the model of a plan with all processes of the launch.

    Args:
        plan: Plan of the run.
        folder: Run folder, whose lock the caller holds.
        processes: Processes of the launch.
        watch: Callbacks and progress.
        resume: Whether to continue an interrupted run.

    Returns:
        The result of the model.
    """
    with threads_limited(plan):
        # The main process writes the description of a new run. The others then read it.
        with processes.main_first():
            run, parts = begin(plan, folder, processes, resume=resume)
        with trainer.numerics(run.config.train):
            training = trainer.Trainer(run, plan.dataset, parts, processes, watch, resume=resume)
            return training.run_all()


@contextmanager
def threads_limited(plan: Plan) -> Iterator[None]:
    """Within the block, use no more threads than make a step faster."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, useful_threads(plan)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def useful_threads(plan: Plan) -> int:
    """Return the number of threads that make a step faster: one for each `_GRAIN` numbers.

    On a GPU, return all threads of torch.
    """
    if plan.device.type != "cpu":
        return torch.get_num_threads()
    labels = map(plan.dataset.labels, plan.dataset.train)
    # The frame branch has activations of shape (batch, rows, width).
    rows = median_frames(labels) / plan.config.data.stride
    width = max(block.frame_dim for block in block_configs(plan.config.model))
    n_numbers = int(plan.config.train.batch_size * rows * width)
    return max(1, n_numbers // _GRAIN)


def _train_member(ensemble: Ensemble, model_index: int, processes: Processes) -> None:
    """Train a member after the first model, with all processes of the launch."""
    plan = ensemble.plan_of(model_index)
    # The main process decides for all. It writes only after all processes have arrived here, and
    # so have read the files of the member for its plan.
    resume = processes.broadcast(lambda: ensemble.resumes(model_index))
    # Callbacks and progress follow only the first model, as in a run without torchrun, so this
    # member gets an empty `Watch`.
    folder = ensemble.member_folder(model_index)
    train_calibrated(plan, folder, processes, Watch(), resume=resume)


def train_calibrated(
    plan: Plan, folder: Path, processes: Processes, watch: Watch, *, resume: bool
) -> Training:
    """Train a run of one model, and learn its calibration; see `train_model`."""
    with _locked_then_calibrated(plan, folder, processes, resume):
        return train_model(plan, folder, processes, watch, resume=resume)


@contextmanager
def _locked_then_calibrated(
    plan: Plan, folder: Path, processes: Processes, resume: bool
) -> Iterator[None]:
    """Lock a run folder while the block trains its models, then learn its calibration.

    If `resume` is set, remove temporary files first. If a new run fails early, empty the folder.
    """
    if processes.is_main:
        # `locked` must come first, because it creates the folder that `_emptied_unless_begun`
        # lists.
        with locked(folder, "a training run"), _emptied_unless_begun(folder):
            if resume:
                remove_unfinished(folder)
            yield
            _calibrate(plan, folder)
    else:
        yield
    processes.wait()


@contextmanager
def _emptied_unless_begun(out: Path) -> Iterator[None]:
    """Empty a new folder if bad input or Ctrl-C ends the run before a state is saved."""
    was_empty = not any(out.iterdir())
    try:
        yield
    # torch raises a RuntimeError if memory is full.
    except (InputError, MemoryError, RuntimeError, KeyboardInterrupt):
        if was_empty and not any(out.rglob("last.safetensors")):
            for path in out.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        raise


def _calibrate(plan: Plan, folder: Path) -> None:
    """Learn the corrections of a trained run's scores, then mark the run as finished."""
    # `learn_calibration` chooses the decoding again, so remove a previous choice.
    run = Run.read(folder).without_choice()
    learn_calibration(run, plan.dataset, plan.device)
    replace(run, finished=True).write()
