"""The programs of docs/cookbook.md are short, run as they are, and pass the type checkers at their strictest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fact_clip import Config, train
from fact_clip.config.recipes import merged
from fact_clip.datasets.synthetic import draw_actions, write_workbench
from fact_clip.encoders import frame_encoder
from fact_clip.video.extract import Settings, extract
from fact_clip.video.overlay import write_video

from .small import TINY, ZERO_SHOT
from .test_readme import Block, blocks

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [block for block in blocks((ROOT / "docs/cookbook.md").read_text("utf-8")) if block.language == "python"]
MOST_LINES = 12
FPS = 15.0


def slug(block: Block) -> str:
    return re.sub(r"\W+", "_", block.section.lower()).strip("_")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page promises: `runs/mine`, `mydata` and `my.mp4`, a short film whose features the run reads."""
    root = tmp_path_factory.mktemp("cookbook")
    data = write_workbench(root / "mydata", videos=6, persons=3, fps=FPS)
    for number, path in enumerate(sorted((data / "groundTruth").glob("*.txt"))):
        labels = path.read_text("utf-8").splitlines()
        path.write_text("".join(f"{label}\n" for label in labels[: 12 * int(FPS)]), "utf-8")
        film = root / "films" / f"{path.stem}.mp4"
        write_video(film, draw_actions(labels[: 12 * int(FPS)], FPS, number), FPS)
        (data / "features" / f"{path.stem}.npy").unlink()
        extract(film, frame_encoder("grid"), data / "features", Settings(fps=FPS))
    (root / "films" / "person1_video1.mp4").rename(root / "my.mp4")
    groups = merged(merged(TINY, ZERO_SHOT), {"data": {"root": str(data), "holdout": None}})
    train(Config.from_tree(groups, "tests"), root / "runs/mine")
    return root


@pytest.mark.parametrize("block", SCRIPTS, ids=slug)
def test_a_script_is_short(block):
    assert len([line for line in block.code.splitlines() if line.strip()]) <= MOST_LINES


@pytest.mark.parametrize("block", SCRIPTS, ids=slug)
def test_a_script_runs(block, folder, monkeypatch, open_clip_folder):
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{folder / 'mlruns'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    code = block.code.replace("clip:ViT-B-32/openai", f"clip:local-dir:{open_clip_folder}")
    exec(compile(code, slug(block), "exec"), {"__name__": slug(block)})


SETTINGS = """[mypy]
strict = True
ignore_missing_imports = True
follow_imports = silent
[mypy-{}]
follow_imports = skip
"""
# Whose types the scripts do not use, and which take long to read.
UNREAD = "datasets mlflow onnx onnxruntime onnxscript pandas scipy sklearn torchmetrics transformers typer rich PIL"


@pytest.mark.slow
def test_the_scripts_pass_mypy_at_its_strictest(tmp_path):
    settings = SETTINGS.format(",".join(f"{name}.*" for name in UNREAD.split()))
    (tmp_path / "mypy.ini").write_text(settings, "utf-8")
    paths = []
    for block in SCRIPTS:
        paths.append(tmp_path / f"{slug(block)}.py")
        paths[-1].write_text(block.code + "\n", "utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", tmp_path / "mypy.ini", "--cache-dir", tmp_path / "cache"]
    answer = subprocess.run([*command, *paths], capture_output=True, text=True, cwd=ROOT, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
