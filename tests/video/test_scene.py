"""From pixels to segments through the command line."""

from __future__ import annotations

import time

import numpy as np
import pytest

from fact_clip import metrics
from fact_clip.cli import main
from fact_clip.formats import load

from ..films import write_video
from .scene import NAMES, RATE, images, labels, script, write_labels

FPS = 5


@pytest.mark.slow
def test_extract_train_segment_match_the_script(tmp_path):
    scripts = {f"scene{number:02}": script(number) for number in range(16)}
    test = list(scripts)[12:]
    videos, root, run = tmp_path / "videos", tmp_path / "data", tmp_path / "run"
    videos.mkdir()
    for number, (name, steps) in enumerate(scripts.items()):
        write_video(videos / f"{name}.mp4", images(steps, number), rate=RATE)
    write_labels(root, scripts, FPS, test)
    began = time.process_time()
    assert main(["extract", str(videos), "--encoder", "grid", "--fps", str(FPS), "--out", str(root / "features")]) == 0
    settings = [
        f"data.root={root}", f"data.fps={FPS}", "data.name=folder", "data.layout=TD", "data.background=['no action']",
        "data.grammar={verb} {object}",
        "data.context=[5, 15]", "model.tokens=24", "train.epochs=24", "train.validate_every=5",
    ]  # fmt: skip
    assert main(["train", "demo", *settings, "--out", str(run)]) == 0
    files = [str(videos / f"{name}.mp4") for name in test]
    assert main(["segment", *files, "--run", str(run), "--encoder", "grid", "--out", str(tmp_path / "out")]) == 0
    assert time.process_time() - began < 360  # two cores for three minutes
    index = {name: number for number, name in enumerate(NAMES)}
    found = {name: load(tmp_path / "out" / f"{name}.json") for name in test}
    truth = [np.array([index[each] for each in labels(scripts[name], FPS)]) for name in test]
    predicted = [np.array([index[each] for each in found[name].to_frames()]) for name in test]
    assert [len(each) for each in predicted] == [len(each) for each in truth]
    assert found[test[0]].fps == FPS
    figures = metrics.evaluate(truth, predicted, background=(0,))
    assert figures["frame_accuracy"] >= 80, figures
    assert figures["f1@50"] >= 70, figures
