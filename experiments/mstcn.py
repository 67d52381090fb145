"""Train MS-TCN (Farha and Gall, CVPR 2019) with the settings of its paper.

    OMP_NUM_THREADS=1 PYTHONPATH=. python experiments/mstcn.py ROOT [SPLIT]

Four stages of 10 dilated layers of 64 channels read the columns as they are; each later stage reads the
probabilities of the one before. Dropout 0.5, Adam at 5e-4 without a schedule, one video per step, 50 epochs.
The last epoch counts, and each frame gets its most probable class: nothing is chosen on any video. The
script was written from the paper, and shares the layer and the loss of a stage with ``tcn.py``.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import tcn
import torch
from torch import Tensor, nn

from fact_clip import metrics
from fact_clip.datasets.dataset import Dataset

STAGES = 4
LAYERS = 10
DROPOUT = 0.5
LR = 5e-4
EPOCHS = 50


class Stage(nn.Sequential):
    """A stack of dilated layers.

    Args:
        columns: of its input.
        classes: of its scores.
    """

    def __init__(self, columns: int, classes: int) -> None:
        layers = [tcn.Layer(2**depth) for depth in range(LAYERS)]
        for layer in layers:
            layer.dropout.p = DROPOUT
        super().__init__(
            nn.Conv1d(columns, tcn.WIDTH, 1), *layers, nn.Conv1d(tcn.WIDTH, classes, 1)
        )


class MSTCN(nn.Module):
    """Columns to the scores of each stage."""

    def __init__(self, columns: int, classes: int) -> None:
        super().__init__()
        first = Stage(columns, classes)
        self.stages = nn.ModuleList([first, *(Stage(classes, classes) for _ in range(STAGES - 1))])

    def forward(self, x: Tensor) -> Tensor:
        """Map (T, D) to the log-probabilities (S, T, C) of the stages."""
        scores = []
        values = x.T.unsqueeze(0)  # (1, D, T)
        for stage in self.stages:
            logits = stage(values)  # (1, C, T)
            scores.append(logits[0].T.log_softmax(-1))
            values = logits.softmax(1)
        return torch.stack(scores)


def inputs(dataset: Dataset, name: str) -> Tensor:
    """Return the columns (T, D) of a video."""
    return torch.from_numpy(dataset.features(name).astype(np.float32))


def trained(dataset: Dataset) -> MSTCN:
    """Train on the training videos of a split, those of validation included."""
    videos = (*dataset.train, *dataset.validation)
    model = MSTCN(inputs(dataset, videos[0]).shape[1], len(dataset.vocabulary))
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    order = np.random.default_rng(0)
    for _ in range(EPOCHS):
        for name in order.permutation(videos):
            labels = torch.from_numpy(dataset.labels(name).copy())
            scores = model(inputs(dataset, name))  # (S, T, C)
            loss = torch.stack([tcn.loss_of(table, labels) for table in scores]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@torch.inference_mode()
def tested(model: MSTCN, dataset: Dataset) -> dict[str, float]:
    """Return the metrics on the test videos."""
    model.eval()
    truth = [dataset.labels(name) for name in dataset.test]
    tables = [model(inputs(dataset, name))[-1] for name in dataset.test]
    predicted = [table.argmax(-1).numpy() for table in tables]
    figures = metrics.evaluate(truth, predicted, background=dataset.vocabulary.background_indices)
    return {key: float(figures[key]) for key in tcn.FIGURES}


def main() -> int:
    """Train, and print a line for each seed."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("root")
    parser.add_argument("split", nargs="?", default="1")
    parser.add_argument("--name", default="folder", help="entry of datasets/benchmarks.py")
    parser.add_argument("--seeds", default="0", help="as 0,1,2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = tcn.open_split(arguments.root, arguments.split, arguments.name)
    for seed in arguments.seeds.split(","):
        torch.manual_seed(int(seed))
        start = time.process_time()
        figures = tested(trained(dataset), dataset)
        row = " / ".join(f"{value:.1f}" for value in figures.values())
        print(f"seed {seed}: {row}; {time.process_time() - start:.0f} CPU-s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
