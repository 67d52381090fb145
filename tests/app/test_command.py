"""fact-clip app: what it refuses before the page opens."""

from __future__ import annotations

import builtins

import pytest

from fact_clip.cli import main


def told(capsys, *arguments: object) -> str:
    """The line on stderr of a command that is refused."""
    assert main(["app", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_a_model_is_needed(capsys, tiny_run, tmp_path):
    assert "neither or both of --run and --training-free" in told(capsys)
    assert "neither or both of --run and --training-free" in told(capsys, "--run", tiny_run, "--training-free")
    assert "no --encoder" in told(capsys, "--training-free")
    assert "no run.json" in told(capsys, "--run", tmp_path)
    assert "a run" in told(capsys, "--training-free", "--encoder", "grid", "--window", 3)
    assert "no text side" in told(capsys, "--training-free", "--encoder", "grid")


def test_names_that_the_run_cannot_take_are_told_at_once(capsys, tiny_run):
    assert "peel apple" in told(capsys, "--run", tiny_run, "--actions", "peel apple")


@pytest.mark.parametrize("package", ["uvicorn", "starlette"])
def test_the_extra_is_named_where_it_is_missing(capsys, tiny_run, monkeypatch, package):
    original = builtins.__import__

    def without(name, *more):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=package)
        return original(name, *more)

    for name in ("fact_clip.app.server", "fact_clip.app.engine", "fact_clip.app.work"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    assert f"{package} is not installed; pip install 'fact-clip[app]'" in told(capsys, "--run", tiny_run)
