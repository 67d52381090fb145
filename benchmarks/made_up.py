"""Made-up videos, and models whose predicted segments are those of the videos, for the other benchmarks.

The frames of an action are its prototype and noise. Untrained weights cut such a video into one segment or into
hundreds, which no trained model does, so that the GRU over segments would take most of the time or none of it. `plant`
lays a path for the class through random weights: the model predicts as many segments as the video has.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fact_clip.config import Config


@dataclass(frozen=True)
class Shape:
    """What the videos of a data set look like.

    Args:
        recipe: that trains on them.
        frames: T, of the mean video.
        classes: C.
        segments: true segments of a video.
        batch: videos of a training step, as in the recipe.
    """

    recipe: str
    frames: int
    classes: int
    segments: int
    batch: int

    def config(self, *overrides: str) -> Config:
        """The recipe as it is."""
        return Config.load(self.recipe, list(overrides))


WIDTH = 2048  # D, columns of I3D features
SHAPES = {
    "Breakfast": Shape("breakfast", 2100, 48, 7, 4),
    "HA-ViD": Shape("havid_view0_lh_pt", 1230, 75, 20, 2),
    "GTEA": Shape("gtea", 1100, 11, 33, 1),
}


def prototypes(shape: Shape) -> Tensor:
    """(C, D), a direction for each class."""
    return torch.randn(shape.classes, WIDTH, generator=torch.Generator().manual_seed(7))


def video(shape: Shape, frames: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (T, D) and labels (T,); segments of a fixed length, so that their number grows with the frames."""
    generator = torch.Generator().manual_seed(seed)
    length = -(-shape.frames // shape.segments)
    order = torch.randint(shape.classes, (-(-frames // length),), generator=generator)
    order[1:] += (order[1:] == order[:-1]).long()  # no two neighbours alike, but by a rare chance
    labels = (order % shape.classes).repeat_interleave(length)[:frames]
    noise = torch.randn(frames, WIDTH, generator=generator)
    return prototypes(shape)[labels] + 0.3 * noise, labels


@torch.no_grad()
def plant(model: nn.Module, shape: Shape) -> None:
    """Give each class a channel of the frame branch, from the input to the scores of every block."""
    classes, places = shape.classes, torch.arange(shape.classes)
    weights: dict[str, Any] = dict(model.named_parameters())
    for index in range(len(model.block_list)):
        block = f"block_list.{index}."
        out = weights[f"{block}frame_branch.conv_out.weight"]  # (H, F, 1)
        out[-classes:] = 0
        out[out.shape[0] - classes + places, places] = 1
        for name in ("frame_branch.conv_1x1.weight", "frame_branch.conv_1x1_in.weight"):
            if (
                block + name in weights
            ):  # the input block: a prototype of D columns gives its channel 60
                weights[block + name][:classes, :, 0] = prototypes(shape).to(out.device) * (
                    60 / WIDTH
                )
        query, merge = (
            weights.get(f"{block}a2f_layer.Y_W.weight"),
            weights.get(f"{block}sf_merge.0.weight"),
        )
        if query is not None:
            hidden = out.shape[0]
            # Over segments (U) the class comes from the incoming frames, which are the last columns of the merge.
            into = query if merge is None else merge
            first = hidden - classes if merge is None else into.shape[1] - classes
            into[:classes] = 0
            into[places, first + places] = 60


def write(root: Path, shape: Shape, videos: int) -> None:
    """A data set in the common layout with features (D, T), for a recipe with data.name=folder and data.layout=DT."""
    for name in ("groundTruth", "features", "splits"):
        (root / name).mkdir(parents=True)
    (root / "mapping.txt").write_text(
        "".join(f"{label} c{label}\n" for label in range(shape.classes))
    )
    for number in range(videos + 1):
        features, labels = video(shape, shape.frames, seed=number)
        np.save(root / f"features/v{number}.npy", np.ascontiguousarray(features.T.numpy()))
        (root / f"groundTruth/v{number}.txt").write_text(
            "".join(f"c{label}\n" for label in labels.tolist())
        )
    _split(root, videos)


def _split(root: Path, videos: int) -> None:
    """Use all videos but the last one for training."""
    (root / "splits/train.split1.bundle").write_text(
        "".join(f"v{number}\n" for number in range(videos))
    )
    (root / "splits/test.split1.bundle").write_text(f"v{videos}\n")


def folder(root: Path) -> list[str]:
    """Overrides that let a recipe read what `write` wrote."""
    return [
        f"data.root={root}",
        "data.name=folder",
        "data.layout=DT",
        "data.background=[c0]",
        "data.validation=0",
    ]
