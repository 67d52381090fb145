"""The programs of docs/python.md are short, run, and pass the strictest type checkers.

The section "Step by step" is one program, which test_notebook.py runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fact_clip import Config, train
from fact_clip.config.recipes import merged
from fact_clip.datasets.synthetic import draw_actions, write_workbench
from fact_clip.encoders import frame_encoder
from fact_clip.video.extract import Settings, extract
from fact_clip.video.write import write_video

from .launch import launched
from .small import TINY, ZERO_SHOT
from .test_readme import Block, blocks

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/python.md").read_text("utf-8").partition("## Cookbook")[2]
SCRIPTS = [block for block in blocks(PAGE) if block.language == "python"]
MOST_LINES = 12
MOST_LINES_TOGETHER = 190
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


def generate_client(description: bytes, folder: Path) -> None:
    """Write the package `fact_clip_client` into a folder, as `openapi-python-client generate` does."""
    (folder / "openapi.json").write_bytes(description)
    (folder / "config.yaml").write_text("post_hooks: []\n")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none"]
    command += ["--config", "config.yaml", "--fail-on-warning", "--output-path", "fact_clip_client"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a page with the run, whose token is in the environment and whose client can be imported."""
    command = [sys.executable, "-m", "tests.app.serve", str(folder / "runs/mine"), str(tmp_path / "project")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port, token = process.stdout.readline().split()
    address = f"http://127.0.0.1:{port}"
    request = urllib.request.Request(f"{address}/api/openapi.json", headers={"Authorization": f"Bearer {token}"})
    for _ in range(300):  # the port is bound before the server listens
        with suppress(urllib.error.URLError), urllib.request.urlopen(request) as answer:
            generate_client(answer.read(), tmp_path)
            break
        time.sleep(0.1)
    monkeypatch.setenv("TOKEN", token)
    monkeypatch.syspath_prepend(tmp_path)
    yield address
    process.terminate()
    process.wait()


def lines(block: Block) -> int:
    return len([line for line in block.code.splitlines() if line.strip()])


def test_there_are_sixteen_in_few_lines():
    assert len(SCRIPTS) == 16
    assert sum(map(lines, SCRIPTS)) <= MOST_LINES_TOGETHER


@pytest.mark.parametrize("block", SCRIPTS, ids=slug)
def test_a_script_is_short(block):
    assert lines(block) <= MOST_LINES


NEEDS = {"fact_clip_client": "server", "lab/kitchen": "hub", "clip:": "open_clip_folder"}
"""Words of a script, and the fixture without which it cannot run here."""


@pytest.mark.parametrize("block", SCRIPTS, ids=slug)
def test_a_script_runs(block, folder, monkeypatch, request):
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{folder / 'mlruns'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    made = {name: request.getfixturevalue(name) for words, name in NEEDS.items() if words in block.code}
    code = block.code.replace("clip:ViT-B-32/openai", f"clip:local-dir:{made.get('open_clip_folder')}")
    code = code.replace("http://127.0.0.1:8000", str(made.get("server")))
    if "torch.distributed" not in code:
        exec(compile(code, slug(block), "exec"), {"__name__": slug(block)})
        return
    script = folder / f"job_{slug(block)}.py"
    script.write_text(code, "utf-8")
    answer = launched(2, script)
    assert answer.code == 0, answer.err
    first, second = re.findall(r"tensor\((.+?),", answer.out)
    assert first == second
    assert 0 <= float(first) <= 100


@pytest.mark.slow
def test_the_scripts_pass_mypy_at_its_strictest(tmp_path):
    """As the package `cookbook` of pyproject.toml, with what `make lint` has stored of the other packages."""
    folder = tmp_path / "cookbook"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for block in SCRIPTS:
        (folder / f"job_{slug(block)}.py").write_text(block.code + "\n", "utf-8")  # no name of a library
    command = [sys.executable, "-m", "mypy", "--cache-dir", ROOT / ".mypy_cache", folder]
    here = os.environ | {"MYPYPATH": str(ROOT)}  # mypy would read an installed package anew
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=here, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
