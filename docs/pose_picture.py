"""Take the picture of tracked points in docs/formats.md:

    python docs/pose_picture.py docs/images/poses.png

The points are SYNTHETIC: an animal that walks, stops to sniff, turns and runs. They are written as a file of
DeepLabCut by movement, and read by the command that the page shows.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from movement.io import load_poses, save_poses

from fact_clip.cli import main

RATE = 30
POINTS = ("nose", "left ear", "right ear", "tail")
OFFSETS = np.array([[40.0, 0.0], [25.0, 10.0], [25.0, -10.0], [-40.0, 0.0]])  # from the centre
PLAN = (("walk", 3.0), ("sniff", 2.0), ("turn", 1.5), ("run", 2.0))
GROUPS = ("points, centred and turned", "speeds", "distances", "seen")
BORDERS = (0, 8, 13, 19, 23)  # of the columns of four points in two dimensions
SPEEDS = {"walk": 60.0, "sniff": 2.0, "turn": 15.0, "run": 220.0}  # pixels a second


def positions() -> np.ndarray:
    """Return the points (T, 2, K, 1) of the animal."""
    rng = np.random.default_rng(0)
    actions = [action for action, seconds in PLAN for _ in range(round(seconds * RATE))]
    angle = np.cumsum([1.6 / RATE if action == "turn" else 0.0 for action in actions])
    speed = np.array([SPEEDS[action] for action in actions]) / RATE
    heading = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (T, 2)
    centre = np.cumsum(speed[:, None] * heading, axis=0) + 200
    turned = np.stack([-heading[:, 1], heading[:, 0]], axis=1)
    body = OFFSETS[:, :1, None] * heading.T + OFFSETS[:, 1:, None] * turned.T  # (K, 2, T)
    body[0] += 5 * np.sin(np.arange(len(actions))) * np.array([a == "sniff" for a in actions])
    points = centre.T[None] + body + rng.normal(0, 0.4, body.shape)
    return points.transpose(2, 1, 0)[..., None]


def draw(path: Path) -> None:
    """Draw the path of the points, and columns of the features below it."""
    points = positions()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mouse1DLC_synthetic.h5"
        confidence = np.ones((len(points), len(POINTS), 1))
        poses = load_poses.from_numpy(
            points, confidence, keypoint_names=list(POINTS), fps=RATE, source_software="DeepLabCut"
        )
        save_poses.to_dlc_file(poses, file, split_individuals=False)
        command = ["data", "convert", "--from", "pose", str(file), "--software", "DeepLabCut"]
        command += ["--source-fps", str(RATE), "--fps", "10", "--axis", "tail, nose"]
        main([*command, "--out", folder])
        features = np.load(Path(folder) / "features" / "mouse1.npy")  # (T, D)
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 5), layout="constrained", height_ratios=(1, 1.3)
    )
    for index, name in enumerate(POINTS):
        above.plot(points[:, 0, index, 0], points[:, 1, index, 0], label=name, linewidth=1)
    above.set(title="Tracked points (SYNTHETIC), pixels", aspect="equal")
    above.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))

    columns = features - np.median(features, axis=0)  # (T, D)
    blocks = []
    for first, last in pairwise(BORDERS):
        block = columns[:, first:last]
        blocks.append(block / np.abs(block).max(initial=1e-6))
    seconds = sum(length for _, length in PLAN)
    picture = np.concatenate(blocks, axis=1).T
    extent = (0, seconds, BORDERS[-1], 0)
    below.imshow(picture, aspect="auto", cmap="RdBu", vmin=-1, vmax=1, extent=extent)
    below.set_title("Feature columns, ten rows a second", pad=18)
    below.set_xlabel("seconds")
    middles = [(first + last) / 2 for first, last in pairwise(BORDERS)]
    below.set_yticks(middles, GROUPS, fontsize=8)
    for border in BORDERS[1:-1]:
        below.axhline(border, color="black", linewidth=0.5)
    start = 0.0
    for action, length in PLAN:
        below.axvline(start, color="black", linewidth=1)
        below.text(start + 0.05, -0.3, action, fontsize=9, va="bottom")
        start += length
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
