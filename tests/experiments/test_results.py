"""The command that repeats a row of docs/results.md, and the rows that it can repeat."""

from __future__ import annotations

import json
import re
import string
from dataclasses import replace

import pytest

from fact_clip import InputError
from fact_clip.core import FileLocation

from ..scripts import ROOT, load_script

results = load_script("experiments/results.py")
ROWS = results.read_rows()

TOLERANCE = 10.0
"""Points by which the figures of `check` may differ from the recorded ones.

On one computer the figures repeat exactly. A different processor or version of PyTorch rounds
differently, and training amplifies this until it resembles a different seed. Over three seeds the
largest standard deviation is 4.2 points, and a broken model loses far more than 10 points.
"""

ROW = results.Row(
    name="small",
    table="Table",
    commands=("python -c 'print(\"figures 3: {seed} 7.5\")'",),
    minutes=1,
    recorded={"accuracy": 1.0, "edit": 7.0},
    deviation={"edit": 0.25},
    published={"edit": 9.0},
    line="figures 3:",
)


def words_of(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_row_is_complete(row):
    used = set().union(*(words_of(command) for command in row.commands))
    assert used - {"data", "out", "seed"} == row.settings.keys()
    assert bool(row.data) == ("data" in used)
    assert bool(row.evaluation) != bool(row.line)
    assert row.deviation.keys() <= row.recorded.keys() <= results.KEYS.keys()
    assert row.minutes > 0
    for command in row.commands:
        assert command.split()[0] in results.PROGRAMS


def test_tables_are_headings_of_the_page():
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    headings = re.findall(r"^##+ (.+)$", page, flags=re.MULTILINE)
    tables = {row.table.partition(":")[0] for row in ROWS.values() if row.name != "check"}
    assert tables - {*headings} == set()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_recorded_figures_are_those_of_the_page(row):
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    for value in row.recorded.values():
        if row.name != "check":
            assert re.search(rf"(?<![\d.]){value:g}(\.0)?(?![\d.])", page), value


def test_list_has_the_minutes_of_all_seeds(capsys):
    assert results.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ROWS) + 1
    line = next(line for line in lines if line.startswith("own-kscgr-5 "))
    assert re.split("  +", line) == ["own-kscgr-5", "6", "KSCGR: quality"]


def test_comparison_by_hand():
    lines = results.compare(ROW, {"accuracy": 0.5, "edit": 7.5})
    assert lines[1].split() == ["accuracy", "–", "1.0", "0.5", "-0.5"]
    assert lines[2].split() == ["edit", "9.0", "7.0", "7.5", "+2.0", "SD"]


def test_figures_are_averaged_over_seeds():
    assert results.mean_figures([{"edit": 1.0}, {"edit": 2.0}]) == {"edit": 1.5}


def test_figures_follow_the_words_in_the_output(tmp_path):
    figures = results.run_commands(ROW, tmp_path, tmp_path / "out", seed=2)
    assert figures == {"accuracy": 2.0, "edit": 7.5}
    assert (tmp_path / "out/output.txt").read_text() == "figures 3: 2 7.5\n"


def test_output_without_the_figures_is_an_error(tmp_path):
    for line in ("figures 4:", "7.5"):
        with pytest.raises(InputError) as error:
            replace(ROW, line=line).read_figures(tmp_path, "figures 3: 2 7.5\n")
        assert error.value.where == "small"


def test_figures_of_an_evaluation(tmp_path):
    row = replace(ROW, line="", evaluation="run/evaluation.json", recorded={"H": 0.0, "edit": 0.0})
    (tmp_path / "run").mkdir()
    path = tmp_path / "run/evaluation.json"
    content = {"metrics": {"edit": 50.5}, "zero_shot": {"ways": {"in use": {"H": 60}}}}
    path.write_text(json.dumps(content))
    assert row.read_figures(tmp_path, "") == {"H": 60.0, "edit": 50.5}
    path.write_text(json.dumps({"metrics": {"edit": 50.5}}))
    with pytest.raises(InputError) as error:
        row.read_figures(tmp_path, "")
    assert error.value.where == FileLocation(path)


def test_a_failed_command_is_an_error(tmp_path):
    row = replace(ROW, commands=("python -c 'raise SystemExit(3)'",))
    with pytest.raises(InputError, match="exit code 3") as error:
        results.run_commands(row, tmp_path, tmp_path / "out", seed=0)
    assert error.value.where == "small"


def test_kscgr_comes_from_the_package(tmp_path):
    folder = results.find_data(replace(ROW, data="kscgr"), tmp_path / "none", tmp_path / "out")
    assert folder == tmp_path / "out/kscgr"
    assert len(list((folder / "features").iterdir())) == 30


def test_commands_that_make_their_data_need_no_folder(tmp_path):
    assert results.find_data(ROW, tmp_path / "none", tmp_path / "out") == tmp_path / "out"


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["own-openpac"], "ROW"),
        (["own-openpack", "--seeds", "0;1"], "--seeds"),
        (["own-openpack", "--data", "{folder}"], "{folder}/openpack"),
        (["own-openpack", "--out", "{folder}"], "{folder}"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, monkeypatch, capsys, arguments, place):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file.txt").touch()
    words = [argument.format(folder=folder) for argument in arguments]
    assert results.main(words) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert message.startswith(f"fact-clip: {place.format(folder=folder)}: ")


@pytest.mark.slow
def test_check_repeats_the_recorded_figures(tmp_path):
    assert results.main(["check", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    figures = json.loads((tmp_path / "out/figures.json").read_text())
    assert figures == pytest.approx(ROWS["check"].recorded, abs=TOLERANCE)
