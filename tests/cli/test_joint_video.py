"""The wiring of a joint space: a CLIP with random weights, a film, head "similarity", names that are typed."""

from __future__ import annotations

import json

import pytest

from fact_clip.cli import main
from fact_clip.datasets.synthetic import FACTORS, draw_actions

from ..small import write_dataset

PLANS = [
    ["no action", "grasp bolt", "insert bolt", "no action"],
    ["grasp nut", "no action", "screw nut with wrench", "grasp bolt"],
]
SECONDS, FPS = 2, 4


@pytest.mark.slow
def test_film_to_features_to_a_trained_head_to_other_names(open_clip_folder, tmp_path, capsys):
    """The command lines alone; `encoders/test_vit_b_32.py` has the ViT-B-32 that people use."""
    pytest.importorskip("av")
    from fact_clip.video.write import write_video

    labels = {f"v{place}": [name for name in plan for _ in range(SECONDS * FPS)] for place, plan in enumerate(PLANS)}
    root = write_dataset(tmp_path / "data", FACTORS, labels, train=("v0",), test=("v1",))
    (root / "videos").mkdir()
    for number, (video, names) in enumerate(labels.items()):
        write_video(root / f"videos/{video}.mp4", draw_actions(names, FPS, number), FPS)

    videos, encoder = root / "videos", f"clip:local-dir:{open_clip_folder}"
    assert main(["extract", str(videos), "--encoder", encoder, "--fps", str(FPS), "--out", str(root / "features")]) == 0
    sizes = "{hidden: 32, frame_dim: 16, frame_layers: 3, action_dim: 16, action_layers: 1, heads: 2, feedforward: 32}"
    recipe = tmp_path / "joint.yaml"
    recipe.write_text(
        f"data: {{name: workbench, root: {root}, fps: {FPS}, standardize: true, validation: 0}}\n"
        f"model: {{blocks: iu, tokens: 10, head: similarity, input: {sizes}}}\n"
        f"text: {{encoder: 'open_clip:local-dir:{open_clip_folder}', parts: [sentence, factors]}}\n"
        "train: {epochs: 4, batch_size: 1, device: cpu}\n"
    )
    assert main(["train", str(recipe), "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    typed = "polish the lens, insert bolt"
    shown = ["--encoder", encoder, "--trust-encoder", "--actions", typed, "--json", "--out", str(tmp_path / "shown")]
    assert main(["segment", str(videos / "v1.mp4"), "--run", str(tmp_path / "run"), *shown]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["segments"][-1]["stop"] == len(PLANS[1]) * SECONDS * FPS
    assert {each["label"] for each in found["segments"]} <= {"polish the lens", "insert bolt", "no action"}
    assert all(0 < each["confidence"] <= 1 for each in found["segments"])
