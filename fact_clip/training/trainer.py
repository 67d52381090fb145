"""The training loop of one model, with exact resume (see README.md)."""

from __future__ import annotations

import copy
import gc
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from fact_clip.config import TrainConfig
from fact_clip.core import InputError, Json, Progress
from fact_clip.core.frames import IGNORED
from fact_clip.core.progress import Pace
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.loader import Batch, TrainingLoader, TrainingVideos, seed_of
from fact_clip.devices.device import pick_device, pick_precision
from fact_clip.devices.processes import Processes
from fact_clip.evaluation.validation import validate
from fact_clip.losses.criterion import Criterion, LossTerms
from fact_clip.losses.truth import Truth
from fact_clip.models import FACT
from fact_clip.models.heads import is_open
from fact_clip.runs.run import Run
from fact_clip.training.callbacks import Callback, EpochState, StopTraining
from fact_clip.training.clicks import ClickBorders
from fact_clip.training.description import Parts, scored_classes
from fact_clip.training.results import Training
from fact_clip.training.start import load_start
from fact_clip.training.state import RunFiles, TrainingState, has_progress

logger = logging.getLogger(__name__)

GPU_WORKERS = 4  # processes that read videos for a GPU if ``train.workers`` is unset
SAVE_SECONDS = 600  # time after which the state is saved within a long epoch
COMPILED_DEVICES = ("cuda",)  # devices on which the temporal convolutions are compiled
LARGE_FEATURE = 1e4  # features above this value may overflow

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


class _Loss(nn.Module):
    """A model with its loss.

    Processes train this module together. Weights that the loss does not reach, such as the weights
    of scores that no term compares, are known to get no gradient.
    """

    def __init__(self, model: FACT, criterion: Criterion) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion

    def forward(self, truth: Truth, *inputs: Tensor | None) -> LossTerms:
        """Return the loss terms of the output for these inputs of the model."""
        return self.criterion(self.model(*inputs), truth)


@dataclass(frozen=True)
class Watch:
    """Functions that are called while a model is trained.

    Attributes:
        callbacks: Callbacks for steps, epochs, validations and saves.
        progress: Function called with (completed epochs, epochs, a short description).
        after_step: Function called after each step.
    """

    callbacks: Sequence[Callback] = ()
    progress: Progress | None = None
    after_step: Callable[[], None] = lambda: None


class Trainer:
    """The training loop for the model of a run.

    Args:
        run: Run folder as `description.begin` created it.
        dataset: Data set with the videos.
        parts: Model and loss, as `description.begin` built them.
        processes: Processes that train the run.
        watch: Functions to call during training. Only the main process has callbacks.
        resume: Whether to continue from the saved state, if there is one.
    """

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        parts: Parts,
        processes: Processes,
        watch: Watch = Watch(),
        *,
        resume: bool = False,
    ) -> None:
        self.settings = run.config.train
        self.files = RunFiles(run)
        # Borders between clicks are moved in a copy, so that the plan's data set keeps its labels.
        self.dataset = dataset = dataset.with_videos(dataset.train, dataset.validation)
        self.swap = run.config.augment.swap[0]
        self.watch = watch
        self.device = pick_device(self.settings.device, "train.device")
        precision = pick_precision(self.settings.precision, self.device, "train.precision")
        self.bf16 = precision == "bf16"
        self.processes = processes
        self.videos_a_step = run.videos_a_step or self.settings.batch_size * self.processes.world

        self.model = self._setup_model(run, parts.model)
        self.classes = [*scored_classes(run, dataset)]
        self.videos = self._setup_videos(run)
        self.parameters: list[Tensor] = [*self.model.parameters()]
        self.optimizer = self._setup_optimizer()
        self._setup_average()
        # This follows the copy of the model for averaging, which is not compiled.
        self.lengths = self._setup_compile()
        self.state = self._setup_state(resume)
        # This must come after the state is loaded into the model.
        self.parallel = self.processes.parallel(_Loss(self.model, parts.criterion))
        self.text_embeddings = self._setup_text_embeddings()
        self.clicks = ClickBorders(run.path, self.settings.epochs, dataset, self.state.epoch)
        self.loader = self._setup_loader()

        self.numbers: dict[str, float] = {}
        self.terms: dict[str, Tensor] = {}  # terms of the last step
        self.is_stopped = False
        self.validated_epoch = 0
        self.first_epoch = self.state.epoch
        self.save_time = time.monotonic()
        self.callbacks = self._setup_callbacks()
        if resume and self.processes.is_main:
            # This comes last, because no check can fail from here on.
            self.files.rewrite()

    def _setup_model(self, run: Run, model: FACT) -> FACT:
        """Return the model on the device, with its initial weights."""
        model = model.to(self.device)
        if self.settings.init is not None:
            load_start(model, run)
        return model

    def _setup_videos(self, run: Run) -> TrainingVideos:
        """Return the training videos. Their labels are positions among the scored classes."""
        # The last element is for label -1.
        target_of = np.full(len(run.vocabulary) + 1, IGNORED)
        target_of[self.classes] = np.arange(len(self.classes))
        return TrainingVideos(
            self.dataset,
            run.transform,
            run.config.augment,
            self.settings.seed,
            run.config.data.stride,
            run.config.data.interleave,
            target_of,
        )

    def _setup_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser. The fused version is twice as fast on the CPU."""
        return OPTIMIZERS[self.settings.optimizer](
            self.parameters,
            lr=self.settings.lr,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    def _setup_average(self) -> None:
        """Set up the model to validate and save: the model, or the average of its weights."""
        self.best_model = self.model
        self.averages: list[Tensor] = []
        if self.settings.average:
            self.best_model = copy.deepcopy(self.model)
            self.averages = [*self.best_model.parameters()]

    def _setup_compile(self) -> list[int]:
        """Compile the temporal convolutions. Return the lengths that batches are padded to."""
        if self.device.type not in COMPILED_DEVICES:
            return []
        for block in self.model.block_list:
            cast(nn.Module, block.frame_branch).compile(dynamic=True)
        slowest = 1 + self.videos.augment.speed
        n_rows = []
        for name in self.dataset.train:
            n_frames = len(self.dataset.labels(name))
            n_rows.append(math.ceil(-(-n_frames // self.videos.stride) * slowest))
        return padded_lengths(n_rows)

    def _setup_state(self, resume: bool) -> TrainingState:
        """Return the state to start from: the state of an interrupted run, or a new one."""
        if resume and has_progress(self.files.path):
            state = self.files.restore(self._models(), self.optimizer)
            return replace(state, is_stopped=False)
        return TrainingState()

    def _setup_text_embeddings(self) -> Tensor | None:
        """Return the texts of the scored classes, if the head compares frames with texts."""
        if self.model.text is None or not is_open(self.model.config.head):
            return None
        return self.model.text[self.classes]

    def _setup_loader(self) -> TrainingLoader:
        """Return the batches of the training videos."""
        on_gpu = self.device.type == "cuda"
        workers = self.settings.workers
        if workers is None:
            # The model keeps all cores of the CPU busy.
            workers = GPU_WORKERS if on_gpu else 0
        return TrainingLoader(
            self.videos,
            self.dataset.labelled(self.dataset.train),
            self.videos_a_step,
            workers=workers,
            pin=on_gpu,
            rank=self.processes.rank,
            world=self.processes.world,
        )

    def _setup_callbacks(self) -> list[Callback]:
        """Return the logs and the caller's callbacks, which only the main process has."""
        if not self.processes.is_main:
            return []
        return [*self.files.logs(self.state.epoch), *self.watch.callbacks]

    def run_all(self) -> Training:
        """Train the remaining epochs, and return the result of the model."""
        start_time = time.perf_counter()
        try:
            self._call("on_train_start")
            self._all_epochs()
        except BaseException as error:
            self._call("on_exception", error)
            raise
        self._call("on_train_end")
        return Training(
            epoch=self.state.epoch,
            best=self._best,
            seconds=time.perf_counter() - start_time,
            parameters=sum(parameter.numel() for parameter in self.parameters),
        )

    def _all_epochs(self) -> None:
        state = self.state
        pace = Pace(state.epoch)
        while state.epoch < self.settings.epochs:
            numbers = self._one_epoch()
            self._call("on_epoch")
            self._move_borders()
            # Save last: a run that is interrupted before this repeats the epoch.
            self._save_state()
            # Only the main process has callbacks.
            self.is_stopped = self.processes.broadcast(lambda: self.is_stopped)
            if self.processes.is_main:
                self._report(numbers["total"], pace)
            if self.is_stopped:
                if self.dataset.validation and self.validated_epoch != state.epoch:
                    # Without this, weights of a previous epoch would be kept without a comparison.
                    self._validate_epoch()
                state.is_stopped = True
                self._save_state()
                break

    def _move_borders(self) -> None:
        """Move the borders between clicks, if there are clicks and a move is due."""
        epoch = self.state.epoch
        if epoch in self.clicks.moves:
            scorer = self.files.scorer(self.best_model)
            self.clicks.move(scorer, epoch, is_main=self.processes.is_main)
            # Processes that read ahead still have the old labels.
            self.loader = self._setup_loader()

    def _report(self, loss: float, pace: Pace) -> None:
        """Log the epoch at intervals, and report progress."""
        epoch = self.state.epoch
        description = f"loss {loss:.3f}"
        if self._best is not None:
            description += f", best score {self._best:.1f}"
        time_left = pace.left(epoch, self.settings.epochs)
        if time_left:
            message = "epoch %d of %d: %s, %s left"
            logger.info(message, epoch, self.settings.epochs, description, time_left)
        if self.watch.progress is not None:
            self.watch.progress(epoch, self.settings.epochs, description)

    def _one_epoch(self) -> dict[str, float]:
        """Train and, if due, validate an epoch. Keep the better model, and return log values."""
        terms = self.train_epoch()
        self.state.epoch += 1
        epoch = self.state.epoch
        lr = self.optimizer.param_groups[0]["lr"]
        self.numbers = {"epoch": epoch, "lr": lr, **terms}
        if self.dataset.validation and self._is_validation_due(epoch):
            self._validate_epoch()
        elif self._best is None:
            self._save_model({"epoch": epoch})
        return self.numbers

    def _validate_epoch(self) -> None:
        figures = self.validate()
        self.validated_epoch = self.state.epoch
        for key, value in figures.items():
            self.numbers[f"validation {key}"] = value
        self._call("on_validation", figures)

    def _is_validation_due(self, epoch: int) -> bool:
        settings = self.settings
        if epoch == settings.epochs:
            return True
        is_late = epoch > settings.validate_from * settings.epochs
        return is_late and epoch % settings.validate_every == 0

    def train_epoch(self) -> dict[str, float]:
        """Run the remaining steps of an epoch. Return the means of the loss terms."""
        state = self.state
        self.model.train()
        for batch in self.loader.epoch(state.epoch, state.step):
            if self.dataset.hidden and state.epoch == self.first_epoch:
                self.dataset.check_leak(batch.names, batch.frames.numpy(), batch.labels.numpy())
            self._seed_step()
            self._set_lr(state.epoch + state.step / self.loader.n_batches)
            batch = self._padded(batch.to(self.device))
            # The labels are still on the host, so finding segments does not wait for the device.
            truth = Truth.of(batch.labels).to(self.device)
            step_terms = self._step(batch, truth)
            for key, value in self.processes.all_reduce(step_terms, batch.share).items():
                state.terms[key] = state.terms.get(key, 0.0) + value
            state.step += 1
            self.terms = step_terms
            self._call("on_step")
            if time.monotonic() - self.save_time > SAVE_SECONDS:
                self._save_state()
            self.watch.after_step()
        means = {key: float(value) / state.step for key, value in state.terms.items()}
        state.step = 0
        state.terms = {}
        return means

    def _seed_step(self) -> None:
        """Seed dropout by seed, epoch, step and rank, so resumed steps draw the same numbers."""
        step = f"{self.state.step} {self.processes.rank}"
        torch.manual_seed(seed_of("dropout", self.settings.seed, self.state.epoch, step))

    def _set_lr(self, epoch: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * lr_factor(self.settings, epoch)

    def _padded(self, batch: Batch) -> Batch:
        """Pad a batch to the next length that the model is compiled for."""
        for length in self.lengths:
            if length >= batch.mask.shape[1]:
                return batch.longer(length)
        return batch

    def _step(self, batch: Batch, truth: Truth) -> dict[str, Tensor]:
        """Run one optimiser step. Return the loss terms, still on the device."""
        features, text_embeddings = self._swap_objects(batch.features)
        try:
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                terms = self.parallel(
                    truth,
                    features,
                    batch.mask if batch.padded else None,
                    text_embeddings,
                    truth.classes if self.model.config.transcript else None,
                )
            if not math.isfinite(terms.total.item()):
                raise FloatingPointError("loss that is not finite")
        except FloatingPointError as error:
            raise self._overflow(str(error), batch) from None

        self.optimizer.zero_grad(set_to_none=True)
        # Gradients become the mean over the processes.
        (terms.total * batch.share * self.processes.world).backward()
        if self.settings.clip_norm:
            clip_gradients(self.parameters, self.settings.clip_norm)
        self.optimizer.step()
        if self.averages:
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, self.parameters, 1 - self._average_decay())
        return terms.detached()

    def _average_decay(self) -> float:
        """Return the decay of the moving average. It grows, so that random initial weights fade."""
        steps_done = self.state.epoch * self.loader.n_batches + self.state.step
        return min(self.settings.average, steps_done / (steps_done + 9))

    def _swap_objects(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features and texts. In a share of the steps, swap named objects in them."""
        objects = self.model.objects
        if not self.swap or objects is None or self.text_embeddings is None:
            return features, self.text_embeddings
        if float(torch.rand(())) >= self.swap:
            return features, self.text_embeddings
        return objects.swapped(features, self.text_embeddings)

    def _overflow(self, problem: str, batch: Batch) -> InputError:
        """Return the error for a non-finite loss, which blames features or the learning rate."""
        problem = f"{problem} in epoch {self.state.epoch + 1}"
        largest = float(batch.features.abs().max())
        if largest > LARGE_FEATURE:
            location = self.dataset.folder.features_location
            problem = f"values up to {largest:.3g}, {problem}"
            return InputError(location, problem, "set data.standardize=true")
        return InputError("train.lr", problem, "lower it")

    def validate(self) -> dict[str, float]:
        """Evaluate the validation videos, and save the model if it is the best so far.

        Returns:
            The figures of `evaluation.validate`.
        """
        scorer = self.files.scorer(self.best_model)
        # Whole videos differ in length, and compiling for each length would be slow.
        eager = torch.compiler.set_stance("force_eager") if self.lengths else nullcontext()
        with eager:
            figures = validate(scorer, self.dataset, self.dataset.validation, self.processes)
        if figures["score"] > self.state.best:
            self.state.best = figures["score"]
            self._save_model({"epoch": self.state.epoch, "validation": figures})
        return figures

    def _save_model(self, facts: Json) -> None:
        if self.processes.is_main:
            self._call("on_save", self.files.save_model(self.best_model, facts))

    def _save_state(self) -> None:
        self.save_time = time.monotonic()
        if self.processes.is_main:
            terms = {key: float(value) for key, value in self.state.terms.items()}
            state = replace(self.state, terms=terms)
            self._call("on_save", self.files.save(state, self._models(), self.optimizer))

    @property
    def _best(self) -> float | None:
        """Return the best validation score so far, or None before the first validation."""
        return self.state.best if self.state.best > -math.inf else None

    def _call(self, method: str, *arguments: Any) -> None:
        """Call a method of all callbacks, and remember whether one of them stops the run."""
        now = EpochState(
            run=self.files.path,
            epoch=self.state.epoch,
            epochs=self.settings.epochs,
            best=self._best,
            numbers=self.numbers,
            model=self.model,
            optimizer=self.optimizer,
            config=self.files.config,
            step=self.state.step,
            terms=self.terms,
        )
        for callback in self.callbacks:
            try:
                getattr(callback, method)(now, *arguments)
            except StopTraining as reason:
                self.is_stopped = True
                suffix = f": {reason}" if str(reason) else ""
                logger.info("stopped by a callback%s", suffix)

    def _models(self) -> dict[str, nn.Module]:
        """Return the model and its moving average, if any, by their prefix in last.safetensors."""
        models: dict[str, nn.Module] = {"model.": self.model}
        if self.averages:
            models["average."] = self.best_model
        return models


def padded_lengths(rows: Sequence[int], count: int = 10) -> list[int]:
    """Return the sequence lengths that the model is compiled for.

    Args:
        rows: Number of rows of each video.
        count: Maximum number of lengths.

    Returns:
        Lengths with a constant ratio, from the shortest to the longest video.
    """
    shortest = min(rows)
    ratio = max(rows) / shortest
    lengths = {math.ceil(shortest * ratio ** (step / (count - 1))) for step in range(count)}
    return sorted(lengths)


def clip_gradients(parameters: Sequence[Tensor], largest: float) -> None:
    """Clip gradients to a norm, as ``torch.nn.utils.clip_grad_norm_`` does.

    On the CPU, gradients below the norm are not multiplied. On other devices, this comparison would
    wait for the device.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if norm.device.type != "cpu" or norm > largest:
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)


def lr_factor(settings: TrainConfig, epoch: float) -> float:
    """Return the share of ``train.lr`` at a time in epochs. Fractions are steps in an epoch."""
    if settings.schedule == "step":
        return 0.1 ** (int(epoch) // settings.lr_decay)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / settings.epochs)))
    return 1.0


@contextmanager
def numerics(settings: TrainConfig) -> Iterator[None]:
    """Set the precision of training in the block: TF32 on CUDA unless float32 is set."""
    matmul_precision = torch.get_float32_matmul_precision()
    allow_tf32 = torch.backends.cudnn.allow_tf32
    if pick_device(settings.device, "train.device").type == "cuda":
        is_exact = settings.precision == "float32"
        torch.set_float32_matmul_precision("highest" if is_exact else "high")
        torch.backends.cudnn.allow_tf32 = not is_exact
    # Garbage collection skips existing objects, which saves 3 % of a small model's step.
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        torch.set_float32_matmul_precision(matmul_precision)
        torch.backends.cudnn.allow_tf32 = allow_tf32
