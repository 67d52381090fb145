"""Exported models give what the model gives, for videos of any length."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import fact_clip
from fact_clip.inference.export import Pass
from fact_clip.inference.training_free import load_training_free

from ..refusals import refused
from ..small import segmenter_of

onnxruntime = pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[2]
SHELF = ROOT / "tests" / "shelf" / "0.2.0"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_an_exported_model_takes_other_names_and_lengths(suffix, tmp_path):
    """A model of blocks `i` and `u` with object columns that reads names; random weights."""
    run = fact_clip.load(SHELF / "text", "cpu").run
    model = run.model()
    config = run.config.model_copy(update={"model": run.config.model.model_copy(update={"blocks": "iu"})})
    run = dataclasses.replace(run, config=config)
    segmenter = segmenter_of(run, run.new_model(model.text, model.objects.names))
    path, extra = segmenter.export(tmp_path / f"m{suffix}"), {"fact_clip.json": ""}
    if suffix == ".pt2":
        program = torch.export.load(path, extra_files=extra).module()
    else:
        session = onnxruntime.InferenceSession(path)
        extra = {"fact_clip.json": session.get_modelmeta().custom_metadata_map["fact_clip"]}
    assert json.loads(extra["fact_clip.json"])["names"] == list(segmenter.vocabulary)
    for n_rows, text in ((60, model.text), (131, model.text[:3])):
        torch.manual_seed(n_rows)
        inputs = {"features": torch.randn(1, n_rows, run.transform.width), "text": text}
        with torch.no_grad():
            expected = Pass(segmenter.scorer.models, "all").eval()(**inputs)
            exported = program(**inputs) if suffix == ".pt2" else ()
        if suffix == ".onnx":
            exported = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        for result, own in zip(exported, expected, strict=True):
            np.testing.assert_allclose(np.asarray(result), own.numpy(), atol=1e-4)


@pytest.mark.slow
def test_the_example_of_the_page_decodes_outside(tiny_run, workbench, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(tiny_run)
    (tmp_path / "mydata").symlink_to(workbench)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1], names)
    whole = names["segmenter"].segment("mydata/features/person1_video1.npy")
    assert names["segmentation"].to_frames() == whole.to_frames()[::4]


def test_what_cannot_be_exported(tiny_run, tmp_path, open_clip_folder):
    segmenter = fact_clip.load(tiny_run, "cpu")
    for path in ("m.pt", "m"):
        with refused(path):
            segmenter.export(tmp_path / path)
    config = segmenter.run.config
    for key, value in (("blocks", "iuU"), ("transcript", True)):
        other = config.model_copy(update={"model": config.model.model_copy(update={key: value})})
        with refused(f"model.{key}"):
            segmenter_of(dataclasses.replace(segmenter.run, config=other), segmenter.scorer.model).export(
                tmp_path / "m.pt2"
            )
    free = load_training_free(f"clip:local-dir:{open_clip_folder}", ["stir", "pour milk"], "cpu")
    with refused("export"):
        free.export(tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []
