"""A plain dilated convolution, the baseline that the recipe of ``fact-clip data init`` has to beat on a small data set.

OMP_NUM_THREADS=1 python experiments/tcn.py ROOT [SPLIT]

One stage of MS-TCN (Farha and Gall, CVPR 2019) on standardised columns, beside which stand the mean and the deviation
of windows of 5 and 25 frames: 9 dilated layers of 64 channels, dropout 0.3 on the columns and in the layers, smoothing
0.15, Adam at 2e-3 with a cosine, one video a step, until 60 CPU-seconds are spent. The epoch and the price of a change
of action are chosen on the validation videos. It shares the reading of data, the metrics and the decoding with
fact_clip, and nothing of the model.
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
from fact_clip.datasets.describe import guess_names
from fact_clip.datasets.features import FeatureTransform
from fact_clip.datasets.layout import find_benchmark
from fact_clip.decoding import decode_switching

WINDOWS, LAYERS, WIDTH, DROPOUT, SMOOTHING, LR = (5, 25), 9, 64, 0.3, 0.15, 2e-3
PRICES = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
VALIDATIONS = 20  # over the time budget
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
        """(B, F, T) to (B, F, T)."""
        out: Tensor = x + self.dropout(self.mix(torch.relu(self.dilated(x))))
        return out


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
        """(T, D) to log-probabilities (T, C)."""
        scores: Tensor = self.layers(x.T.unsqueeze(0))[0].T
        return scores.log_softmax(-1)


def loss_of(logp: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy and the truncated squared change of the log-probabilities."""
    change = (logp[1:] - logp[:-1].detach()).square().clamp(max=16)
    return nn.functional.nll_loss(logp, labels, ignore_index=-1) + SMOOTHING * change.mean()


@dataclass
class Kept:
    """The best model so far, by its validation."""

    score: float = -math.inf
    epoch: int = 0
    price: float = 0.0
    state: dict[str, Tensor] | None = None


class Training:
    """One training of the convolution."""

    def __init__(self, dataset: Dataset, seconds: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.dataset, self.seconds = dataset, seconds
        self.background = dataset.vocabulary.background_indices
        transform = FeatureTransform.fit(
            (dataset.features(name) for name in dataset.train), WINDOWS
        )
        names = (*dataset.train, *dataset.validation, *dataset.test)
        self.inputs = {name: torch.from_numpy(transform(dataset.features(name))) for name in names}
        self.labels = {name: dataset.labels(name) for name in names}
        self.model, self.kept = TCN(transform.width, len(dataset.vocabulary)), Kept()

    def run(self) -> int:
        """Train until the time is spent; the number of epochs begun."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=LR)
        order = np.random.default_rng(0)
        started, epoch, due = time.process_time(), 0, 1
        while True:
            epoch += 1
            for name in order.permutation(self.dataset.train):
                share = (time.process_time() - started) / self.seconds
                if share >= 1:
                    self._validate(epoch)
                    return epoch
                for group in optimizer.param_groups:
                    group["lr"] = LR * 0.5 * (1 + math.cos(math.pi * share))
                self.model.train()
                loss = loss_of(
                    self.model(self.inputs[name]), torch.from_numpy(self.labels[name].copy())
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if share * VALIDATIONS >= due:
                self._validate(epoch)
                due = int(share * VALIDATIONS) + 1

    def _validate(self, epoch: int) -> None:
        names = self.dataset.validation
        scores = self.scores(names)
        for price in PRICES:
            figures = self.figures(names, [decode_switching(each, price) for each in scores])
            score = sum(figures[key] for key in CHOSEN_BY) / len(CHOSEN_BY)
            if score > self.kept.score:
                state = {key: value.clone() for key, value in self.model.state_dict().items()}
                self.kept = Kept(score, epoch, price, state)

    @torch.inference_mode()
    def scores(self, names: Sequence[str]) -> list[NDArray[np.float32]]:
        """Log-probabilities (T, C) of each video."""
        self.model.eval()
        return [self.model(self.inputs[name]).numpy() for name in names]

    def figures(self, names: Sequence[str], predicted: list[Labels]) -> dict[str, float]:
        """Metrics of some videos."""
        truth = [self.labels[name] for name in names]
        found = metrics.evaluate(truth, predicted, background=self.background)
        return {key: float(found[key]) for key in FIGURES}

    def tested(self) -> dict[str, float]:
        """Metrics of the kept model on the test videos."""
        assert self.kept.state is not None
        self.model.load_state_dict(self.kept.state)
        names = self.dataset.test
        return self.figures(
            names, [decode_switching(each, self.kept.price) for each in self.scores(names)]
        )


def opened(root: str, split: str, name: str) -> Dataset:
    """A split of a data set; the background is guessed by its name, as ``data init`` does."""
    config = DataConfig(root=root, name=name, split=split)
    listed = parse_mapping(Path(root) / find_benchmark(name).mapping)[0]
    return Dataset.open(guess_names(config, listed, Path(root))[0])


def main() -> int:
    """Train, and print a line a seed."""
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
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed in given.seeds.split(","):
        started = time.process_time()
        training = Training(opened(given.root, given.split, given.name), given.seconds, int(seed))
        epochs = training.run()
        figures = " / ".join(f"{value:.1f}" for value in training.tested().values())
        kept = training.kept
        print(f"seed {seed}: frame / edit / F1@10,25,50 {figures}; {time.process_time() - started:.0f} CPU-s, "
              f"{epochs} epochs, kept {kept.epoch}, price {kept.price:g}", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
