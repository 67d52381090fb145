"""The training loop: one function that trains, validates, saves, and can go on where it was cut off.

The order of videos, their masking and dropout depend on (seed, epoch) alone, so a run that is resumed
after a whole epoch follows the same loss curve as one that was not interrupted.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fact_clip import checkpoint
from fact_clip.checkpoint import Run
from fact_clip.config import Config, TrainConfig
from fact_clip.core import InputError
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.loader import training_batches
from fact_clip.encoders.joint import pick_device
from fact_clip.inference.segmenter import Segmenter
from fact_clip.models import FACT
from fact_clip.training.calibration import calibrate_run, check_prior
from fact_clip.training.ensemble import swap_of, trained_beside
from fact_clip.training.evaluation import Progress, check_select, evaluate, validate
from fact_clip.training.logs import FileLog, check_loggers, make_logger
from fact_clip.training.setup import candidates, make_criterion, prepare

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def train(config: Config, out: str | Path, *, resume: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Train a model into the run folder ``out``.

    The checkpoint that is kept (``model.safetensors``) is the best on the validation videos, a part of the
    training videos; without validation videos it is the last. The test split is not read.

    Args:
        config: everything that makes the run.
        out: the run folder; it must be new, unless ``resume``.
        resume: go on after the last whole epoch of an interrupted run of the same configuration; epochs and members
            may have become more.
        progress: called with (epochs done, epochs, a short text).

    Returns:
        ``{"epoch", "best", "seconds", "parameters"}`` of the run.
    """
    out, dataset = Path(out), Dataset.open(config.data)
    # What would otherwise be told after minutes, with a folder half written.
    pick_device(config.train.device)
    check_loggers(config.train.loggers)
    check_select(config)
    if dataset.holdout is not None:
        check_prior(config.decode, dataset)
    dataset.check()
    run, texts = prepare(config, out, dataset, resume)
    with trained_beside(run.config, out, resume):
        torch.manual_seed(config.train.seed)
        result = _Training(run, dataset, resume, texts).run_all(progress)
    if dataset.holdout is not None and run.config.model.head == "text":
        calibration = calibrate_run(run, dataset, pick_device(config.train.device))
        checkpoint.write_json(run.path / "calibration.json", asdict(calibration))
    return result


def train_and_evaluate(
    config: Config, folder: Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """One of several runs: trained, or gone on with where ``resume`` finds it begun, and its evaluation."""
    train(config, folder, resume=resume and (folder / "run.json").is_file(), progress=progress)
    return evaluate(folder, device=config.train.device)


def mean_figures(results: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The mean over several runs of each figure that is a number."""
    keys = [key for key, value in next(iter(results.values())).items() if isinstance(value, int | float)]
    return {key: sum(metrics[key] for metrics in results.values()) / len(results) for key in keys}


def train_all_splits(
    config: Config, out: str | Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train and evaluate each split in turn into ``out/splitN``; with ``resume`` each goes on where it was cut off.

    Returns:
        ``{"splits": {name: metrics}, "mean": metrics}``.
    """
    out, results = Path(out), {}
    for split in Dataset.splits(config.data):
        folder = out / f"split{split}"
        one = config.model_copy(update={"data": config.data.model_copy(update={"split": split})})
        results[str(split)] = train_and_evaluate(one, folder, resume=resume, progress=progress)["metrics"]
    mean = mean_figures(results)
    checkpoint.write_json(out / "evaluation.json", {"metrics": mean, "splits": results})
    return {"splits": results, "mean": mean}


class _Training:
    """The state of one training: model, optimiser, and the best validation so far."""

    def __init__(self, run: Run, dataset: Dataset, resume: bool, texts: dict[str, Tensor]) -> None:
        self.run, self.dataset, self.settings = run, dataset, run.config.train
        self.device = pick_device(self.settings.device)
        self.model = run.new_model(**texts).to(self.device)
        self.optimizer = make_optimizer(self.model, self.settings)
        # What is validated and kept: the model itself, or the moving average of its weights.
        self.kept = copy.deepcopy(self.model) if self.settings.average else self.model
        # Listed once: walking the modules anew takes a tenth of a step.
        self.parameters, self.averages = list(self.model.parameters()), list(self.kept.parameters())
        self.criterion = make_criterion(run, dataset)
        self.text, self.place = self._candidates()
        self.epoch, self.best, self.since_best = 0, -math.inf, 0
        last, model, log = (run.path / name for name in ("last.safetensors", "model.safetensors", "log.jsonl"))
        # Cut off in the first epoch: begin anew. Converted weights have no log and are not trained over.
        if resume and (last.is_file() or (model.is_file() and not log.is_file())):
            self._restore()
        self.file_log = FileLog(run.path, self.epoch)
        config = run.config.model_dump(mode="json")
        self.loggers = [self.file_log, *(make_logger(name, run.path, config) for name in self.settings.loggers)]

    def _candidates(self) -> tuple[Tensor | None, Tensor]:
        """Texts of the classes that training scores, and class index -> place among them (-1: none)."""
        chosen = torch.tensor(candidates(self.run, self.dataset), device=self.device)
        place = torch.full((len(self.run.vocabulary) + 1,), -1, device=self.device)  # the last one is for label -1
        place[chosen] = torch.arange(len(chosen), device=self.device)
        text = self.model.text[chosen] if self.model.text is not None and self.run.config.model.head == "text" else None
        return text, place

    def run_all(self, progress: Progress | None) -> dict[str, Any]:
        started = time.perf_counter()
        while self.epoch < self.settings.epochs and not self._stopped():
            row = self._one_epoch()
            for logger in self.loggers:
                logger.log(row)
            # Last: a run that is cut off before this does the epoch again, and its rows are dropped.
            self._save_state()
            if progress is not None:
                best = f", best {self.best:.1f}" if self.dataset.validation and self.best > -math.inf else ""
                progress(self.epoch, self.settings.epochs, f"loss {row['total']:.3f}{best}")
        return {
            "epoch": self.epoch,
            "best": self.best if self.dataset.validation else None,
            "seconds": time.perf_counter() - started,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
        }

    def _stopped(self) -> bool:
        return 0 < self.settings.patience <= self.since_best

    def _one_epoch(self) -> dict[str, float]:
        """Train one epoch, validate when due, and keep the better model; the numbers of the log."""
        terms = self._train_epoch()
        self.epoch += 1
        row = {"epoch": self.epoch, "lr": self.optimizer.param_groups[0]["lr"], **terms}
        last = self.epoch == self.settings.epochs
        late = self.epoch > self.settings.validate_from * self.settings.epochs
        due = last or (late and self.epoch % self.settings.validate_every == 0)
        if self.dataset.validation and due:
            row.update(self._validate())
        elif not self.dataset.validation or not (self.run.path / "model.safetensors").is_file():
            self._save_model({"epoch": self.epoch})
        return row

    def _train_epoch(self) -> dict[str, float]:
        settings, config = self.settings, self.run.config
        torch.manual_seed(settings.seed * 100_003 + self.epoch)  # dropout of this epoch
        data = self.dataset, self.dataset.train, self.run.transform, config.augment
        draw = settings.batch_size, settings.seed, self.epoch, config.data.stride
        batches = training_batches(*data, *draw, interleave=config.data.interleave)
        self.model.train()
        n_batches = math.ceil(len(self.dataset.train) / settings.batch_size)
        rows: list[dict[str, float]] = []
        for step, batch in enumerate(batches):
            for group in self.optimizer.param_groups:
                group["lr"] = settings.lr * lr_factor(settings, self.epoch + step / n_batches)
            rows.append(self._step(batch.to(self.device)))
        return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}

    def _step(self, batch: Any) -> dict[str, float]:
        """One optimiser step; the loss terms as numbers."""
        bf16 = self.settings.precision == "bf16"
        transcript = transcripts(batch.labels).to(self.device) if self.run.config.model.transcript else None
        features, text = self._swapped(batch.features)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            output = self.model(features, batch.mask, text, transcript)
            self._check_finite("scores", output.blocks[-1].token_logits, output.blocks[-1].frame_logits)
            terms = self.criterion(output, self.place[batch.labels], batch.mask)
        self._check_finite("loss", terms.total)
        self.optimizer.zero_grad(set_to_none=True)
        terms.total.backward()
        if self.settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        self.optimizer.step()
        if self.settings.average:
            self._average()
        return terms.as_dict()

    def _swapped(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Input and texts of a step; with swap augmentation the named things of some steps are swapped."""
        share, objects = swap_of(self.run.config, 0), self.model.objects
        if not share or objects is None or self.text is None or float(torch.rand(())) >= share:
            return features, self.text
        return objects.swapped(features, self.text)

    def _check_finite(self, what: str, *values: Tensor) -> None:
        if not all(bool(torch.isfinite(value).all()) for value in values):
            raise InputError("train.lr", f"{what} that are not finite in epoch {self.epoch + 1}", todo="lower it")

    def _average(self) -> None:
        get_ema_multi_avg_fn(self.settings.average)(self.averages, self.parameters, None)

    def _validate(self) -> dict[str, float]:
        segmenter = Segmenter(self.run, self.kept, self.device)
        figures = validate(segmenter, self.run.config, self.dataset, self.dataset.validation)
        self.since_best += 1
        if figures[self.settings.select] > self.best:
            self.best, self.since_best = figures[self.settings.select], 0
            self._save_model({"epoch": self.epoch, "validation": figures})
        return {f"validation {key}": value for key, value in figures.items()}

    def _save_model(self, facts: dict[str, Any]) -> None:
        checkpoint.save_weights(self.run.path / "model.safetensors", self.kept.state_dict(), facts)

    def _save_state(self) -> None:
        """Model and optimiser state by name; a run resumed from it goes on exactly."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.kept is not self.model:
            tensors.update({f"average.{name}": value for name, value in self.kept.state_dict().items()})
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors.update(
                {f"optimizer.{index}.{key}": torch.as_tensor(v) for key, v in values.items() if v is not None}
            )
        facts = {"epoch": self.epoch, "best": self.best, "since_best": self.since_best}
        checkpoint.save_weights(self.run.path / "last.safetensors", tensors, facts)

    def _restore(self) -> None:
        path = self.run.path / "last.safetensors"
        tensors, facts = checkpoint.read_weights(path)
        models = {"model.": self.model} if self.kept is self.model else {"model.": self.model, "average.": self.kept}
        for prefix, model in models.items():
            weights = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
            checkpoint.load_strictly(model, weights, str(path))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.epoch, self.best, self.since_best = facts["epoch"], facts["best"], facts["since_best"]


def make_optimizer(model: FACT, settings: TrainConfig) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD (momentum 0.9)."""
    extra = {"momentum": 0.9} if settings.optimizer == "sgd" else {}
    kind = OPTIMIZERS[settings.optimizer]
    # One pass over all parameters a step; torch's loop over them takes twice as long on the CPU.
    return kind(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True, **extra)


def lr_factor(settings: TrainConfig, epoch: float) -> float:
    """Share of ``train.lr`` at a time counted in epochs (fractions are steps inside one)."""
    warm = min(1.0, (epoch + 1e-3) / settings.warmup) if settings.warmup else 1.0
    if settings.schedule == "step":
        return warm * 0.1 ** (int(epoch) // settings.lr_decay)
    if settings.schedule == "cosine":
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / settings.epochs)))
    return warm


def transcripts(labels: Tensor) -> Tensor:
    """(B, M) the classes in order of each video's labels (B, T), -1 at padding; ignored frames give none."""
    found = []
    for row in labels.cpu():
        change = torch.ones_like(row, dtype=torch.bool)
        change[1:] = row[1:] != row[:-1]
        found.append(row[change & (row >= 0)])
    return torch.nn.utils.rnn.pad_sequence(found, batch_first=True, padding_value=-1)
