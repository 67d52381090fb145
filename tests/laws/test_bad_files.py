"""Every reader refuses a file with any fault of files: at its path, in one line, by itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fact_clip import Config, Segment, Segmentation, Vocabulary
from fact_clip.core.io import read_npz
from fact_clip.datasets.convert import Target, convert_annotations
from fact_clip.datasets.features import load_features, read_sidecar
from fact_clip.formats import READERS, save
from fact_clip.formats.base import Options
from fact_clip.runs.run import Run
from fact_clip.runs.weights import read_weights
from fact_clip.unseen.holdout import Holdout
from fact_clip_compat.weights import read_state

from ..attacks.row import Content, array
from ..attacks.rows.kinds import FAULTS
from ..attacks.rows.runs import RUN
from ..attacks.rows.tools import FILES
from ..refusals import refused, short

TAKE = Segmentation((Segment(0, 3, "stir"), Segment(3, 5, "pour")), 5.0)
OPTIONS = Options(fps=5.0)
BORIS_TABLE = "Behavior\tBehavior type\tTime\nstir\tSTART\t0.0\nstir\tSTOP\t0.6\n"


def saved(ending: str) -> Callable[[Path], object]:
    return lambda path: save(TAKE, path.with_name(f"good{ending}")).rename(path)


# name of a file -> the form of what it holds, a good one, and what reads it
FILE_READERS: dict[str, tuple[str, Content, Callable[[Path], object]]] = {
    "mapping.txt": ("text", "0 a\n1 b\n", Vocabulary.from_mapping),
    "a.csv": ("text", saved(".csv"), Segmentation.load),
    "a.json": ("json", saved(".json"), Segmentation.load),
    "a.jsonl": ("json", saved(".jsonl"), Segmentation.load),
    "a.txt": ("text", saved(".txt"), Segmentation.load),
    "a.eaf": ("text", saved(".eaf"), lambda path: READERS["eaf"](path, OPTIONS)),
    "a.boris": ("json", saved(".boris"), lambda path: READERS["boris"](path, OPTIONS)),
    "a.tsv": ("text", BORIS_TABLE, lambda path: READERS["boris"](path, OPTIONS)),
    "a.via.json": ("json", saved(".via.json"), lambda path: READERS["via"](path, OPTIONS)),
    "a.ls.json": ("json", saved(".label-studio.json"), lambda path: READERS["label-studio"](path, OPTIONS)),
    "epic.csv": ("text", "video_id,start_timestamp\n", lambda path: READERS["epic"](path, OPTIONS)),
    "r.yaml": ("text", "base: demo\n", Config.load),
    "holdout.json": ("json", '{"unseen": ["a"]}', Holdout.read),
    "v.json": ("json", '{"fps": 5}', lambda path: read_sidecar(path.with_suffix(".npy"))),
    "v.npy": ("binary", array([[1.0]] * 9), lambda path: load_features(path, "TD")),
    "v.npz": ("binary", b"PK\x03\x04", lambda path: read_npz(path, "arrays")),
    "w.safetensors": ("binary", b"\x08" + bytes(7) + b"{}      ", read_weights),
    "w.net": ("binary", b"PK\x03\x04", read_state),
}
RUN_FILES = {
    **dict.fromkeys(("run.json", "vocabulary.json", "confidence.json"), "json"),
    **dict.fromkeys(("features.safetensors", "model.safetensors"), "binary"),
    "config.yaml": "text",
}

HARMLESS = {  # nothing beside features, text instead of text, and half of a file that is one too
    *((name, "cut in half") for name in ("mapping.txt", "a.csv", "a.tsv", "r.yaml", "a.jsonl", "a.txt", "v.npy")),
    *(("a.txt", fault) for fault in ("an escape", "NUL")),
    ("r.yaml", "empty"),
    *((name, fault) for name in ("v.json", "confidence.json") for fault in ("missing", "a link to nothing")),
}


def put(path: Path, content: Content) -> None:
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def faults(form: str) -> dict[str, Content]:
    return {**FAULTS["any"], **FAULTS[form]}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (name, fault)
        for name in FILE_READERS
        for fault in faults(FILE_READERS[name][0])
        if (name, fault) not in HARMLESS
    ],
)
def test_a_file_with_a_fault_is_refused_at_its_path(name, fault, tmp_path):
    form, good, read = FILE_READERS[name]
    path = tmp_path / name
    put(path, good)
    put(path, faults(form)[fault])
    with refused() as caught:
        read(path)
    assert short(caught.value.where).startswith(name)


@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, fault) for name, form in RUN_FILES.items() for fault in faults(form) if (name, fault) not in HARMLESS],
)
def test_a_file_of_a_run_with_a_fault_is_refused_at_its_path(name, fault, tiny_run, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    put(run / name, faults(RUN_FILES[name])[fault])
    with refused() as caught:
        Run.open(run)
    missing = name == "run.json" and not (run / name).is_file()
    assert short(caught.value.where).startswith("run" if missing else name)


@pytest.mark.parametrize("what", RUN)
def test_parts_of_a_run_that_do_not_belong_together_are_refused(what, tiny_run, tmp_path):
    """The rows of `attacks` for run folders, in this process."""
    name, content, place = RUN[what]
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    put(run / name, content)
    with refused() as caught:
        Run.open(run)
    assert short(caught.value.where).startswith(place)


@pytest.mark.parametrize(("kind", "fault"), [(kind, fault) for kind in FILES for fault in FILES[kind][2]])
def test_what_a_tool_would_not_write_is_refused(kind, fault, tmp_path):
    """The rows of `attacks` for files of tools, in this process."""
    name, options, table = FILES[kind]
    content, place = table[fault]
    put(tmp_path / name, content)
    unit = "seconds" if "seconds" in options else None
    with refused() as caught:
        convert_annotations([tmp_path / name], kind.split()[0], tmp_path / "out", Target(10.0), Options(unit=unit))
    assert short(caught.value.where).startswith(place)
    assert not (tmp_path / "out").exists()
