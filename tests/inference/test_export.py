"""Exported models give what the model gives, for videos of any length."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

import fact_clip
from fact_clip.decoding import decode_exported
from fact_clip.inference.export import Pass, _metadata
from fact_clip.inference.loading import load
from fact_clip.inference.scorer import Scorer
from fact_clip.inference.segmenter import Segmenter
from fact_clip.runs.run import LoadedRun

from ..refusals import refused
from ..small import segmenter_of

onnxruntime = pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[2]
SHELF = ROOT / "tests" / "shelf" / "1.0.0"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_an_exported_model_takes_other_names_and_lengths(suffix, tmp_path):
    """A model of blocks `i` and `u` with object columns that reads names; random weights."""
    run = fact_clip.load(SHELF / "text", "cpu").run
    model = run.model()
    settings = run.config.model
    one_layer = {name: getattr(settings, name).model_copy(update={"frame_layers": 1}) for name in ("input", "update")}
    settings = settings.model_copy(update={"blocks": "iu", **one_layer})
    run = dataclasses.replace(run, config=run.config.model_copy(update={"model": settings}))
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
    assert names["segmentation"].to_frames() == whole.to_frames()


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("n_models", [1, 2])
@pytest.mark.parametrize("decode", [{}, {"order": 0.0}, {"durations": 0.0}, {"factor_weight": 0.5}])
def test_outputs_are_decoded_as_the_segmenter_does(stride, n_models, decode, pair):
    """With the memory across background, two members, lengths, and a pass from each of three rows."""
    segmenter = fact_clip.load(pair, "cpu")
    config = segmenter.run.config
    data = config.data.model_copy(update={"stride": stride, "interleave": stride > 1})
    config = config.model_copy(update={"decode": config.decode.model_copy(update=decode), "data": data})
    n_classes = len(segmenter.vocabulary)
    background = segmenter.vocabulary.background_indices[0]
    actions = [label for label in range(n_classes) if label != background]
    remembered = tuple((a, n_classes + a, 3) for a in actions)
    remembered += tuple((n_classes + a, b, 3) for a, b in pairwise(actions))
    run = dataclasses.replace(segmenter.run, config=config, transitions=remembered)
    scorer = Scorer(LoadedRun(run, segmenter.scorer.models[:n_models]), "cpu")
    features = np.load(min((SHELF.parent / "data" / "features").glob("*.npy")))
    rows = torch.from_numpy(run.transform(features))[None]
    outputs = []
    with torch.no_grad():
        for start in range(stride):
            parts = Pass(scorer.models, config.decode.blocks).eval()(rows[:, start::stride])
            outputs += [part.numpy() for part in parts]
    facts = json.loads(json.dumps(_metadata(scorer), default=np.ndarray.tolist))
    if stride > 1:
        with refused("outputs"):
            decode_exported(outputs[:-3], facts)
    names = [facts["names"][label] for label in decode_exported(outputs, facts)]
    assert names == Segmenter(scorer).segment(features).to_frames()


@pytest.mark.parametrize("n_frames", [40, 41, 42])
def test_a_row_of_a_stride_names_all_of_its_frames(n_frames, pair):
    segmenter = fact_clip.load(pair, "cpu")
    config = segmenter.run.config
    data = config.data.model_copy(update={"stride": 3, "interleave": False})
    run = dataclasses.replace(segmenter.run, config=config.model_copy(update={"data": data}))
    scorer = Scorer(LoadedRun(run, segmenter.scorer.models), "cpu")
    features = np.load(min((SHELF.parent / "data" / "features").glob("*.npy")))[:n_frames]
    rows = torch.from_numpy(run.transform(features))[None]
    with torch.no_grad():
        outputs = [part.numpy() for part in Pass(scorer.models, config.decode.blocks).eval()(rows[:, ::3])]
    facts = json.loads(json.dumps(_metadata(scorer), default=np.ndarray.tolist))
    names = [facts["names"][label] for label in decode_exported(outputs, facts, n_frames)]
    assert names == Segmenter(scorer).segment(features).to_frames()
    for wrong in (None, len(outputs[0][0]), n_frames + 3):
        with refused("n_frames"):
            decode_exported(outputs, facts, wrong)


OUTSIDE = """
import json
import math
import sys

import numpy as np

path, rows, out = sys.argv[1:]
values = np.load(rows)[None]
if path.endswith(".pt2"):
    import torch
    extra = {"fact_clip.json": ""}
    program = torch.export.load(path, extra_files=extra).module()
    frames, tokens, has_token = [part.detach().numpy() for part in program(features=torch.from_numpy(values))]
    facts = json.loads(extra["fact_clip.json"])
else:
    import onnxruntime
    session = onnxruntime.InferenceSession(path)
    frames, tokens, has_token = session.run(None, {"features": values})
    facts = json.loads(session.get_modelmeta().custom_metadata_map["fact_clip"])

tokens = np.exp(tokens - tokens.max(-1, keepdims=True))
tokens /= tokens.sum(-1, keepdims=True)
weight = facts["frame_weight"]
scores = np.where(has_token[..., None], weight * frames + (1 - weight) * tokens, frames)
logs = np.log(scores + 1e-38).mean(0)

costs = facts["switch_penalty"] * np.array(facts["changes"]["costs"])
assert max(facts["changes"]["last_action"]) == -1  # no background is remembered
np.fill_diagonal(costs, np.inf)
lengths = facts["durations"]
mean, deviation = np.array(lengths["mean"]), np.array(lengths["deviation"])
n_told = round(min(np.exp((mean + 3 * deviation).max()), 2000))
n_rows = len(logs)
rows = np.minimum(np.arange(1, n_rows + 1), n_told)[:, None]
deviations = (np.log(rows) - mean) / deviation
prices = -lengths["weight"] * deviations ** 2 / 2
tails = lengths["weight"] * np.log(np.vectorize(math.erfc)(deviations / 2**0.5) / 2 + 1e-300)
sums = np.concatenate([np.zeros((1, logs.shape[1])), logs.cumsum(0)])
opened = np.zeros_like(sums)  # the best that ends before a row and goes on with a class
before = np.zeros(sums.shape, int)
starts = np.zeros(sums.shape, int)
for stop in range(1, n_rows + 1):
    law = (tails if stop == n_rows else prices)[stop - 1 :: -1].copy()
    law[0] = tails[stop - 1]  # the segment that begins with the video
    ways = opened[:stop] - sums[:stop] + law
    starts[stop] = ways.argmax(0)
    values = ways.max(0) + sums[stop]
    before[stop] = (values[:, None] - costs).argmax(0)
    opened[stop] = (values[:, None] - costs).max(0)
label, stop, labels = int(values.argmax()), n_rows, []
while stop:
    start = int(starts[stop, label])
    labels += [label] * (stop - start)
    label, stop = int(before[start, label]), start
assert not [name for name in sys.modules if name.startswith("fact_clip")]
with open(out, "w") as file:
    json.dump([facts["names"][label] for label in labels[::-1]], file)
"""
"""Decodes an exported model with numpy alone."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Path:
    """Two members; each class is usually followed by the next one."""
    folder = tmp_path_factory.mktemp("export") / "run"
    shutil.copytree(SHELF / "closed", folder)
    shutil.copytree(SHELF / "closed", folder / "members" / "2")
    facts = json.loads((folder / "run.json").read_text())
    n_classes = facts["classes"]["count"]
    facts["transitions"] = [(label, label + 1, 4) for label in range(n_classes - 1)]
    facts["lengths"] = [(1 + label % 3, 0.5) for label in range(n_classes)]
    (folder / "run.json").write_text(json.dumps(facts))
    weights = folder / "members" / "2" / "model.safetensors"
    with safe_open(weights, "pt") as file:
        facts = file.metadata()
        torch.manual_seed(0)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and "text" not in name:
            tensors[name] = tensor + 0.02 * torch.randn_like(tensor)
    save_file(tensors, weights, facts)
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    tree["train"]["members"] = 2
    tree["decode"] |= {"order": 2.0, "switch_penalty": 3.0, "durations": 0.5}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_an_exported_model_is_decoded_without_this_package(suffix, pair, tmp_path):
    segmenter = fact_clip.load(pair, "cpu")
    features = np.load(min((SHELF.parent / "data" / "features").glob("*.npy")))
    np.save(tmp_path / "rows.npy", segmenter.run.transform(features))
    path = segmenter.export(tmp_path / f"m{suffix}")
    (tmp_path / "outside.py").write_text(OUTSIDE)
    files = [str(tmp_path / name) for name in ("outside.py", path.name, "rows.npy", "labels.json")]
    subprocess.run([sys.executable, *files], check=True)
    labels = json.loads((tmp_path / "labels.json").read_text())
    assert labels == segmenter.segment(features).to_frames()

    def labels_with(n_models=2, **decode):
        config = segmenter.run.config
        config = config.model_copy(update={"decode": config.decode.model_copy(update=decode)})
        other = dataclasses.replace(segmenter.run, config=config)
        loaded = LoadedRun(other, segmenter.scorer.models[:n_models])
        return Segmenter(Scorer(loaded, "cpu")).segment(features).to_frames()

    assert len(set(labels)) > 5
    for setting in ({"order": 0.0}, {"switch_penalty": 0.0}, {"durations": 0.0}, {"n_models": 1}):
        assert labels != labels_with(**setting)


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
    cut = config.model_copy(update={"decode": config.decode.model_copy(update={"window": 64})})
    cut_run = segmenter_of(dataclasses.replace(segmenter.run, config=cut), segmenter.scorer.model)
    for other, where in (
        (cut_run, "decode.window"),
        (fact_clip.load(tiny_run, "cpu", window=9.0), "decode.window"),
        (fact_clip.load(tiny_run, "cpu", actions=["grasp nut"]), "export"),
    ):
        with refused(where):
            other.export(tmp_path / "m.pt2")
    free = load(f"clip:local-dir:{open_clip_folder}", "cpu", actions=["stir", "pour milk"])
    with refused("export"):
        free.export(tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []
