"""Train a plain dilated convolution: the baseline for the recipe of ``fact-clip data init``.

    OMP_NUM_THREADS=1 python experiments/tcn.py ROOT [SPLIT]

One stage of MS-TCN (Farha and Gall, CVPR 2019) reads standardised columns, with the mean and the
deviation of windows of 5 and 25 frames: 9 dilated layers of 64 channels, dropout 0.3 on the columns and
in the layers, smoothing 0.15, Adam at 2e-3 with a cosine, one video per step, until 60 processor seconds
are spent. The epoch and the switching penalty are chosen on the validation videos. The script shares the
reading of data, the metrics and the decoding with fact_clip, and nothing of the model.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fact_clip import metrics
from fact_clip.config import DataConfig
from fact_clip.core.vocabulary import parse_mapping
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.layout import find_benchmark
from fact_clip.datasets.naming import guess_names
from fact_clip.decoding import decode_switching

WINDOWS = (5, 25)
LAYERS = 9
WIDTH = 64
DROPOUT = 0.3
SMOOTHING = 0.15
LR = 2e-3
PENALTIES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
VALIDATIONS = 20  # during the time budget
FIGURES = ("frame_accuracy", "edit", "f1@10", "f1@25", "f1@50")
CHOSEN_BY = FIGURES[:3]

Labels = NDArray[np.int64]


class Layer(nn.Module):
    """A layer of MS-TCN."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(WIDTH, WIDTH, 1)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, F, T) to (B, F, T)."""
        change: Tensor = self.dropout(self.mix(torch.relu(self.dilated(x))))
        return x + change


class TCN(nn.Module):
    """Columns to scores of classes."""

    def __init__(self, columns: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout1d(DROPOUT),  # whole columns
            nn.Conv1d(columns, WIDTH, 1),
            *(Layer(2**depth) for depth in range(LAYERS)),
            nn.Conv1d(WIDTH, classes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (T, D) to log-probabilities (T, C)."""
        scores: Tensor = self.layers(x.T.unsqueeze(0))[0].T
        return scores.log_softmax(-1)


def loss_of(logp: Tensor, labels: Tensor) -> Tensor:
    """Return cross entropy plus the truncated squared change of the log-probabilities (T, C)."""
    change = (logp[1:] - logp[:-1].detach()).square().clamp(max=16)
    cross_entropy = nn.functional.nll_loss(logp, labels, ignore_index=-1)
    return cross_entropy + SMOOTHING * change.mean()


@dataclass
class Best:
    """The best model so far, by its validation."""

    score: float = -math.inf
    epoch: int = 0
    penalty: float = 0.0
    state: dict[str, Tensor] | None = None


class Training:
    """One training of the convolution."""

    def __init__(self, dataset: Dataset, seconds: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.dataset = dataset
        self.seconds = seconds
        self.background = dataset.vocabulary.background_indices
        train_features = (dataset.features(name) for name in dataset.train)
        transform = FeatureTransform.fit(train_features, WINDOWS)
        self.inputs: dict[str, Tensor] = {}  # (T, D) by video
        self.labels: dict[str, Labels] = {}
        for name in (*dataset.train, *dataset.validation, *dataset.test):
            self.inputs[name] = torch.from_numpy(transform(dataset.features(name)))
            self.labels[name] = dataset.labels(name)
        self.model = TCN(transform.width, len(dataset.vocabulary))
        self.best = Best()

    def run(self) -> int:
        """Train until the time is spent and return the number of epochs that were begun."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=LR)
        order = np.random.default_rng(0)
        start = time.process_time()
        epoch = 0
        due = 1
        while True:
            epoch += 1
            for name in order.permutation(self.dataset.train):
                share = (time.process_time() - start) / self.seconds
                if share >= 1:
                    self._validate(epoch)
                    return epoch
                self._step(optimizer, name, share)
            if share * VALIDATIONS >= due:
                self._validate(epoch)
                due = int(share * VALIDATIONS) + 1

    def _step(self, optimizer: torch.optim.Optimizer, name: str, share: float) -> None:
        """Train on one video, at the learning rate of a share of the time."""
        for group in optimizer.param_groups:
            group["lr"] = LR * 0.5 * (1 + math.cos(math.pi * share))
        self.model.train()
        labels = torch.from_numpy(self.labels[name].copy())
        loss = loss_of(self.model(self.inputs[name]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def _validate(self, epoch: int) -> None:
        """Keep the model if it is the best so far with one of the penalties."""
        names = self.dataset.validation
        scores = self.scores(names)
        for penalty in PENALTIES:
            figures = self.figures(names, [decode_switching(table, penalty) for table in scores])
            score = sum(figures[key] for key in CHOSEN_BY) / len(CHOSEN_BY)
            if score > self.best.score:
                state = {key: value.clone() for key, value in self.model.state_dict().items()}
                self.best = Best(score, epoch, penalty, state)

    @torch.inference_mode()
    def scores(self, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return the log-probabilities (T, C) of each video."""
        self.model.eval()
        return [self.model(self.inputs[name]).numpy() for name in names]

    def figures(self, names: Sequence[str], predicted: list[Labels]) -> dict[str, float]:
        """Return the metrics of some videos."""
        truth = [self.labels[name] for name in names]
        figures = metrics.evaluate(truth, predicted, background=self.background)
        return {key: float(figures[key]) for key in FIGURES}

    def tested(self) -> dict[str, float]:
        """Return the metrics of the best model on the test videos."""
        assert self.best.state is not None
        self.model.load_state_dict(self.best.state)
        names = self.dataset.test
        labels = [decode_switching(table, self.best.penalty) for table in self.scores(names)]
        return self.figures(names, labels)


def open_split(root: str, split: str, name: str) -> Dataset:
    """Open a split; the background is guessed by its name, as ``data init`` does."""
    config = DataConfig(root=root, name=name, split=split)
    class_names = parse_mapping(Path(root) / find_benchmark(name).mapping)[0]
    config = guess_names(config, class_names, Path(root))[0]
    return Dataset.open(config)


def main() -> int:
    """Train, and print a line for each seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root")
    parser.add_argument("split", nargs="?", default="1")
    parser.add_argument("--name", default="folder", help="entry of datasets/benchmarks.py")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="CPU-seconds of training, validation included"
    )
    parser.add_argument("--seeds", default="0", help="as 0,1,2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed in arguments.seeds.split(","):
        start = time.process_time()
        dataset = open_split(arguments.root, arguments.split, arguments.name)
        training = Training(dataset, arguments.seconds, int(seed))
        epochs = training.run()
        figures = " / ".join(f"{value:.1f}" for value in training.tested().values())
        seconds = time.process_time() - start
        best = training.best
        print(f"seed {seed}: frame / edit / F1@10,25,50 {figures}; {seconds:.0f} CPU-s, ", end="")
        print(f"{epochs} epochs, best {best.epoch}, penalty {best.penalty:g}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
