"""From video files: extract, and segment with a run and without training."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from pympi.Elan import Eaf

from fact_clip import training
from fact_clip.encoders import frame_encoder
from fact_clip.formats import load
from fact_clip.video.extract import Settings, extract

from ..films import write_video
from ..refusals import refused_line
from ..small import write_dataset


def wandering(seconds: int) -> Iterator[np.ndarray]:
    """A bright patch that wanders over grey, in 15 pictures a second."""
    for number in range(15 * seconds):
        image = np.full((48, 64, 3), 90, dtype=np.uint8)
        image[10:20, number % 50 : number % 50 + 10] = 220
        yield image


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """A folder of three videos, of which b.mp4 is no video; tests only read it."""
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "a.mp4", wandering(4), rate=15)
    write_video(folder / "c.mkv", wandering(6), rate=15)
    (folder / "b.mp4").write_text("no video\n" * 50)
    (folder / "notes.txt").write_text("not taken up")
    return folder


def test_one_bad_video_is_told_at_the_end_and_does_not_stop_the_rest(films, fact_clip, tmp_path):
    answer = fact_clip("extract", films, "--encoder", "grid", "--fps", 5, "--out", tmp_path)
    assert answer.code == 1
    assert answer.out == f"3 videos: 2 extracted, 0 current, 1 failed; {tmp_path}\n"
    *lines, last = answer.err.splitlines()
    assert last.startswith(f"fact-clip: {films / 'b.mp4'}: not a video")
    done = ["extracting: 1 of 3, ", f"{films / 'b.mp4'}: failed", "extracting: 2 of 3, "]
    assert [line.startswith(start) for line, start in zip(lines, done, strict=True)] == [True] * 3
    names = [".batch", "a.json", "a.npy", "c.json", "c.npy", "failures.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert np.load(tmp_path / "c.npy").shape == (30, 384)
    before = (tmp_path / "a.npy").stat().st_mtime_ns
    again = fact_clip("extract", films / "a.mp4", films / "c.mkv", "--encoder", "grid", "--out", tmp_path)
    assert (again.code, again.out) == (0, f"2 videos: 0 extracted, 2 current, 0 failed; {tmp_path}\n")
    assert (tmp_path / "a.npy").stat().st_mtime_ns == before
    slower = fact_clip("extract", films / "a.mp4", "--encoder", "grid", "--fps", 3, "--out", tmp_path)
    assert "1 extracted" in slower.out
    assert len(np.load(tmp_path / "a.npy")) == 12


def test_a_list_from_stdin(films, fact_clip, tmp_path, monkeypatch):
    names = ("a.mp4", "b.mp4", "c.mkv")
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{films / name}\n" for name in names)))
    answer = fact_clip("extract", "-", "--encoder", "grid", "--out", tmp_path)
    assert (answer.code, answer.out) == (1, f"3 videos: 2 extracted, 0 current, 1 failed; {tmp_path}\n")
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == ["a.npy", "c.npy"]


def test_segment_a_video_with_a_run(films, fact_clip, tmp_path, tiny):
    labels = dict.fromkeys(("one", "two", "three"), ["rest"] * 8 + ["wander"] * 12)
    root = write_dataset(tmp_path / "data", ("rest", "wander"), labels, train=("one", "two"), test=("three",))
    videos = [write_video(tmp_path / f"{name}.mp4", wandering(4), rate=15) for name in labels]
    assert fact_clip("extract", *videos, "--encoder", "grid", "--out", root / "features").code == 0
    data = {"name": "folder", "root": str(root), "fps": 5.0, "layout": "TD", "stride": 1}
    training.train(tiny(data=data, train={"epochs": 1}), tmp_path / "run")

    how = ("--run", tmp_path / "run", "--encoder", "grid", "--out", tmp_path / "out")
    answer = fact_clip("segment", films / "a.mp4", *how, "--json")
    assert answer.code == 0, answer.err
    (from_video,) = json.loads(answer.out)
    fact_clip("extract", films / "a.mp4", "--encoder", "grid", "--out", tmp_path / "features")
    from_file = load_after(fact_clip, tmp_path / "features" / "a.npy", *how)
    assert from_video["segments"] == from_file["segments"]
    assert (from_video["fps"], from_video["n_frames"]) == (5, 20)
    # as it comes, with an endless delay
    answer = fact_clip("segment", "--live", films / "a.mp4", *how[:4], "--delay", 1e6, "--json")
    assert answer.code == 0, answer.err
    assert [json.loads(line) for line in answer.out.splitlines()] == from_video["segments"]
    # the run knows which encoder made its features
    alone = load_after(fact_clip, films / "a.mp4", "--run", tmp_path / "run", "--out", tmp_path / "alone")
    assert alone["segments"] == from_video["segments"]
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["encoder"] == "grid"
    for encoder, place in ((None, "a.mp4"), ("clip:other/one", "--encoder")):
        (tmp_path / "run" / "run.json").write_text(json.dumps({**facts, "encoder": encoder}))
        given = how[2:4] if encoder else ()
        refused = fact_clip("segment", films / "a.mp4", "--run", tmp_path / "run", *given)
        refused_line(refused, place)
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    refused_line(fact_clip("segment", films / "a.mp4", *how, "--fps", 7), "--fps")


def load_after(fact_clip, features: Path, *how: object) -> dict:
    answer = fact_clip("segment", features, *how, "--json", "--overwrite")
    assert answer.code == 0, answer.err
    return json.loads(answer.out)[0]


def test_segment_without_training(films, fact_clip, tmp_path, open_clip_folder, monkeypatch):
    spec = f"clip:local-dir:{open_clip_folder}"
    shutil.copy(films / "a.mp4", tmp_path)
    how = ("--training-free", "--encoder", spec, "--actions", "stir, pour milk, crack an egg")
    monkeypatch.chdir(tmp_path)
    answer = fact_clip("segment", "a.mp4", *how, "--json", "--minimal-duration", "0.4")
    assert answer.code == 0, answer.err
    (from_video,) = json.loads(answer.out)
    assert {each["label"] for each in from_video["segments"]} <= {"stir", "pour milk", "crack an egg"}
    assert (from_video["fps"], from_video["n_frames"]) == (5, 20)
    assert load(tmp_path / "segments" / "a.csv").n_frames == 20
    assert fact_clip("extract", "a.mp4", "--encoder", spec, "--out", "f").code == 0
    assert (
        load_after(fact_clip, Path("f/a.npy"), *how, "--minimal-duration", "0.4")["segments"] == from_video["segments"]
    )


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["--run", "r", "--training-free"], "segment"),
        (["--training-free", "--encoder", "grid", "--actions", "stir"], "frame encoder 'grid'"),
    ],
)
def test_bad_requests_of_segment(films, fact_clip, monkeypatch, arguments, place):
    monkeypatch.chdir(films)
    answer = fact_clip("segment", "a.mp4", *arguments)
    refused_line(answer, place)


TIMES = [40 * n + (300 if n > 20 else 0) + 25 * (n % 3 == 1) for n in range(50)]  # milliseconds; one picture stays long


def flicker(path: Path, seed: int, times: Sequence[int]) -> list[bool]:
    """A film that is dark or bright for 4 to 9 pictures in turn; which they are."""
    rng = np.random.default_rng(seed)
    bright = [bool(turn % 2) for turn in range(20) for _ in range(rng.integers(4, 10))][: len(times)]
    images = (np.clip(rng.normal(200 if one else 50, 10, (48, 64, 3)), 0, 255).astype(np.uint8) for one in bright)
    write_video(path, images, rate=25, times=times)
    return bright


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> Path:
    """A film of a variable rate."""
    path = tmp_path_factory.mktemp("uneven") / "my film.mkv"
    flicker(path, 9, TIMES)
    return path


@pytest.fixture(scope="module")
def pixel_run(tiny, tmp_path_factory) -> Path:
    """A run that tells dark (rest) from bright (wander) by the grid encoder's features at 10 rows a second."""
    root, labels = tmp_path_factory.mktemp("pixels"), {}
    for seed, name in enumerate(("one", "two", "three")):
        bright = flicker(root / f"{name}.mkv", seed, range(0, 4000, 40))
        extract(root / f"{name}.mkv", frame_encoder("grid"), root / "features", Settings(fps=10))
        labels[name] = ["wander" if bright[5 * row // 2] else "rest" for row in range(40)]
    write_dataset(root, ("rest", "wander"), labels, train=("one", "two"), test=("three",))
    data = {"name": "folder", "root": str(root), "fps": 10.0, "layout": "TD", "stride": 1, "standardize": True}
    training.train(tiny(data=data, model={"blocks": "i"}, train={"epochs": 20, "lr": 0.01}), root / "run")
    return root / "run"


def test_segments_of_a_variable_rate_start_with_real_frames(uneven, pixel_run, fact_clip, tmp_path):
    """Annotations that ELAN reads start at presentation times, or on the grid within a picture that stays long."""
    how = ("--run", pixel_run, "--encoder", "grid", "--format", "eaf,json,vtt,csv", "--out", tmp_path)
    answer = fact_clip("segment", uneven, *how, "--json")
    assert answer.code == 0, answer.err
    (printed,) = json.loads(answer.out)
    found = load(tmp_path / "my film.json")
    assert len(found) > 4
    assert found.media == printed["media"] == str(uneven)
    assert found.fps == 10
    grid = [100 * row for row in range(found.n_frames)]
    shown = [max(time for time in TIMES if time <= at + 1) for at in grid]
    rows = [
        time if row == 0 or time != shown[row - 1] else at
        for row, (time, at) in enumerate(zip(shown, grid, strict=True))
    ]
    eaf = Eaf(tmp_path / "my film.eaf")
    annotations = eaf.get_annotation_data_for_tier("action")
    assert [start for start, _, _ in annotations] == [rows[each.start] for each in found]
    assert [each[1] for each in annotations[:-1]] == [each[0] for each in annotations[1:]]
    assert annotations[-1][1] == pytest.approx(TIMES[-1] + 40, abs=45)  # the end of the film
    assert sum(start in TIMES for start, _, _ in annotations) >= len(annotations) - 3
    assert eaf.get_linked_files()[0]["MEDIA_URL"] == f"file://{uneven}"
    assert (tmp_path / "my film.vtt").read_text().startswith(f"WEBVTT - {uneven}\n")

    how_called = ("--format", "label-studio", "--media", "https://host/clips/{name}", "--out", tmp_path / "ls")
    assert fact_clip("segment", uneven, *how[:4], *how_called).code == 0
    (task,) = json.loads((tmp_path / "ls" / "my film.label-studio.json").read_text())
    assert task["data"]["video"] == "https://host/clips/my film.mkv"

    # the same from the features that extract leaves
    assert fact_clip("extract", uneven, "--encoder", "grid", "--fps", 10, "--out", tmp_path / "f").code == 0
    answer = fact_clip("segment", tmp_path / "f" / "my film.npy", *how[:2], "--out", tmp_path / "again")
    assert answer.code == 0, answer.err
    again = load(tmp_path / "again" / "my film.json")
    assert (again.segments, again.times, again.media) == (found.segments, found.times, found.media)


def test_labels_of_a_tool_come_back_on_the_clock_of_the_film(uneven, pixel_run, fact_clip, tmp_path):
    """extract, segment, correct in ELAN, convert: each row gets the label that it was given."""
    assert fact_clip("extract", uneven, "--encoder", "grid", "--fps", 10, "--out", tmp_path / "f").code == 0
    features = tmp_path / "f" / "my film.npy"
    how = ("--run", pixel_run, "--format", "eaf,json", "--out", tmp_path / "out")
    assert fact_clip("segment", features, *how).code == 0
    labels = tmp_path / "out" / "my film.eaf"
    answer = fact_clip(
        "data", "convert", "--from", "eaf", labels, "--features", tmp_path / "f", "--out", tmp_path / "d"
    )
    assert answer.code == 0, answer.err
    written = (tmp_path / "d" / "groundTruth" / "my film.txt").read_text().splitlines()
    assert written == load(tmp_path / "out" / "my film.json").to_frames()


def test_boris_and_label_studio_count_the_pictures_of_the_film(films, pixel_run, fact_clip, tmp_path):
    """10 rows a second of a film of 15 pictures a second: from the film, its features, and features that name it."""
    how = ("--run", pixel_run, "--format", "boris,label-studio,json", "--with-background", "--out")
    (tmp_path / "film").mkdir()
    film = shutil.copy(films / "a.mp4", tmp_path / "film")
    assert fact_clip("segment", film, *how, tmp_path / "o").code == 0
    extract = ("extract", film, "--encoder", "grid", "--fps", 10, "--out", tmp_path / "f")
    assert fact_clip(*extract).code == 0
    sidecar = tmp_path / "f" / "a.json"
    facts = json.loads(sidecar.read_text())
    assert facts.pop("video_fps") == 15

    def rates(out: Path) -> tuple[float, float, int, int]:
        (observation,) = json.loads((out / "a.boris").read_text())["observations"].values()
        (task,) = json.loads((out / "a.label-studio.json").read_text())
        last = task["predictions"][0]["result"][-1]["value"]["ranges"][0]["end"]
        (rate,) = observation["media_info"]["fps"].values()
        return rate, task["data"]["fps"], observation["events"][-1][5], last

    features = tmp_path / "f" / "a.npy"
    assert fact_clip("segment", features, *how, tmp_path / "from features").code == 0
    sidecar.write_text(json.dumps(facts))  # without the rate of the film, which is read from the film
    assert fact_clip("segment", features, *how, tmp_path / "from film").code == 0
    for out in ("o", "from features", "from film"):
        assert rates(tmp_path / out) == (15, 15, 60, 60)
    Path(film).unlink()  # now only the rows are known, whose times are uneven
    assert fact_clip("segment", features, *how, tmp_path / "rows").code == 0
    assert rates(tmp_path / "rows") == (10, 1000, 40, 4000)  # a frame of Label Studio is a millisecond
    found = load(tmp_path / "o" / "a.json")
    assert (found.fps, found.video_fps, found.n_frames) == (10, 15, 40)


def test_a_window_in_seconds(films, pixel_run, fact_clip, tmp_path, monkeypatch):
    from fact_clip.inference.scorer import Scorer

    lengths, read = [], Scorer._read
    monkeypatch.setattr(Scorer, "_read", lambda *what: (lengths.extend(map(len, what[2])), read(*what))[1])
    how = ("--run", pixel_run, "--encoder", "grid", "--out", tmp_path)
    assert fact_clip("segment", films / "c.mkv", *how, "--window", "2.5").code == 0
    assert set(lengths) == {25}  # of 60 rows, 10 a second
    assert len(lengths) > 2
    assert fact_clip("segment", films / "c.mkv", *how, "--overwrite").code == 0
    assert lengths[-1] == 60


def test_features_of_another_rate_or_encoder_are_refused(films, pixel_run, fact_clip, tmp_path, open_clip_folder):
    assert fact_clip("extract", films / "a.mp4", "--encoder", "grid", "--fps", 5, "--out", tmp_path).code == 0
    answer = fact_clip("segment", tmp_path / "a.npy", "--run", pixel_run, "--out", tmp_path / "o")
    refused_line(answer, "a.json")
    spec = f"clip:local-dir:{open_clip_folder}"
    answer = fact_clip("segment", films / "a.mp4", "--run", pixel_run, "--encoder", spec, "--out", tmp_path / "o")
    refused_line(answer, "--encoder")
    over = fact_clip("segment", tmp_path / "a.npy", "--run", pixel_run, "--out", tmp_path)
    refused_line(over, "--out")


def test_a_table_has_a_row_for_each_frame_of_a_video_that_has_dropped_some(tmp_path, fact_clip):
    """Four frames of 30 per second are missing, and the file declares 30."""
    times = [round(1000 * number / 30) for number in range(24) if number not in (6, 7, 8, 15)]
    video = write_video(tmp_path / "take.mkv", islice(wandering(2), 20), times=times)
    source = tmp_path / "take.csv"
    source.write_text("start_seconds,stop_seconds,label\n0.1,0.5,rear\n")
    how = ("data", "convert", "--from", "csv", source, "--to", "binary.csv", "--film", video, "--out", tmp_path / "new")
    answer = fact_clip(*how)
    assert answer.code == 0, answer.err
    _, *rows = (tmp_path / "new/take.binary.csv").read_text().splitlines()
    assert len(rows) == 20
    active = [time for time, row in zip(times, rows, strict=True) if row.endswith(",1")]
    assert active == [time for time in times if 100 <= time < 500]
