"""make.py NAME [--tree CHECKOUT] [--kinds text]: put runs on the shelf, made by the code of a checkout (README.md)."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

SHELF = Path(__file__).resolve().parent

COMMON = """
    data.name=workbench data.fps=8 data.root=data data.standardize=true model.blocks=i model.tokens=40
    model.input.hidden=32 model.input.frame=m model.input.frame_dim=12 model.input.frame_layers=4
    model.input.action_dim=8 model.input.action_layers=1 model.input.heads=2 model.input.feedforward=8
    decode.blocks=all decode.frame_weight=0.8 decode.switch_penalty=0.7 augment.time_spans=0 loss.smoothing=0.1
    train.batch_size=1 train.lr=0.005 train.schedule=cosine train.validate_every=5 train.device=cpu
"""
KINDS = {
    "closed": "model.blocks=iu model.update.frame_layers=2 data.context=[5] train.epochs=40",
    "text": """
        model.head=text text.encoder=hash:8 text.parts=[factors] data.holdout=zero_shot/A.json train.epochs=40
        data.objects.file=objects.txt data.objects.blocks=[1,2] data.objects.fixed=[shaft]
        model.input.hidden=8
    """,
    "members": "train.members=2 train.epochs=25",
}
# What is not needed to use a run.
DROPPED = ("**/last.safetensors", "**/log.*", "**/evaluation*", "**/predictions")

# New names beside some of the classes: "rotate nut" and "tap bolt with wrench" are new, their words are not.
CANDIDATES = ("grasp gear", "place gear", "screw nut with wrench", "rotate nut", "tap bolt with wrench", "grasp shaft")
READ = """
import json, sys
import fact_clip, fact_clip.training
run, actions, *videos = sys.argv[1:]
result = fact_clip.training.evaluate(run, device="cpu").details
segmenter = fact_clip.load(run)
def cut(actions):
    found = {name: segmenter.segment(f"data/features/{name}.npy", actions).segments for name in videos}
    return {name: [[each.label, each.start, each.stop] for each in segments] for name, segments in found.items()}
figures = {"metrics": result["metrics"], "segments": cut(None)}
if "zero_shot" in result:
    ways = result["zero_shot"]["ways"]["in use"]
    figures |= {"zero_shot": {name: ways[name] for name in "SUH"}, "candidates": cut(actions.split(","))}
print(json.dumps(figures))
"""


def make_data() -> None:
    """The data of all runs, once: labels of the workbench, and what a poor detector sees of each of the seven parts.

    A part has a column that says whether it is held, and two of its movement: an angle for each verb, and noise.
    """
    from fact_clip.datasets.synthetic import FACTORS, STEPS, VERBS, write_workbench

    root = write_workbench(SHELF / "data", videos=6, persons=3, dim=8, fps=8)
    (root / "objects.txt").write_text("\n".join(STEPS) + "\n")
    rng = np.random.default_rng(0)
    for path in sorted((root / "features").iterdir()):
        names = (root / "groundTruth" / f"{path.stem}.txt").read_text().splitlines()
        held = np.array([[FACTORS[name][1] == part for part in STEPS] for name in names])  # (T, 7)
        turn = np.array([2 * np.pi * ["", *VERBS].index(FACTORS[name][0] or "") / len(VERBS) for name in names])  # (T,)
        moved = held[:, :, None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1)[:, None]  # (T, 7, 2)
        moved = moved + 0.5 * rng.standard_normal(moved.shape)
        seen = rng.random(held.shape) < np.where(held, 0.8, 0.1)
        np.save(path, np.hstack([seen, moved.reshape(len(names), -1)]).astype(np.float16))  # (T, 7 + 14)


def make_runs(name: str, tree: Path, kinds: list[str]) -> None:
    """A run of each kind by the code of `tree`, and in figures.json what that code finds in the test videos with it."""
    there = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def python(code: str, *arguments: str) -> str:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, cwd=SHELF, env=there, check=True, stdout=subprocess.PIPE, text=True).stdout

    videos = (SHELF / "data" / "splits" / "test.split1.bundle").read_text().split()
    for kind in kinds:
        out, settings = SHELF / name / kind, f"{COMMON} {KINDS[kind]}"
        main = "import sys; from fact_clip.cli import main; sys.exit(main())"
        python(main, "train", "folder", *settings.split(), "--out", str(out))
        figures = json.loads(python(READ, str(out), ",".join(CANDIDATES), *videos))
        for path in [each for pattern in DROPPED for each in sorted(out.glob(pattern))]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in sorted(out.rglob("*.yaml")):  # without the folder of this checkout
            content = path.read_text(encoding="utf-8")
            path.write_text(content.replace(str(SHELF / "data"), "tests/shelf/data"), encoding="utf-8")
        lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in figures.items())
        (out / "figures.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--tree", type=Path, default=SHELF.parents[1])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    given = parser.parse_args()
    make_runs(given.name, given.tree.resolve(), given.kinds)
