"""The files of a run during training: weights, `TrainingState` and logs."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fact_clip.config import TrainConfig
from fact_clip.core import FileLocation, InputError, Json
from fact_clip.core.io import parse_value, read_text
from fact_clip.core.paths import inside
from fact_clip.inference.scorer import Scorer
from fact_clip.models import FACT
from fact_clip.runs.run import LoadedRun, Run, check_classes
from fact_clip.runs.weights import load_strictly, read_weights, save_weights
from fact_clip.training.callbacks import LOGGERS, Callback, FileLog

_TRAIN_AGAIN = "train the run again"

# Tensors that the optimiser in torch stores for each parameter.
_MOMENTS = {
    "adam": ("step", "exp_avg", "exp_avg_sq"),
    "adamw": ("step", "exp_avg", "exp_avg_sq"),
    "sgd": ("momentum_buffer",),
}


def has_progress(folder: Path) -> bool:
    """Return whether a run has anything to continue: a state, even a lost one, or weights.

    A run that was interrupted before anything was saved starts again.
    """
    if os.path.lexists(folder / "last.safetensors"):
        return True
    log = folder / "log.jsonl"
    if not log.is_file():
        # Converted weights have no log, and training must not overwrite them.
        return (folder / "model.safetensors").is_file()
    # The second row of the log is written after the first state. If the state is missing now, it
    # was lost, and training must not silently start again.
    return len(read_text(log, "a log of training").splitlines()) > 1


@dataclass
class TrainingState:
    """Progress of a training run, as stored in last.safetensors.

    Attributes:
        epoch: Number of completed epochs.
        best: Best score on the validation videos, or minus infinity before the first validation.
        step: Number of completed steps of the current epoch.
        terms: Sums of the loss terms of the current epoch.
        is_stopped: Whether a callback has ended the run.
    """

    epoch: Annotated[int, Field(ge=0)] = 0
    best: Annotated[float, Field(lt=math.inf)] = -math.inf
    step: Annotated[int, Field(ge=0)] = 0
    terms: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = field(default_factory=dict)
    is_stopped: bool = False


class RunFiles:
    """The folder of a run during training: weights, state and logs.

    Args:
        run: Run that `begin` returned.

    Attributes:
        path: Run folder.
        config: Configuration of the run, for callbacks.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.path = run.path
        self.config = run.config

    def rewrite(self) -> None:
        """Write the description of a resumed run. Delete what was learned from old weights."""
        for name in ("decoding.json", "calibration.json", "confidence.json"):
            (self.path / name).unlink(missing_ok=True)
        self._run.write()

    def scorer(self, model: FACT) -> Scorer:
        """Return a scorer with the weights of a model, on its device."""
        device = next(model.parameters()).device
        return Scorer(LoadedRun(self._run, [model]), device)

    def logs(self, last_epoch: int) -> list[Callback]:
        """Return the loggers of the configuration. `FileLog` drops rows after the last epoch."""
        settings = self.config.model_dump(mode="json")
        logs: list[Callback] = [FileLog(self.path, last_epoch)]
        for name in self.config.train.loggers:
            logs.append(LOGGERS[name](self.path, settings))
        return logs

    def save_model(self, model: FACT, facts: Json) -> Path:
        """Write weights with facts about them, and return the path of the file."""
        path = inside(self.path, "model.safetensors")
        save_weights(path, model.state_dict(), {**facts, "classes": self._run.vocabulary.names})
        return path

    def save(
        self,
        state: TrainingState,
        models: Mapping[str, nn.Module],
        optimizer: torch.optim.Optimizer,
    ) -> Path:
        """Write the state of training. A run that resumes from it continues exactly.

        Args:
            state: Progress of the run.
            models: Models by prefix, "model." and "average.".
            optimizer: Optimiser of the run.

        Returns:
            The path of the file.
        """
        tensors: dict[str, Tensor] = {}
        for prefix, model in models.items():
            tensors |= model.state_dict(prefix=prefix)
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if value is not None:
                    tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
        facts = {**asdict(state), "classes": self._run.vocabulary.names}
        path = inside(self.path, "last.safetensors")
        save_weights(path, tensors, facts)
        return path

    def restore(
        self, models: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
    ) -> TrainingState:
        """Load a state that `save` wrote into the models and the optimiser.

        Returns:
            The progress.

        Raises:
            InputError: The file is damaged or belongs to a different run.
        """
        path = self.path / "last.safetensors"
        tensors, facts = read_weights(path)
        check_classes(self._run, facts.get("classes"), path)
        for prefix, model in models.items():
            weights = {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
            load_strictly(model, weights, path)
        state = parse_value(TrainingState, facts, path, _TRAIN_AGAIN)
        if "epoch" not in facts or (state.step and "total" not in state.terms):
            raise InputError(path, "no facts about the progress of training", _TRAIN_AGAIN)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            match = re.fullmatch(r"optimizer\.([0-9]+)\.(\w+)", name)
            if match:
                moments.setdefault(int(match[1]), {})[match[2]] = tensor
        _check_state(path, self.config.train, state, moments, optimizer)
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        return state


def _check_state(
    path: Path,
    settings: TrainConfig,
    state: TrainingState,
    moments: Mapping[int, Mapping[str, Tensor]],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Raise an InputError if a state does not fit the settings and the optimiser."""
    if state.epoch and not moments:
        raise InputError(path, f"no state of {settings.optimizer}", _TRAIN_AGAIN)
    parameters = dict(enumerate(optimizer.param_groups[0]["params"]))
    for index, values in moments.items():
        shapes = {name: value.shape for name, value in values.items()}
        expected = {}
        if index in parameters:
            expected = dict.fromkeys(_MOMENTS[settings.optimizer], parameters[index].shape)
        if "step" in expected:
            expected["step"] = torch.Size()
        if shapes != expected:
            problem = f"not a state of {settings.optimizer}: {', '.join(shapes)}"
            raise InputError(FileLocation(path, part=f"optimizer.{index}"), problem, _TRAIN_AGAIN)
    if state.epoch > settings.epochs:
        problem = f"{settings.epochs}, but {state.epoch} epochs are complete"
        raise InputError("train.epochs", problem, "set a larger number")
    weights = path.with_name("model.safetensors")
    if state.epoch and not weights.is_file():
        raise InputError(weights, "no such file, but it must contain the best weights so far")
