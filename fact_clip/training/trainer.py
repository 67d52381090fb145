"""The training loop of one model, which continues where it was cut off; what holds then is in README.md."""

from __future__ import annotations

import copy
import gc
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from fact_clip.config import TrainConfig
from fact_clip.core import ConfigKey, InputError
from fact_clip.core.distributed import Processes, pick_device, pick_precision
from fact_clip.core.io import read_text
from fact_clip.core.paths import inside
from fact_clip.core.progress import Pace
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.labels import IGNORED
from fact_clip.datasets.loader import Batch, TrainingLoader, TrainingVideos, draw
from fact_clip.inference.scorer import Scorer
from fact_clip.losses.truth import Truth
from fact_clip.run import LoadedRun, Run, save_weights
from fact_clip.training.callbacks import LOGGERS, Callback, EpochState, FileLog, StopTraining
from fact_clip.training.evaluation import Progress, validate
from fact_clip.training.state import (
    TrainingState,
    candidates,
    load_start,
    make_criterion,
    restore_state,
    save_state,
)

logger = logging.getLogger(__name__)

GPU_WORKERS = 4  # Processes that read videos for a GPU, unless ``train.workers`` says otherwise
SAVE_SECONDS = 600  # Inside an epoch the state is saved after this time, so that a long epoch need not be done again
UNUSUAL = 1e4  # Of a feature; scores of larger ones may overflow

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}


class Trainer:
    """The training of the model of a run that `state.begin` has described; `texts` are those that the model reads."""

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        texts: dict[str, Tensor],
        resume: bool = False,
        after_step: Callable[[], None] = lambda: None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        torch.manual_seed(run.config.train.seed)
        self.run, self.dataset, self.settings, self.after_step = (
            run,
            dataset,
            run.config.train,
            after_step,
        )
        self.device = pick_device(self.settings.device, "train.device")
        self.bf16 = (
            pick_precision(self.settings.precision, self.device, "train.precision") == "bf16"
        )
        self.model = run.new_model(**texts).to(self.device)
        if run.config.train.init is not None:
            load_start(self.model, run)
        self.parameters: list[Tensor] = [*self.model.parameters()]
        # Fused is one pass over all parameters a step; torch's loop over them takes twice as long on the CPU.
        settings, kind = self.settings, OPTIMIZERS[self.settings.optimizer]
        self.optimizer = kind(
            self.parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        # What is validated and saved: the model itself, or the exponential moving average of its weights.
        self.best_model = copy.deepcopy(self.model) if self.settings.average else self.model
        self.averages: list[Tensor] = (
            [*self.best_model.parameters()] if self.settings.average else []
        )
        self.model.checkpointing = self.settings.checkpointing
        self.lengths = list[int]()  # to which batches are padded for a compiled model
        if self.device.type == "cuda" if self.settings.compile is None else self.settings.compile:
            for block in self.model.block_list:
                cast(nn.Module, block.frame_branch).compile(dynamic=True)
            stride, slowest = run.config.data.stride, 1 + run.config.augment.speed
            frames = (len(dataset.labels(name)) for name in dataset.train)
            self.lengths = padded_lengths(
                [math.ceil(-(-count // stride) * slowest) for count in frames]
            )
        self.criterion = make_criterion(run, dataset)
        self.processes = Processes(self.device)
        self.state, self.saved = TrainingState(), time.monotonic()
        last, model, log = (
            run.path / name for name in ("last.safetensors", "model.safetensors", "log.jsonl")
        )
        # Cut off before anything was saved: start again. Converted weights have no log and are not trained over, and a
        # second row of the log comes after the first state.
        epochs = len(read_text(log, "a log of training").splitlines()) if log.is_file() else 0
        if resume and (
            os.path.lexists(last) or epochs > 1 or (model.is_file() and not log.is_file())
        ):
            self.state = restore_state(run, self._models(), self.optimizer)
        self.parallel = self.processes.parallel(self.model)
        self.text, self.loader = self._candidates()
        config = run.config.model_dump(mode="json")
        self.callbacks, self.numbers, self.stopped = list[Callback](), dict[str, float](), False
        if self.processes.is_main:
            extra = [LOGGERS[name](run.path, config) for name in self.settings.loggers]
            self.callbacks = [FileLog(run.path, self.state.epoch), *extra, *callbacks]
            if resume:  # nothing is refused from here on
                run.write()

    def _candidates(self) -> tuple[Tensor | None, TrainingLoader]:
        """Texts of the classes that training scores, and videos whose labels are places among them (-1: none)."""
        config, settings = self.run.config, self.settings
        chosen = list(candidates(self.run, self.dataset))
        target_of = np.full(len(self.run.vocabulary) + 1, IGNORED)  # the last one is for label -1
        target_of[chosen] = np.arange(len(chosen))
        text = (
            self.model.text[chosen]
            if self.model.text is not None and config.model.is_open
            else None
        )
        stride, on_gpu = (config.data.stride, config.data.interleave), self.device.type == "cuda"
        videos = TrainingVideos(
            self.dataset, self.run.transform, config.augment, settings.seed, *stride, target_of
        )
        loader = TrainingLoader(
            videos,
            self.dataset.train,
            self.run.videos_a_step or settings.batch_size * self.processes.world,
            # On the CPU all cores are busy with the model.
            workers=(GPU_WORKERS if on_gpu else 0)
            if settings.workers is None
            else settings.workers,
            similar_lengths=settings.similar_lengths,
            pin=on_gpu,
            rank=self.processes.rank,
            world=self.processes.world,
        )
        return text, loader

    def run_all(self, progress: Progress | None) -> dict[str, Any]:
        """Train the epochs that are left; return the facts of the training."""
        started, state, epochs = time.perf_counter(), self.state, self.settings.epochs
        pace = Pace(state.epoch)
        while (
            not self.stopped
            and state.epoch < epochs
            and not 0 < self.settings.patience <= state.since_best
        ):
            row = self._one_epoch()
            self._call(lambda callback, now: callback.on_epoch(now))
            # Last: a run that is cut off before this does the epoch again, and its rows are dropped.
            self._save_state()
            self.stopped = self.processes.broadcast(
                lambda: self.stopped
            )  # the first one alone has callbacks
            if not self.processes.is_main:
                continue
            text = f"loss {row['total']:.3f}"
            if self._best is not None:
                text = f"{text}, best {self.settings.select} {self._best:.1f}"
            if left := pace.left(state.epoch, epochs):
                logger.info("epoch %d of %d: %s, %s left", state.epoch, epochs, text, left)
            if progress is not None:
                progress(state.epoch, epochs, text)
        return {
            "epoch": state.epoch,
            "best": self._best,
            "seconds": time.perf_counter() - started,
            "parameters": sum(parameter.numel() for parameter in self.parameters),
        }

    def _one_epoch(self) -> dict[str, float]:
        """Train one epoch, validate when due, and keep the better model; the numbers of the log."""
        terms = self.train_epoch()
        self.state.epoch += 1
        epoch, settings = self.state.epoch, self.settings
        row = self.numbers = {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"], **terms}
        late = epoch > settings.validate_from * settings.epochs
        due = epoch == settings.epochs or (late and epoch % settings.validate_every == 0)
        if self.dataset.validation and due:
            figures = self.validate()
            row.update({f"validation {key}": value for key, value in figures.items()})
            self._call(lambda callback, now: callback.on_validation(now, figures))
        elif not self.dataset.validation or not (self.run.path / "model.safetensors").is_file():
            self._save_model({"epoch": epoch})
        return row

    def train_epoch(self) -> dict[str, float]:
        """Do the steps of an epoch that are left; the means of the loss terms."""
        settings, processes, state = self.settings, self.processes, self.state
        self.model.train()
        for batch in self.loader.epoch(state.epoch, state.step):
            torch.manual_seed(
                draw("dropout", settings.seed, state.epoch, f"{state.step} {processes.rank}")
            )
            for group in self.optimizer.param_groups:
                group["lr"] = settings.lr * lr_factor(
                    settings, state.epoch + state.step / self.loader.n_batches
                )
            batch = batch.to(self.device)
            frames = next((length for length in self.lengths if length >= batch.mask.shape[1]), 0)
            batch = batch.longer(frames) if frames else batch
            truth = Truth.of(batch.labels).to(self.device)  # cut on the host: no wait for a device
            row = processes.all_reduce(self._step(batch, truth), batch.share)
            state.terms = {key: state.terms.get(key, 0.0) + value for key, value in row.items()}
            state.step += 1
            if time.monotonic() - self.saved > SAVE_SECONDS:
                self._save_state()
            self.after_step()
        means = {key: float(value) / state.step for key, value in state.terms.items()}
        state.step, state.terms = 0, {}
        return means

    def _step(self, batch: Batch, truth: Truth) -> dict[str, Tensor]:
        """One optimiser step; the loss terms, still on the device."""
        transcript = truth.classes if self.run.config.model.transcript else None
        features, text = batch.features, self.text
        share, objects = self.run.config.augment.swap[0], self.model.objects
        if share and objects is not None and text is not None and float(torch.rand(())) < share:
            features, text = objects.swapped(features, text)
        try:
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                output = self.parallel(
                    features, batch.mask if batch.padded else None, text, transcript
                )
                terms = self.criterion(output, truth)
            if not math.isfinite(terms.total.item()):
                raise FloatingPointError("loss that is not finite")
        except FloatingPointError as error:
            problem, largest = (
                f"{error} in epoch {self.state.epoch + 1}",
                float(batch.features.abs().max()),
            )
            if largest > UNUSUAL:  # the rate of learning is not to blame
                problem = f"values up to {largest:.3g}, {problem}"
                raise InputError(
                    self.dataset.folder.features_location, problem, "set data.standardize=true"
                ) from None
            raise InputError(ConfigKey("train.lr"), problem, "lower it") from None
        self.optimizer.zero_grad(set_to_none=True)
        (
            terms.total * batch.share * self.processes.world
        ).backward()  # gradients become the mean over processes
        if self.settings.clip_norm:
            clip_gradients(self.parameters, self.settings.clip_norm)
        self.optimizer.step()
        if self.averages:
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, self.parameters, 1 - self.settings.average)
        return terms.detached()

    def validate(self) -> dict[str, float]:
        """Score the validation videos, and keep the model if it is the best so far; the figures."""
        segmenter = Scorer(LoadedRun(self.run, [self.best_model]), self.device)
        # Whole videos, each of another length, are not compiled for.
        with torch.compiler.set_stance("force_eager") if self.lengths else nullcontext():
            figures = validate(segmenter, self.dataset, self.dataset.validation)
        self.state.since_best += 1
        if figures[self.settings.select] > self.state.best:
            self.state.best, self.state.since_best = figures[self.settings.select], 0
            self._save_model({"epoch": self.state.epoch, "validation": figures})
        return figures

    def _save_model(self, facts: dict[str, Any]) -> None:
        if self.processes.is_main:
            facts = {**facts, "classes": self.run.vocabulary.names}
            path = inside(self.run.path, "model.safetensors")
            save_weights(path, self.best_model.state_dict(), facts)
            self._call(lambda callback, now: callback.on_save(now, path))

    def _save_state(self) -> None:
        self.saved = time.monotonic()
        if self.processes.is_main:
            terms = {key: float(value) for key, value in self.state.terms.items()}
            save_state(self.run, replace(self.state, terms=terms), self._models(), self.optimizer)
            self._call(
                lambda callback, now: callback.on_save(now, self.run.path / "last.safetensors")
            )

    @property
    def _best(self) -> float | None:
        """The best figure on the validation videos so far; None before the first validation."""
        return self.state.best if self.state.best > -math.inf else None

    def _call(self, method: Callable[[Callback, EpochState], None]) -> None:
        """Call a method of all callbacks, and remember whether one stops the training."""
        now = EpochState(
            self.run.path, self.state.epoch, self.settings.epochs, self._best, self.numbers
        )
        for callback in self.callbacks:
            try:
                method(callback, now)
            except StopTraining as reason:
                self.stopped = True
                logger.info("stopped by a callback%s", f": {reason}" if str(reason) else "")

    def _models(self) -> dict[str, nn.Module]:
        """The model and, where there is one, the moving average of its weights; by prefix in last.safetensors."""
        models: dict[str, nn.Module] = {"model.": self.model}
        return models | ({"average.": self.best_model} if self.averages else {})


def padded_lengths(rows: Sequence[int], count: int = 10) -> list[int]:
    """At most `count` lengths in equal ratios, shortest to longest video, which a compiled model is planned for."""
    shortest, longest = min(rows), max(rows)
    return sorted(
        {
            math.ceil(shortest * (longest / shortest) ** (step / (count - 1)))
            for step in range(count)
        }
    )


def clip_gradients(parameters: Sequence[Tensor], largest: float) -> None:
    """``torch.nn.utils.clip_grad_norm_``, which on the CPU multiplies nothing where nothing is too large."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if (
        norm.device.type != "cpu" or norm > largest
    ):  # elsewhere the comparison would wait for the device
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)


def lr_factor(settings: TrainConfig, epoch: float) -> float:
    """Share of ``train.lr`` at a time counted in epochs (fractions are steps inside one)."""
    warm = min(1.0, (epoch + 1e-3) / settings.warmup) if settings.warmup else 1.0
    if settings.schedule == "step":
        return warm * 0.1 ** (int(epoch) // settings.lr_decay)
    if settings.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / settings.epochs)))
    return warm


@contextmanager
def numerics(settings: TrainConfig) -> Iterator[None]:
    """Set how a training computes (on CUDA in TF32 unless ``train.precision`` is float32), and undo it."""
    products = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    algorithms = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    if pick_device(settings.device, "train.device").type == "cuda":
        exact = settings.precision == "float32"
        torch.set_float32_matmul_precision("highest" if exact else "high")
        torch.backends.cudnn.allow_tf32 = not exact
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS needs for it
        torch.use_deterministic_algorithms(True, warn_only=True)
    gc.freeze()  # what is there already is not searched for garbage again and again: 3 % of a small model's step
    try:
        yield
    finally:
        gc.unfreeze()
        torch.set_float32_matmul_precision(products[0])
        torch.backends.cudnn.allow_tf32 = products[1]
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
