"""What more videos would bring: the line by hand, and the command on synthetic videos."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fact_clip.advice import forecast as room
from fact_clip.advice.estimate import Estimate
from fact_clip.advice.forecast import Forecast, forecast
from fact_clip.cli import main
from fact_clip.config import DataConfig
from fact_clip.datasets.synthetic import write_workbench

from ..refusals import refused


def test_a_line_over_the_logarithm_by_hand():
    # 4 points for each doubling, on each of three videos
    table = np.array([[40, 50, 60], [44, 54, 64], [48, 58, 68]], dtype=float)
    found = Forecast.of([2, 4, 8], table, n_new=8, clicks=57.0)
    assert found.figures == (50, 54, 58)
    assert found.gain == pytest.approx(4)
    assert (found.low, found.high) == (pytest.approx(4), pytest.approx(4))
    assert (found.measured, found.clicks) == (3, 57)


def test_the_interval_holds_the_spread_over_videos():
    table = np.array([[40.0, 50.0], [44.0, 50.0]])  # one video gains, the other does not
    found = Forecast.of([4, 8], table, n_new=8, clicks=50.0)
    assert found.gain == pytest.approx(2)
    assert (found.low, found.high) == (pytest.approx(0), pytest.approx(4))


@pytest.mark.slow
def test_the_command(capsys, tmp_path):
    root = write_workbench(tmp_path / "data", videos=18, persons=3, dim=8)
    assert main(["data", "forecast", str(root), "--minutes", "0.01", "--more", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["videos"] == [2, 3, 6]  # the persons that names show stay together
    assert found["n_new"] == 4
    assert 0 <= found["clicks"] <= 100
    assert found["low"] <= found["gain"] <= found["high"]


def test_few_videos_are_refused(workbench):
    assert room.FEWEST_VIDEOS == 8
    with refused():
        forecast(DataConfig(root=str(workbench), fps=15))


def test_no_subject_is_both_trained_on_and_measured(monkeypatch, tmp_path):
    root = write_workbench(tmp_path / "data", videos=18, persons=6, dim=8)
    trainings = []

    def figures(plan, names, measured, most_steps):
        trainings.append((names, measured))
        return np.zeros(len(measured))

    monkeypatch.setattr(room, "_figures", figures)
    monkeypatch.setattr(room, "estimate", lambda config: Estimate(start=0.0, epoch=1.0, validation=0.0, videos=3))
    forecast(DataConfig(root=str(root), groups=r"(person\d)"))
    for names, measured in trainings:
        assert measured
        assert not {name[:7] for name in names} & {name[:7] for name in measured}


def test_clicks_are_not_measured_on(tmp_path):
    root = write_workbench(tmp_path / "data", videos=18, persons=6, dim=8)
    (root / "clicks").mkdir()
    for path in (root / "groundTruth").iterdir():
        (root / "clicks" / f"{path.stem}.csv").write_text(f"frame,label\n0,{path.read_text().split(chr(10))[0]}\n")
        path.unlink()
    with refused("data"):
        forecast(DataConfig(root=str(root), layout="TD", fps=15.0))


def test_one_video_to_train_on_is_too_few(monkeypatch, tmp_path):
    root = write_workbench(tmp_path / "data", videos=18, persons=6, dim=8)
    monkeypatch.setattr(room, "learning_groups", lambda data, names: {name: str(name == names[-1]) for name in names})
    with refused("data.groups"):
        forecast(DataConfig(root=str(root)))
