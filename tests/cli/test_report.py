"""fact-clip report: the page, the plots, and runs that are still to be evaluated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("report") / "run"))


def data_of(path: Path) -> dict:
    html = path.read_text(encoding="utf-8")
    start = html.index('id="data">') + len('id="data">')
    return json.loads(html[start : html.index("</script>", start)])


def test_a_run_is_evaluated_where_that_is_still_to_be_done(fact_clip, run):
    assert not (run / "evaluation.npz").exists()
    answer = fact_clip("report", run)
    assert answer.code == 0, answer.err
    page = run / "report.html"
    assert answer.out == f"written: {page} ({page.resolve().as_uri()})\n"
    result, data = json.loads((run / "evaluation.json").read_text()), data_of(page)
    assert [video["name"] for video in data["videos"]] == result["videos"]
    figures = {name: value for name, value, _ in data["runs"][0]["numbers"]}
    assert figures["frame accuracy"] == result["metrics"]["frame_accuracy"]
    written = (run / "evaluation.npz").stat().st_mtime_ns
    assert fact_clip("report", run, "--out", run / "again.html").code == 0
    assert (run / "evaluation.npz").stat().st_mtime_ns == written
    assert (run / "again.html").read_text() == page.read_text()  # the same result gives the same page


def test_two_runs_make_one_page_here(fact_clip, run, tmp_path, monkeypatch):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    monkeypatch.chdir(tmp_path)
    assert fact_clip("report", run, other).code == 0
    assert [one["path"] for one in data_of(tmp_path / "report.html")["runs"]] == [str(run), str(other)]


def test_a_sweep_is_summed_up(fact_clip, recipe, tmp_path):
    assert fact_clip("train", recipe, "--sweep", "train.seed=0,1", "--out", tmp_path / "sweep").code == 0
    answer = fact_clip("report", tmp_path / "sweep", "--out", tmp_path / "page.html")
    assert answer.code == 0, answer.err
    data = data_of(tmp_path / "page.html")
    assert [one["title"] for one in data["runs"]] == ["seed0", "seed1"]
    assert [one["seed"] for one in data["runs"]] == [0, 1]
    result = json.loads((tmp_path / "sweep" / "evaluation.json").read_text())
    (sweep,) = data["sweeps"]
    assert (sweep["axes"], sweep["runs"]) == (["train.seed"], 2)
    key = "frame_accuracy"
    assert ["frame accuracy", *(pytest.approx(result[part][key]) for part in ("metrics", "sd"))] in sweep["figures"]


def test_plots_are_png_and_svg(fact_clip, run, tmp_path):
    answer = fact_clip("report", run, "--plots", tmp_path / "plots")
    assert answer.code == 0, answer.err
    result = json.loads((run / "evaluation.json").read_text())
    names = [f"timeline_{name}" for name in result["videos"]]
    found = {Path(line).name for line in answer.out.splitlines()}
    assert found >= {f"{name}{suffix}" for name in names for suffix in (".png", ".svg")}
    assert all((tmp_path / "plots" / name).stat().st_size > 1000 for name in found)
    assert not (tmp_path / "plots" / "curve.png").exists()  # no class was held out


def test_figures_of_other_weights_are_evaluated_again(fact_clip, tiny, tmp_path):
    from fact_clip import report, training
    from fact_clip.core import InputError

    run = tmp_path / "run"
    training.train(tiny(train={"epochs": 1}), run)
    assert fact_clip("report", run).code == 0
    first = json.loads((run / "evaluation.json").read_text())
    training.train(tiny(train={"epochs": 3}), run, resume=True)
    with pytest.raises(InputError, match="other weights"):
        report.write(run)
    assert fact_clip("report", run).code == 0
    second = json.loads((run / "evaluation.json").read_text())
    assert first["weights"] != second["weights"]
    (run / "evaluation.json").write_text(json.dumps({**second, "cautions": ["of videos that it knows"]}))
    assert fact_clip("report", run).code == 0
    assert data_of(run / "report.html")["runs"][0]["result"]["cautions"] == ["of videos that it knows"]
