from __future__ import annotations

import pickle
import re
import struct
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest

from fact_clip.video import frames as video_frames
from fact_clip.video.frames import DamagedVideoError, frames, probe

from ..films import number_of, write_video
from ..refusals import refused

TIMES = np.cumsum(np.random.default_rng(3).integers(10, 200, 120)).tolist()
TIMES = [time - TIMES[0] for time in TIMES]  # milliseconds


def numbers(path, **how) -> list[int]:
    return [number_of(frame.image) for frame in frames(path, **how)]


def shown(times: list[float], grid: list[float]) -> list[int]:
    """Slow and sure: the last picture whose time has come."""
    return [max(index for index, time in enumerate(times) if time <= at + 1e-3) for at in grid]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_constant_rate(video, name):
    path = video(name)
    assert numbers(path) == list(range(150))
    assert numbers(path, fps=5) == list(range(0, 150, 6))
    info = probe(path)
    assert (info.width, info.height, info.fps) == (64, 48, 30)
    assert info.seconds == pytest.approx(5, abs=0.04)


def test_reordered_frames_in_avi_come_all_and_in_order(video):
    path = video("b.avi", codec="libx264")
    assert numbers(path) == list(range(150))
    assert [frame.time for frame in frames(path)] == pytest.approx([n / 30 for n in range(150)], abs=0.1)


def test_a_rate_above_the_file_repeats_pictures(video):
    assert numbers(video("a.mp4"), fps=60)[:30] == [n // 2 for n in range(30)]


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_variable_rate_goes_by_presentation_time(video, name):
    path = video(name, 120, times=TIMES)
    assert [frame.time for frame in frames(path)] == pytest.approx([time / 1000 for time in TIMES], abs=1e-3)
    seconds = [time / 1000 for time in TIMES]
    rows = numbers(path, fps=5)
    assert rows == shown(seconds, [row / 5 for row in range(len(rows))])
    assert len(rows) in (np.ceil(5 * seconds[-1]), np.ceil(5 * seconds[-1]) + 1)
    by_index = [min(round(row * 120 / len(rows)), 119) for row in range(len(rows))]
    assert rows != by_index  # what index/fps would give


def test_times_count_from_the_start_of_the_file(video):
    path = video("late.mp4", 120, times=[time + 171 for time in TIMES])
    assert next(frames(path)).time == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_rotation_is_applied(video, tmp_path, matrix, turns):
    """`turns` counter-clockwise quarters, by the display matrix of the track header."""
    raw = bytearray(video("a.mp4").read_bytes())
    place = raw.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    raw[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "r.mp4").write_bytes(raw)
    upright, turned = (next(frames(path)).image for path in (video("a.mp4"), tmp_path / "r.mp4"))
    np.testing.assert_array_equal(turned, np.rot90(upright, turns))
    info = probe(tmp_path / "r.mp4")
    assert (info.height, info.width) == turned.shape[:2]
    assert next(frames(tmp_path / "r.mp4", size=(20, 30))).image.shape == (30, 20, 3)


def cut(path, tmp_path, share=0.5):
    raw = path.read_bytes()
    (tmp_path / path.name).write_bytes(raw[: int(len(raw) * share)])
    return tmp_path / path.name


def overwritten(path, tmp_path):
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 2000] = np.random.default_rng(1).bytes(2000)
    (tmp_path / path.name).write_bytes(raw)
    return tmp_path / path.name


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "fast.mp4"])
def test_a_cut_file_is_noticed(video, tmp_path, name):
    path = cut(video(name, options={"movflags": "faststart"} if name == "fast.mp4" else {}), tmp_path)
    got = []
    with refused(path, DamagedVideoError) as caught:
        got.extend(number_of(frame.image) for frame in frames(path))
    assert len(got) == pytest.approx(75, abs=25)
    assert got[:50] == list(range(50))
    decoded, declared = map(float, re.findall(r"([0-9.]+) s", str(caught.value)))
    assert declared == pytest.approx(5, abs=0.05)
    assert decoded == pytest.approx(len(got) / 30, abs=0.15)


def test_joined_files_are_noticed(video, tmp_path):
    """A camera's files put one behind the other: the times of the second one start at 0, and it would be left out."""
    path = tmp_path / "joined.ts"
    path.write_bytes(video("a.ts").read_bytes() * 2)
    got = []
    with refused("joined.ts", DamagedVideoError):
        got.extend(number_of(frame.image) for frame in frames(path))
    assert got == list(range(150))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_overwritten_bytes_are_noticed(video, tmp_path, name):
    path = overwritten(video(name), tmp_path)
    got = []
    with refused(path, DamagedVideoError) as caught:
        got.extend(number_of(frame.image) for frame in frames(path))
    assert "cannot be decoded" in str(caught.value)
    assert got[:50] == list(range(50))


def test_a_thread_that_reports_late_finds_a_level(video, capfd):
    """With the level None again PyAV, which compares it with that of the message, would print a traceback."""
    for before, after in ((None, av.logging.PANIC), (av.logging.PANIC, av.logging.PANIC), (av.logging.FATAL,) * 2):
        av.logging.set_level(before)
        numbers(video("a.mkv"))
        assert av.logging.get_level() == after
    numbers(video("a.mkv"))
    av.logging.set_level(None)
    numbers(video("a.mkv"))
    av.logging.log(av.logging.ERROR, "h264", "late")
    assert capfd.readouterr() == ("", "")


def test_longer_sound_is_no_damage(tmp_path):
    for name, codec in (("s.mkv", "pcm_s16le"), ("s.mp4", "aac")):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            sound = container.add_stream(codec, rate=8000)
            for number in range(60):
                frame = av.VideoFrame(64, 48, "yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 30)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            _write_sound(container, sound, seconds=6)
        assert len(list(frames(tmp_path / name))) == 60


def _write_sound(container, stream, seconds):
    for part in range(seconds):
        silence = np.zeros((1, 8000), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 8000 * part, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def audio_only(tmp_path, video):
    with av.open(str(tmp_path / "bad.mp4"), "w") as container:
        _write_sound(container, container.add_stream("aac", rate=8000), 1)


BAD = {
    "no video stream (only audio)": audio_only,
    "not a video": lambda folder, video: (folder / "bad.mp4").write_text("hello\n" * 100),
    "its index is cut off": lambda folder, video: cut(video("bad.mp4"), folder),
}


@pytest.mark.parametrize("found", BAD)
def test_what_is_no_video_is_one_error(video, tmp_path, found):
    BAD[found](tmp_path, video)
    for look in (probe, lambda path: list(frames(path))):
        with refused("bad.mp4"):
            look(tmp_path / "bad.mp4")


def test_one_frame(tmp_path):
    path = write_video(tmp_path / "one.mp4", [np.zeros((48, 64, 3), dtype=np.uint8)])
    assert [frame.time for frame in frames(path, fps=5)] == [0.0]


def test_memory_does_not_grow_with_the_video(tmp_path):
    images = (np.full((240, 320, 3), number % 250, dtype=np.uint8) for number in range(600))
    path = write_video(tmp_path / "long.mp4", images)
    tracemalloc.start()
    count = sum(1 for _ in frames(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 600
    assert peak < 5_000_000  # a picture is 230 kB, the video 138 MB


def test_damage_is_told_between_processes():
    error = DamagedVideoError("a.mp4", "ends early")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is DamagedVideoError
    assert str(again) == str(error)


@pytest.mark.parametrize(
    ("source", "platform", "file", "how"),
    [
        ("camera:0", "linux", "/dev/video0", {"format": "v4l2"}),
        ("camera:", "linux", "/dev/video0", {"format": "v4l2"}),
        ("camera:/dev/v4l/by-id/x", "linux", "/dev/v4l/by-id/x", {"format": "v4l2"}),
        ("camera:1", "darwin", "1", {"format": "avfoundation", "options": {"framerate": "30"}}),
        ("camera:Integrated Camera", "win32", "video=Integrated Camera", {"format": "dshow"}),
    ],
)
def test_what_a_camera_is_called(source, platform, file, how):
    assert video_frames.live_input(source, platform) == (file, how)


def test_a_network_stream_reads_no_files_and_waits_for_ten_seconds():
    file, how = video_frames.live_input("rtsp://host/stream")
    assert (file, how["timeout"]) == ("rtsp://host/stream", (10.0, 10.0))
    assert "file" not in how["options"]["protocol_whitelist"]
    with refused("camera:0"):
        video_frames.live_input("camera:0", "win32")


def test_a_live_source_gives_the_pictures_of_its_clock(video, monkeypatch):
    """A camera whose clock began before: the file starts at two seconds."""
    path = video("late.mkv", 30, times=tuple(range(2000, 3000, 34))[:30])
    whole = [number_of(frame.image) for frame in video_frames.frames(path, fps=10)]
    assert [number_of(frame.image) for frame in video_frames.live_frames(str(path), 10)] == whole
    monkeypatch.setattr(video_frames, "live_input", lambda source: (video_frames.file_url(path), {}))
    assert [number_of(frame.image) for frame in video_frames.live_frames("camera:0", 10)] == whole
    monkeypatch.setattr(video_frames, "live_input", lambda source: ("file:/nowhere.mkv", {}))
    with refused("rtsp://host/x") as refusal:
        next(video_frames.live_frames("rtsp://me:secret@host/x", 10))
    assert "secret" not in refusal.message


def test_a_part_needs_a_rate(video):
    with refused("start and stop"):
        next(frames(video("a.mp4"), stop=1.0))
