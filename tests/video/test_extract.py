from __future__ import annotations

import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest

from fact_clip.core import InputError
from fact_clip.core.identity import identity_of
from fact_clip.encoders import frame_encoder
from fact_clip.video.extract import RowEncoder, Settings, encode, extract, is_current
from fact_clip.video.frames import DamagedVideoError, Span, frames
from fact_clip_batch import Inputs, extract_batch

from ..films import described
from ..refusals import refused

GRID = frame_encoder("grid")


class Stumbling:
    """The grid encoder, which is interrupted after some batches, as by Ctrl-C."""

    name, size, context = GRID.name, GRID.size, GRID.context
    prepare, load = GRID.prepare, GRID.load

    def __init__(self, batches: int) -> None:
        self.left = batches

    def encode_images(self, prepared):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return GRID.encode_images(prepared)


def test_rows_are_what_the_encoder_gives_on_the_grid_of_times(video, tmp_path):
    path = video("v.mkv", 120, times=[90 * n + 40 * (n % 3) for n in range(120)])
    target = extract(path, GRID, tmp_path, Settings(fps=10, batch=7))
    pictures = list(frames(path, fps=10, size=(64, 48)))
    images = [pictures[0].image, *(each.image for each in pictures)]
    rows = np.load(target)
    assert rows.dtype == np.float16
    np.testing.assert_array_equal(rows, GRID.encode_images(np.stack(images)).astype(np.float16))
    np.testing.assert_array_equal(np.load(extract(path, GRID, tmp_path / "again", Settings(fps=10, batch=31))), rows)
    facts = described(target)
    shown = [each.time for each in pictures]
    first = [row for row in range(len(rows)) if row == 0 or shown[row] != shown[row - 1]]
    assert 0 < len(first) < len(rows)  # some pictures are there for two rows
    assert [facts["times"][row] for row in first] == pytest.approx([shown[row] for row in first], abs=1e-6)
    held = sorted(set(range(len(rows))) - set(first))
    assert [facts["times"][row] for row in held] == pytest.approx([row / 10 for row in held], abs=1e-6)
    assert len(facts["times"]) == len(rows) + 1
    assert (np.diff(facts["times"]) > 0).all()
    assert facts["video"] == str(path)
    assert (facts["encoder"], facts["fps"], facts["n_frames"], facts["dim"]) == ("grid", 10, len(rows), 384)
    assert facts["source"] == {"name": path.name, **identity_of(path)}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["again", "v.json", "v.npy"]


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_an_interrupted_extraction_goes_on_where_it_stopped(video, tmp_path, batches):
    path, settings = video("a.mp4"), Settings(fps=10, batch=8)
    whole = np.load(extract(path, GRID, tmp_path / "whole", settings))
    with pytest.raises(KeyboardInterrupt):
        extract(path, Stumbling(batches), tmp_path, settings)
    assert not (tmp_path / "a.npy").exists()
    second = Stumbling(-(-(50 - 8 * batches) // 8))  # no more than what is left
    np.testing.assert_array_equal(np.load(extract(path, second, tmp_path, settings)), whole)
    assert second.left == 0
    assert described(tmp_path / "a.npy")["times"] == described(tmp_path / "whole" / "a.npy")["times"]


class Averaging(Stumbling):
    """An encoder whose rows are made of three pictures."""

    name = "averaging"
    context = 2

    def encode_images(self, prepared):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        rows = prepared.reshape(len(prepared), -1)[:, :5].astype("f4")
        return rows[:-2] + 2 * rows[1:-1] + 4 * rows[2:]


def test_the_first_pictures_have_the_same_past_after_an_interruption(video, tmp_path):
    path = video("a.mp4")
    settings = Settings(fps=10, batch=1)
    whole = np.load(extract(path, Averaging(10**6), tmp_path / "whole", settings))
    with pytest.raises(KeyboardInterrupt):
        extract(path, Averaging(1), tmp_path, settings)
    np.testing.assert_array_equal(np.load(extract(path, Averaging(10**6), tmp_path, settings)), whole)


def test_features_that_a_kill_left_without_their_description_are_made_again(video, tmp_path, monkeypatch):
    """They are no features of another program, which are never replaced."""
    path = video("a.mp4")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fact_clip.video.extract.write_lines", killed)
        with pytest.raises(KeyboardInterrupt):
            extract(path, GRID, tmp_path, Settings())
    assert (tmp_path / "a.npy").is_file()
    assert not (tmp_path / "a.json").exists()
    found = extract(path, GRID, tmp_path, Settings())
    whole = extract(path, GRID, tmp_path / "whole", Settings())
    np.testing.assert_array_equal(np.load(found), np.load(whole))
    assert described(found) == described(whole)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.json", "a.npy", "whole"]


@pytest.mark.parametrize(("span", "is_named"), [(Span(), True), (Span(0.0, 1.0), True), (Span(0.5), False)])
def test_results_of_a_later_part_do_not_name_the_video(video, tmp_path, span, is_named):
    path = video("a.mp4")
    settings = Settings(fps=5, span=span)
    _, clock = encode(path, GRID, settings)
    assert (clock.media == str(path)) == is_named
    assert described(extract(path, GRID, tmp_path, settings))["video"] == str(path)


def test_a_part_of_something_else_is_begun_again(video, tmp_path):
    path = video("a.mp4")
    with pytest.raises(KeyboardInterrupt):
        extract(path, Stumbling(1), tmp_path, Settings(fps=5, batch=8))
    found = np.load(extract(path, GRID, tmp_path, Settings(fps=10, batch=8)))
    np.testing.assert_array_equal(found, np.load(extract(path, GRID, tmp_path / "new", Settings(fps=10))))


def current(path, encoder, settings) -> bool:
    """Whether the features beside a video are current."""
    return is_current(path.with_suffix(".npy"), path.with_suffix(".json"), encoder, settings, str(path), path)


def test_what_counts_as_current(video, tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(video("a.mp4").read_bytes())
    settings = Settings()
    assert not current(path, GRID, settings)
    extract(path, GRID, tmp_path, settings)
    assert current(path, GRID, settings)
    os.utime(path, (1, 1))  # touched, and still the same
    assert current(path, GRID, settings)
    assert not current(path, GRID, Settings(fps=6))
    half = SimpleNamespace(name=GRID.name, precision="bf16")
    assert not current(path, half, settings)
    assert not current(path, frame_encoder("timm:resnet18"), settings)
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    os.utime(path, (2, 2))
    assert not current(path, GRID, settings)
    extract(path, GRID, tmp_path, settings)
    np.save(tmp_path / "x.npy", np.load(tmp_path / "x.npy")[:-1])
    assert not current(path, GRID, settings)


def test_a_damaged_video(video, tmp_path):
    raw = video("a.mkv").read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(raw[: len(raw) // 2])
    with refused("cut.mkv", DamagedVideoError):
        extract(path, GRID, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["cut.mkv"]
    with refused("cut.mkv", DamagedVideoError):
        extract(path, GRID, tmp_path)
    path.write_bytes(raw)
    target = extract(path, GRID, tmp_path)
    assert current(path, GRID, Settings())
    facts = described(target) | {"n_frames": 1}
    target.with_suffix(".json").write_text(json.dumps(facts))
    assert not current(path, GRID, Settings())


def test_damage_before_an_interruption_is_told_too(video, tmp_path):
    raw = bytearray(video("a.mkv").read_bytes())
    raw[len(raw) // 4 : len(raw) // 4 + 3000] = np.random.default_rng(0).bytes(3000)
    path, settings = tmp_path / "a.mkv", Settings(fps=10, batch=8)
    path.write_bytes(raw)
    with refused("a.mkv", DamagedVideoError):
        extract(path, GRID, tmp_path / "once", settings)
    with pytest.raises(KeyboardInterrupt):
        extract(path, Stumbling(4), tmp_path, settings)
    assert (tmp_path / "a.part").is_file()
    with refused("a.mkv", DamagedVideoError):
        extract(path, GRID, tmp_path, settings)
    assert not (tmp_path / "a.part").exists()


def test_more_rows_than_pictures_are_told(video, tmp_path, caplog):
    for fps in (15.0, 30.1, 45.0):
        extract(video("a.mkv", 30), GRID, tmp_path, Settings(fps=fps))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{video('a.mkv', 30)}: 45 rows per second from 30 frames per second, so some rows are repeated"
    ]


def test_several_videos_and_what_the_log_says(video, tmp_path, caplog):
    good, broken = video("a.mp4"), tmp_path / "b.mp4"
    broken.write_text("no video")
    with caplog.at_level("DEBUG", logger="fact_clip"):
        first, failed = extract_batch(GRID, Inputs([good, broken]), tmp_path / "f")
        (second,) = extract_batch(GRID, Inputs([good]), tmp_path / "f")
        with pytest.raises(KeyboardInterrupt):
            extract(good, Stumbling(2), tmp_path, Settings(fps=10, batch=8))
        extract(good, GRID, tmp_path, Settings(fps=10, batch=8))
    assert [outcome.state for outcome in (first, failed, second)] == ["computed", "failed", "done"]
    assert str(failed.error.where) == str(broken)
    assert {record.name for record in caplog.records} == {"fact_clip.video.extract", "fact_clip.batch"}
    said = [re.sub(r"\d+(\.\d)? s\b", "0.1 s", record.getMessage()) for record in caplog.records]
    assert said == [
        f"{good}: 25 rows in 0.1 s",
        "extracting: 1 of 2, 0.1 s left",
        f"{broken}: failed",
        f"{good}: continued at row 16",
        f"{good}: 50 rows in 0.1 s",
    ]


def test_a_faulty_encoder_stops_all(video, tmp_path):
    class Faulty(Stumbling):
        def load(self):
            raise InputError("frame encoder 'x'", "no weights")

    with refused("frame encoder 'x'"):
        list(extract_batch(Faulty(0), Inputs([video("a.mp4"), video("v.mkv")]), tmp_path))


def test_values_beyond_float16_are_said_once(caplog):
    encoder = frame_encoder(lambda images: np.full((len(images), 3), 1e6, np.float32))
    encode_rows = RowEncoder(encoder, "v.mp4")
    for _ in range(2):
        assert encode_rows([np.zeros((4, 4, 3), np.uint8)]).max() == 65504
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["v.mp4"]
