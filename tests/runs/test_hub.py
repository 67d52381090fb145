"""A run that is shared is the run that is loaded, from a hub on this machine; downloads are verified."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import fact_clip
from fact_clip.cli import main
from fact_clip.core.io import read_mapping
from fact_clip.encoders import is_local
from fact_clip.report.evaluated import is_current
from fact_clip.runs.files import FILES
from fact_clip.runs.hub import _portable, is_address, run_folder
from fact_clip.runs.run import Run

from ..refusals import refused, refused_line
from ..test_readme import blocks

ADDRESS = "hf://lab/kitchen"
ROWS = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def evaluated(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(tiny_run, run)
    fact_clip.training.evaluate(run, device="cpu")
    return run


@pytest.fixture
def run(evaluated: Path, tmp_path: Path) -> Path:
    """A run with a log and an evaluation."""
    return Path(shutil.copytree(evaluated, tmp_path / "run"))


def segments(address: str | Path) -> list[object]:
    return [*fact_clip.load(address, "cpu").segment(ROWS)]


def test_addresses():
    assert is_address(ADDRESS)
    assert is_address(Path(ADDRESS))
    assert not is_address("runs/hf")
    for wrong in ("hf://lab", "hf://lab/a/b", "hf://la b/x", "hf://lab/x@"):
        with refused():
            Run.read(run_folder(wrong))


def test_a_shared_run_is_loaded_as_it_was(hub, run, capsys):
    assert main(["share", str(run), "lab/kitchen", "--private"]) == 0
    assert capsys.readouterr().out == f"{hub.address}/lab/kitchen\n"
    assert hub.private == {"lab/kitchen"}
    assert segments(ADDRESS) == segments(Path(ADDRESS)) == segments(run)
    here = {name for name in FILES if (run / name).is_file()}
    assert hub.files("lab/kitchen").keys() == {*here, "evaluation.json", "README.md", ".gitattributes"}


def test_nothing_of_this_machine_is_shared(hub, run):
    fact_clip.share(run, "lab/kitchen")
    for name, content in hub.files("lab/kitchen").items():
        assert str(run.parent).encode() not in content, name
        assert str(Path(Run.read(run).config.data.root)).encode() not in content, name
    assert Run.read(run_folder(ADDRESS)).config.data.root == Path(Run.read(run).config.data.root).name


@pytest.mark.parametrize(
    ("value", "portable"),
    [
        ("/home/ann/data/", "./data"),
        ("~/data", "./data"),
        ("C:\\data\\kitchen", "./kitchen"),
        ("transformers:/home/ann/clip", "transformers:./clip"),
        ("timm:resnet50//home/ann/w.safetensors", "timm:resnet50/./w.safetensors"),
        ("clip:local-dir:/home/ann/clip", "clip:local-dir:./clip"),
        ("data.root=/home/ann/data", "data.root=./data"),
        ("../data/kitchen", "../data/kitchen"),
        ("hf://lab/kitchen", "hf://lab/kitchen"),
        ("clip:ViT-B-32/openai", "clip:ViT-B-32/openai"),
        ("{verb} {object} [with {tool}]", "{verb} {object} [with {tool}]"),
    ],
)
def test_an_absolute_path_becomes_its_last_part(value, portable):
    assert _portable({"a": [value]}) == {"a": [portable]}
    assert is_local(portable) == is_local(value)  # what needed consent needs it still


def test_the_card_says_what_the_run_is(hub, run):
    fact_clip.share(run, "lab/kitchen", license="cc-by-4.0")
    card, figures = hub.files("lab/kitchen")["README.md"].decode(), read_mapping(run / "evaluation.json", "")["metrics"]
    data = yaml.safe_load(card.split("---\n")[1])
    assert (data["license"], data["library_name"]) == ("cc-by-4.0", "fact-clip")
    (model,) = data["model-index"]
    values = {row["type"]: row["value"] for result in model["results"] for row in result["metrics"]}
    assert (model["name"], values["edit"]) == ("kitchen", round(figures["edit"], 1))
    for part in (f'fact_clip.load("{ADDRESS}")', f"fact-clip evaluate {ADDRESS}", f"| edit | {figures['edit']:.1f} |"):
        assert part in card
    assert all(f"    {name}\n" in card for name in Run.read(run).vocabulary)


def test_the_card_has_figures_of_these_weights_and_the_classes_that_were_trained(run, tmp_path):
    tree = read_mapping(run / "evaluation.json", "") | {"cautions": ["of made-up data"]}
    (run / "evaluation.json").write_text(json.dumps(tree))
    facts = read_mapping(run / "run.json", "")
    *learned, unseen = facts["seen"]["classes"]
    (run / "run.json").write_text(json.dumps(facts | {"seen": facts["seen"] | {"classes": learned}}))
    segmenter = fact_clip.load(run, device="cpu")
    card = (segmenter.save(tmp_path / "saved") / "README.md").read_text()
    trained, others = card.split("## Unseen classes")
    assert f"    {unseen}\n" in others
    assert f"    {unseen}\n" not in trained
    assert "- of made-up data\n" in card
    (run / "evaluation.json").write_text(json.dumps(tree | {"weights": "0" * 32}))
    folder = segmenter.save(tmp_path / "saved")
    assert "Not evaluated yet." in (folder / "README.md").read_text()
    assert not (folder / "evaluation.json").exists()


def test_figures_of_a_run_that_was_saved_there_before_are_removed(run, tiny, workbench, tmp_path):
    """A report would show the numbers of one run beside the timelines of the other."""
    shared = fact_clip.load(run, "cpu").save(tmp_path / "shared")
    for split in ("test", "validation"):
        fact_clip.training.evaluate(shared, split, [f"data.root={workbench}"], device="cpu")
    fact_clip.training.train(tiny(train={"epochs": 1}), tmp_path / "other")
    fact_clip.training.evaluate(tmp_path / "other", device="cpu")
    fact_clip.load(tmp_path / "other", "cpu").save(shared)
    assert [path.name for path in shared.glob("evaluation*")] == ["evaluation.json"]
    assert not is_current(Run.read(shared), shared / "evaluation.json")


def test_a_second_load_asks_nobody(hub, run, monkeypatch):
    fact_clip.share(run, "lab/kitchen")
    first = segments(ADDRESS)
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert segments(ADDRESS) == first
    assert hub.requests == []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
    assert segments(ADDRESS) == first
    with refused("hf://lab/other"):
        Run.read(run_folder("hf://lab/other"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml"])
def test_a_tampered_file_is_refused_and_removed(hub, run, tmp_path, name):
    fact_clip.share(run, "lab/kitchen")
    hub.tampered[name] = bytes([*hub.files("lab/kitchen")[name][:-1], 32])
    with refused(ADDRESS):
        fact_clip.load(ADDRESS)
    assert not list((tmp_path / "cache").rglob(name))
    hub.tampered.clear()
    assert segments(ADDRESS) == segments(run)
    path = next((tmp_path / "cache").rglob(name)).resolve()  # a fault of the disk, which no server can notice
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with refused(ADDRESS):
        fact_clip.load(ADDRESS)


def test_a_revision_is_the_run_of_that_time(hub, run):
    fact_clip.share(run, "lab/kitchen")
    first = hub.sha("lab/kitchen", 1)
    (run / "confidence.json").unlink()
    fact_clip.share(run, "lab/kitchen")
    assert Run.open(run_folder(f"{ADDRESS}@{first}")).confidence is not None
    assert Run.open(run_folder(ADDRESS)).confidence is None
    with refused(f"{ADDRESS}@nothing"):
        Run.read(run_folder(f"{ADDRESS}@nothing"))


def test_commands_take_the_address(hub, run, workbench, tmp_path, monkeypatch, capsys):
    fact_clip.share(run, "lab/kitchen")
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", ROWS)
    assert main(["segment", "a.npy", "--run", ADDRESS, "--device", "cpu", "--format", "json"]) == 0
    assert (tmp_path / "segments" / "a.json").is_file()
    capsys.readouterr()
    assert main(["evaluate", ADDRESS, f"data.root={workbench}", "--device", "cpu", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics == read_mapping(run / "evaluation.json", "")["metrics"]
    assert segments(ADDRESS) == segments(run)  # what was written beside them leaves the downloads as they are


def test_what_is_wrong_is_one_line(hub, run, monkeypatch, capsys, tmp_path):
    def line(*words: str) -> str:
        code = main([*words])
        return refused_line((code, *capsys.readouterr()))

    np.save(tmp_path / "a.npy", ROWS)
    assert line("segment", str(tmp_path / "a.npy"), "--run", ADDRESS).startswith("hf://lab/kitchen: ")
    assert line("share", str(run), "kitchen").startswith("kitchen: ")
    assert line("share", str(run), "lab/kitchen", "--license", "a: b").startswith("--license: ")
    assert line("share", str(tmp_path / "none"), "lab/kitchen").startswith(str(tmp_path / "none"))
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "hf auth login" in line("share", str(run), "lab/kitchen")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert "hf auth login" in line("share", str(run), "lab/kitchen")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install -e '.[hub]'" in line("share", str(run), "lab/kitchen")
    assert hub.commits == {}


def test_the_script_of_the_docs_runs(hub, run, workbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    run.rename(tmp_path / "runs" / "mine")
    shutil.copy(workbench / "features" / "person1_video1.npy", tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "sharing.md").read_text(encoding="utf-8")
    (script,) = (block.code for block in blocks(page) if block.language == "python")
    names: dict[str, object] = {}
    exec(compile(script, "docs/sharing.md", "exec"), names)
    assert names["segmentation"] == fact_clip.load("runs/mine").segment("person1_video1.npy")


def test_members_are_shared_too(hub, run, tmp_path):
    shutil.copytree(run, tmp_path / "two")
    shutil.copytree(run, tmp_path / "two" / "members" / "2")
    settings = tmp_path / "two" / "config.yaml"
    settings.write_text(re.sub(r"members: 1\b", "members: 2", settings.read_text()))
    fact_clip.share(tmp_path / "two", "lab/two")
    assert segments("hf://lab/two") == segments(tmp_path / "two")
    assert len(Run.open(run_folder("hf://lab/two")).models) == 2
