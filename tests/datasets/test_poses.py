"""Files of pose trackers, written by movement, to features: columns by hand, gaps, what is not seen, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("movement")

from movement.io import load_poses, save_poses

from fact_clip.cli import main
from fact_clip.datasets.convert.poses import ADDED_BY_TRACKERS, MAX_GAP, PoseReader

from ..refusals import refused

RATE = 30.0
POINTS = ("nose", "left ear", "tail")
BODIES = ("a", "b")
WRITERS = {
    "DeepLabCut": (save_poses.to_dlc_file, "takeDLC_resnet50_mouse.h5", {"split_individuals": False}),
    "SLEAP": (save_poses.to_sleap_analysis_file, "take.analysis.h5", {}),
}


def drawn(turn: float = 0.0, n_frames: int = 20):
    """Two bodies whose points are an L that moves 3 pixels a picture along x; (positions, confidences)."""
    shape = np.array([[2.0, 0.0], [0.0, 1.0], [-2.0, 0.0]])  # nose, left ear, tail
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    positions = np.empty((n_frames, 2, len(POINTS), len(BODIES)))
    for time in range(n_frames):
        for body in range(len(BODIES)):
            centre = np.array([100 + 3 * time, 50 + 40 * body])
            positions[time, :, :, body] = (shape @ rotation.T + centre).T
    return positions, np.ones((n_frames, len(POINTS), len(BODIES)))


def columns_of(folder, software, positions, confidences, axis=("tail", "nose")):
    """Name -> column of what movement wrote."""
    write, name, how = WRITERS[software]
    data = load_poses.from_numpy(positions, confidences, list(BODIES), list(POINTS), fps=RATE)
    write(data, folder / name, **how)
    table = PoseReader(software, RATE, axis)(folder / name)
    assert table.video == "take"
    assert np.isfinite(table.values).all()
    np.testing.assert_allclose(table.seconds, np.arange(len(positions)) / RATE)
    return dict(zip(table.names, table.values.T, strict=True))


@pytest.mark.parametrize("software", WRITERS)
@pytest.mark.parametrize("turn", [0.0, 2.0])
def test_columns_by_hand(software, turn, tmp_path):
    columns = columns_of(tmp_path, software, *drawn(turn))
    assert len(columns) == 2 * (3 * 2 + 3 + 1 + 3 + 3) + 1
    first, second = dict.fromkeys(name.split(" ")[0] for name in columns if " to " not in name)
    for body in (first, second):
        expected = {"nose x": 2, "nose y": -1 / 3, "left ear x": 0, "left ear y": 2 / 3, "tail x": -2, "tail y": -1 / 3}
        for point, value in expected.items():
            np.testing.assert_allclose(columns[f"{body} {point}"], value, atol=1e-4)
        for name in ("nose speed", "speed"):
            np.testing.assert_allclose(columns[f"{body} {name}"], [0, *[3 * RATE] * 19], atol=1e-2)
        np.testing.assert_allclose(columns[f"{body} nose to tail"], 4, atol=1e-4)
        np.testing.assert_allclose(columns[f"{body} nose to left ear"], 5**0.5, atol=1e-4)
        assert (columns[f"{body} tail seen"] == 1).all()
    np.testing.assert_allclose(columns[f"{first} to {second}"], 40, atol=1e-4)


def test_speeds_are_by_the_times_of_the_pictures(tmp_path):
    """A film whose rate falls to a fourth: the points that move 3 pixels a picture are slower then."""
    columns_of(tmp_path, "DeepLabCut", *drawn())
    times = np.cumsum([0.0, *[0.05] * 10, *[0.2] * 9])
    path = tmp_path / "takeDLC_resnet50_mouse.h5"
    table = PoseReader("DeepLabCut", times)(path)
    np.testing.assert_array_equal(table.seconds, times)
    speeds = table.values[:, table.names.index("a speed")]
    np.testing.assert_allclose(speeds, [0, *[60] * 10, *[15] * 9], rtol=1e-4)
    with refused(path):
        PoseReader("DeepLabCut", times[1:])(path)


def test_a_body_that_is_not_turned(tmp_path):
    columns = columns_of(tmp_path, "DeepLabCut", *drawn(np.pi / 2), axis=())
    np.testing.assert_allclose(columns["a nose y"], 2, atol=1e-4)
    np.testing.assert_allclose(columns["a nose x"], 1 / 3, atol=1e-4)


@pytest.mark.parametrize(("length", "is_filled"), [(MAX_GAP, True), (MAX_GAP + 1, False)])
def test_short_gaps_are_filled_and_long_ones_are_not(length, is_filled, tmp_path):
    positions, confidences = drawn()
    confidences[5 : 5 + length, 2, 0] = 0.1  # the tail of a
    columns = columns_of(tmp_path, "DeepLabCut", positions, confidences)
    gap = slice(5, 5 + length)
    assert (columns["a tail seen"] == 0)[gap].all()
    assert columns["a tail seen"].sum() == 20 - length
    np.testing.assert_allclose(columns["a nose to tail"][gap], 4 if is_filled else 0, atol=1e-4)
    np.testing.assert_allclose(columns["a nose to left ear"], 5**0.5, atol=1e-4)
    np.testing.assert_allclose(columns["b nose to tail"], 4, atol=1e-4)


def test_a_hidden_point_moves_nothing(tmp_path):
    positions, confidences = drawn()
    positions[:] = positions[0]
    confidences[5:15, 0, 0] = 0.1  # the nose of a
    columns = columns_of(tmp_path, "DeepLabCut", positions, confidences, axis=())
    assert not any(columns[name].any() for name in columns if name.endswith("speed"))
    assert set(columns["a left ear y"].round(4).tolist()) == {0.0, round(2 / 3, 4)}


@pytest.mark.parametrize(
    ("file", "video"),
    [("s.mp4.analysis.h5", "s"), ("s.analysis.h5", "s"), ("sDLC_x.h5", "s"), ("dlc_one.csv", "dlc_one")],
)
def test_what_trackers_add_to_a_name(file, video):
    assert ADDED_BY_TRACKERS.sub("", Path(file).stem) == video


def test_the_command(tmp_path, capsys):
    columns_of(tmp_path, "SLEAP", *drawn(n_frames=60))
    path = str(tmp_path / "take.analysis.h5")
    out = tmp_path / "data"
    command = ["data", "convert", "--from", "pose", path, "--out", str(out), "--fps", "10"]
    assert main([*command, "--source-fps", "30", "--software", "SLEAP", "--axis", "tail, nose"]) == 0
    assert np.load(out / "features/take.npy").shape == (20, 33)
    assert json.loads((out / "features/take.json").read_text())["fps"] == 10
    capsys.readouterr()
    for options, where in (
        (["--software", "SLEAP"], "--from pose"),
        (["--source-fps", "30", "--software", "DeepLabCut"], "take.analysis.h5"),
        (["--source-fps", "30", "--software", "SLEAP", "--axis", "paw, nose"], "--axis"),
    ):
        assert main([*command[:-4], "--out", str(tmp_path / "no"), "--fps", "10", *options]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert where in error
    assert not (tmp_path / "no").exists()


def test_features_of_other_points_or_another_axis_are_not_taken_together(tmp_path, capsys):
    """Their columns are as many; the JSON files beside them say what made them."""
    columns_of(tmp_path, "SLEAP", *drawn())
    path = tmp_path / "take.analysis.h5"
    out = tmp_path / "data"
    command = ["data", "convert", "--from", "pose", "--out", str(out), "--fps", "10", "--source-fps", "30"]
    for number, axis in enumerate(("tail, nose", "nose, tail", "tail, nose")):
        other = path.rename(tmp_path / f"take{number}.analysis.h5")
        assert main([*command, str(other), "--software", "SLEAP", "--axis", axis]) == 0
        path = other
    facts = [json.loads((out / f"features/take{number}.json").read_text())["encoder"] for number in range(3)]
    assert facts[0] == facts[2] != facts[1]
    assert facts[0].startswith("pose:tail, nose@")
    positions, confidences = drawn()
    points = load_poses.from_numpy(positions, confidences, list(BODIES), list(POINTS[::-1]), fps=RATE)
    path = tmp_path / "other.analysis.h5"
    save_poses.to_sleap_analysis_file(points, path)
    assert PoseReader("SLEAP", RATE, ("tail", "nose"))(path).encoder != facts[0]


def test_an_axis_needs_two_points(tmp_path):
    with refused("--axis"):
        columns_of(tmp_path, "DeepLabCut", *drawn(), axis=("nose",))
