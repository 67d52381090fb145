"""A configuration that trains in a moment."""

from __future__ import annotations

from typing import Any

# Large enough for the 23 classes of the workbench and their null class, small enough for an epoch in a moment.
TINY: dict[str, dict[str, Any]] = {
    "data": {"name": "workbench", "stride": 4},
    "model": {
        "blocks": "iu",
        "tokens": 40,
        "input": {
            "hidden": 40,
            "frame": "m",
            "frame_dim": 8,
            "frame_layers": 2,
            "action_dim": 8,
            "action_layers": 1,
            "heads": 2,
            "feedforward": 8,
        },
        "update": {"frame_layers": 1},
    },
    "decode": {"frame_weight": 0.5},
    "train": {"epochs": 2, "batch_size": 2, "lr": 1e-3, "device": "cpu"},
}
