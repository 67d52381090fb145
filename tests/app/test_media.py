"""Videos that browsers do not play get a proxy with the same frames at the same times."""

from __future__ import annotations

import base64
import io
import struct
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fact_clip.core import InputError
from fact_clip.video.frames import frame_times, frames, middle_frame
from fact_clip_app.workspace import media
from fact_clip_app.workspace.jobs import CancelledError, Job
from fact_clip_app.workspace.media import MEDIA_TYPES, encoder_name, is_playable, write_proxy

from ..films import av, number_of, numbered
from ..refusals import refused
from .browsing import served_here

COUNT, RATE = 40, 25
TONE_RATE = 48_000
UNEVEN = np.cumsum([0.0, *np.random.default_rng(3).choice([0.02, 0.04, 0.13, 0.5], COUNT - 1)])

PLAYED = {
    "h264.mp4": {"codec": "libx264"},
    "h264.mov": {"codec": "libx264"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "vp8.webm": {"codec": "libvpx"},
    "av1.mp4": {"codec": "libsvtav1"},
    "uneven.mp4": {"codec": "libx264", "times": UNEVEN, "b_frames": 0},
}
NOT_PLAYED = {
    "xvid.avi": {"codec": "mpeg4"},
    "reordered.avi": {"codec": "mpeg4", "b_frames": 2},
    "h264.avi": {"codec": "libx264"},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "mpeg4.mp4": {"codec": "mpeg4"},
    "hevc.mp4": {"codec": "libx265"},
    "wide.mp4": {"codec": "libx264", "pixels": "yuv444p"},
    "deep.mp4": {"codec": "libx264", "pixels": "yuv420p10le"},
    "mpeg2.ts": {"codec": "mpeg2video", "b_frames": 2},
    "h264.ts": {"codec": "libx264"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "h264.mkv": {"codec": "libx264"},
    "vp9.mkv": {"codec": "libvpx-vp9"},
    "wmv.wmv": {"codec": "wmv2"},
    "uneven.mkv": {"codec": "libx264", "times": UNEVEN},
    "uneven.mp4": {"codec": "libx265", "times": UNEVEN},
    "uneven_reordered.mp4": {"codec": "libx264", "times": UNEVEN},
    "uneven.webm": {"codec": "libvpx-vp9", "times": UNEVEN, "sound": "libopus"},
    "late.mp4": {"codec": "libx264", "times": UNEVEN + 0.7},
    "odd.avi": {"codec": "mjpeg", "pixels": "yuvj444p", "size": (72, 51)},
    "sound.avi": {"codec": "mpeg4", "sound": "libmp3lame"},
    "late_pictures.mkv": {"codec": "libx264", "times": UNEVEN + 0.3, "sound": "aac"},
}


def film(
    path: Path,
    codec: str,
    pixels: str = "yuv420p",
    *,
    b_frames: int | None = None,
    times: np.ndarray | None = None,
    size: tuple[int, int] = (64, 48),
    sound: str = "",
    count: int = COUNT,
) -> Path:
    """A video whose pictures show their number, at a constant rate or at some seconds."""
    if codec not in av.codecs_available:
        pytest.skip(f"no encoder {codec}")
    unit = Fraction(1, RATE) if times is None else Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        if times is not None:
            stream.codec_context.time_base = unit
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        if sound:
            add_tone(container, container.add_stream(sound, rate=TONE_RATE), 1.6)
        for number, image in enumerate(numbered(count, *size)):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            picture.time_base = unit
            picture.pts = number if times is None else round(1000 * times[number])
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def add_tone(container, stream, seconds: float) -> None:
    """Write a tone of 440 Hz."""
    samples = np.sin(2 * np.pi * 440 * np.arange(round(TONE_RATE * seconds)) / TONE_RATE).astype(np.float32)
    for first in range(0, len(samples), 960):
        part = samples[None, first : first + 960]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = TONE_RATE, first, Fraction(1, TONE_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def job() -> Job:
    return Job("a", lambda job: None)


def stamps(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The seconds of the pictures of a file as browsers read them, in order, and those of its key frames."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        seconds = [float(packet.pts * packet.time_base) for packet in packets]
        keys = [second for packet, second in zip(packets, seconds, strict=True) if packet.is_keyframe]
    return np.sort(seconds), np.array(keys)


@pytest.mark.parametrize("name", PLAYED)
def test_what_browsers_play_is_left_as_it_is(name, tmp_path):
    path = film(tmp_path / name, **PLAYED[name])
    assert is_playable(path, frame_times(path))


@pytest.mark.parametrize("name", NOT_PLAYED)
def test_proxies_show_the_same_frames_at_the_same_times(name, tmp_path):
    path = film(tmp_path / name, **NOT_PLAYED[name])
    times = frame_times(path)
    assert len(times) == COUNT + 1
    assert not is_playable(path, times)
    out = tmp_path / "proxy.mp4"
    work = job()
    write_proxy(path, out, times, work)
    seconds, keys = stamps(out)
    assert len(seconds) == COUNT
    assert np.abs(seconds - times[:-1]).max() < 1e-3
    assert [number_of(frame.image) for frame in frames(out)] == list(range(COUNT))
    assert (work.done, work.total) == (COUNT, COUNT)
    # a key frame is due after half a second, and comes with the next frame
    gaps = np.diff([*keys, times[-2]])
    assert gaps.max() <= 0.5 + np.diff(times).max()


def test_sound_is_carried_over_in_time(tmp_path):
    path = film(tmp_path / "a.mkv", "libx264", times=UNEVEN + 0.3, sound="aac")
    write_proxy(path, tmp_path / "b.mp4", frame_times(path), job())
    with av.open(str(tmp_path / "b.mp4")) as container:
        (stream,) = container.streams.audio
        parts = list(container.decode(stream))
    assert stream.codec_context.name == "aac"
    assert abs(parts[0].time) < 0.03
    assert abs(sum(part.samples for part in parts) / stream.rate - 1.6) < 0.1
    tone = np.concatenate([part.to_ndarray()[0] for part in parts])
    peak = np.abs(np.fft.rfft(tone)).argmax() * stream.rate / len(tone)
    assert abs(peak - 440) < 2


def test_large_and_odd_pictures_get_even_sides_and_a_limit(tmp_path):
    path = film(tmp_path / "a.avi", "mjpeg", "yuvj420p", size=(1936, 1090), count=2)
    write_proxy(path, tmp_path / "b.mp4", frame_times(path), job())
    with av.open(str(tmp_path / "b.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.pix_fmt) == (1280, 720, "yuv420p")


def test_rotated_pictures_are_upright(tmp_path):
    raw = bytearray(film(tmp_path / "a.mp4", "mpeg4").read_bytes())
    place = raw.index(b"tkhd") + 4 + 40  # of the display matrix: a quarter
    raw[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(raw)
    write_proxy(tmp_path / "a.mp4", tmp_path / "b.mp4", frame_times(tmp_path / "a.mp4"), job())
    images = [frame.image for frame in frames(tmp_path / "b.mp4")]
    assert images[0].shape == (64, 48, 3)
    assert [number_of(np.rot90(image, 1)) for image in images] == list(range(COUNT))


def test_without_h264_the_proxy_is_vp9(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    assert encoder_name() == "libvpx-vp9"
    path = film(tmp_path / "a.avi", "mpeg4", sound="libmp3lame")
    times = frame_times(path)
    write_proxy(path, tmp_path / "b.mp4", times, job())
    monkeypatch.undo()
    assert is_playable(tmp_path / "b.mp4", times)
    assert np.abs(stamps(tmp_path / "b.mp4")[0] - times[:-1]).max() < 1e-3
    assert [number_of(frame.image) for frame in frames(tmp_path / "b.mp4")] == list(range(COUNT))


def test_a_damaged_video_is_shown_as_far_as_it_decodes(tmp_path):
    path = film(tmp_path / "a.ts", "mpeg2video")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4000] = bytes(4000)
    path.write_bytes(data)
    times = frame_times(path)
    write_proxy(path, tmp_path / "b.mp4", times, job())
    seconds = stamps(tmp_path / "b.mp4")[0]
    assert COUNT // 2 <= len(seconds) < COUNT
    assert np.abs(seconds[:, None] - times[:-1]).min(axis=1).max() < 1e-3


def test_a_conversion_that_is_stopped_leaves_no_file(tmp_path):
    path = film(tmp_path / "a.avi", "mpeg4")
    work = job()
    work.stop.set()
    with pytest.raises(CancelledError):
        write_proxy(path, tmp_path / "out" / "b.mp4", frame_times(path), work)
    assert not (tmp_path / "out").exists()


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"\0" * 5000)
    with refused("a.mp4"):
        is_playable(tmp_path / "a.mp4", np.arange(3.0))
    with pytest.raises(InputError):
        is_playable(tmp_path / "none.mp4", np.arange(3.0))


# --- the page ------------------------------------------------------------------------------------------------


def converted(user, video: str) -> dict:
    """The video in the state, once no conversion is under way."""
    while True:
        (entry,) = [entry for entry in user.ask("GET", "/api/state")["videos"] if entry["id"] == video]
        if entry["media"] != "converting":
            return entry
        assert entry["conversion"]["state"] in ("waiting", "running", "done")
        time.sleep(0.05)


def test_the_page_serves_what_browsers_play(opened, tmp_path):
    user = opened(run=None)()
    played = user.add(film(tmp_path / "a.mp4", "libx264"))
    entry = converted(user, played)
    assert (entry["media"], entry["conversion"]) == ("original", None)
    assert user.client.get(f"/api/videos/{played}/media").content == (tmp_path / "a.mp4").read_bytes()

    path = film(tmp_path / "b.avi", "mpeg4")
    video = user.add(path)
    assert converted(user, video)["media"] == "proxy"
    shown = user.ask("GET", f"/api/videos/{video}")
    assert (shown["media"], shown["conversion"]) == ("proxy", None)
    answer = user.client.get(f"/api/videos/{video}/media")
    assert answer.headers["content-type"] == "video/mp4"
    (tmp_path / "c.mp4").write_bytes(answer.content)
    assert np.abs(stamps(tmp_path / "c.mp4")[0] - np.array(shown["times"][:-1])).max() < 1e-3
    stored = user.page.project.video(video)
    assert stored.media.read_bytes() == path.read_bytes()  # for features


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("b.avi", "mpeg4"), ("c.ts", "mpeg2video")])
def test_a_thumbnail_is_a_picture_of_the_film(opened, tmp_path, name, codec):
    user = opened(run=None)()
    video = user.add(film(tmp_path / name, codec))
    answer = user.client.get(f"/api/videos/{video}/thumbnail")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "private" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (160, 120)
        shown = number_of(np.asarray(picture.convert("RGB").resize((64, 48), Image.Resampling.BOX)))
    assert shown in range(COUNT)
    (stored,) = (user.page.project.folder / "proxies").glob("*.jpg")
    stored.write_bytes(b"kept")  # the next answer is that file
    assert user.client.get(f"/api/videos/{video}/thumbnail").content == b"kept"


def test_a_thumbnail_is_from_the_middle(tmp_path):
    path = film(tmp_path / "a.avi", "mjpeg", "yuvj420p")  # each picture can be decoded alone
    assert abs(number_of(middle_frame(path)) - COUNT // 2) <= 1


def test_what_has_no_picture_has_no_thumbnail(opened, rows, tmp_path):
    user = opened(run=None)()
    video = user.add(rows)
    assert user.ask("GET", f"/api/videos/{video}/thumbnail", 400)["error"].endswith("no film")
    gone = film(tmp_path / "a.mp4", "libx264")
    video = user.page.refer("a", gone, None).id
    gone.unlink()
    assert "a.mp4" in user.ask("GET", f"/api/videos/{video}/thumbnail", 400)["error"]
    user.ask("GET", "/api/videos/none/thumbnail", 404)
    user.client.cookies.clear()
    assert user.client.get(f"/api/videos/{video}/thumbnail").status_code == 401


def test_conversions_are_reported_and_stopped_ones_start_again(opened, tmp_path, monkeypatch):
    user = opened(run=None)()
    waits = [True]

    def wait(path, out, times, job):
        while waits[0]:
            job.report(10, 40)
            time.sleep(0.01)
        write_proxy(path, out, times, job)

    monkeypatch.setattr(media, "write_proxy", wait)
    video = user.add(film(tmp_path / "b.avi", "mpeg4"))
    while True:
        (entry,) = user.ask("GET", "/api/state")["videos"]
        assert entry["media"] == "converting"
        if entry["conversion"]["state"] == "running" and entry["conversion"]["total"]:
            break
    assert (entry["conversion"]["done"], entry["conversion"]["total"]) == (10, 40)
    assert "is being converted" in user.ask("GET", f"/api/videos/{video}/media", 404)["error"]
    second = user.add(film(tmp_path / "c.avi", "mpeg4"))
    assert user.ask("GET", f"/api/videos/{second}")["conversion"]["place"] == 2

    user.ask("DELETE", f"/api/videos/{video}")
    waits[0] = False
    assert converted(user, second)["media"] == "proxy"
    user.ask("POST", f"/api/videos/{video}/restore")
    assert converted(user, video)["media"] == "proxy"


def test_a_page_that_was_closed_while_converting_starts_again(opened, tmp_path):
    project = tmp_path / "old"
    user = opened(run=None, project=project)()
    video = user.add(film(tmp_path / "b.avi", "mpeg4"))
    converted(user, video)
    user.page.close()
    (proxy,) = (project / "proxies").iterdir()
    proxy.unlink()  # as in a project that was made before there were proxies
    user = opened(run=None, project=project)()
    assert converted(user, video)["media"] == "proxy"
    assert proxy.is_file()


def test_a_file_that_is_gone_is_a_failure_in_a_line(opened, tmp_path):
    user = opened(run=None)()
    paths = film(tmp_path / "a.mp4", "libx264"), film(tmp_path / "b.avi", "mpeg4")
    videos = [user.page.refer(path.stem, path, None).id for path in paths]
    for path in paths:
        path.unlink()
    entry = converted(user, videos[1])
    assert (entry["media"], entry["conversion"]["state"]) == ("failed", "failed")
    assert entry["conversion"]["error"].startswith("b.avi: ")
    for video in videos:
        assert "not where it was" in user.ask("GET", f"/api/videos/{video}/media", 404)["error"]


def test_a_page_does_not_look_at_files_again(opened, tmp_path, monkeypatch):
    project = tmp_path / "old"
    user = opened(run=None, project=project)()
    video = user.add(film(tmp_path / "a.mp4", "libx264"))
    user.page.close()
    left = project / "proxies" / ".123-abc-x.mp4"
    left.parent.mkdir()
    left.write_bytes(b"half a video")

    def fail(path):
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(media, "probe", fail)
    user = opened(run=None, project=project)()
    assert converted(user, video)["media"] == "original"
    assert not left.exists()


# --- in a browser --------------------------------------------------------------------------------------------

SEEK = """async ([source, times]) => {
	const video = document.createElement("video");
	video.muted = true;
	video.src = source;
	await new Promise((done, fail) => {
		video.onloadeddata = done;
		video.onerror = () => fail(new Error(video.error.message));
	});
	const canvas = document.createElement("canvas");
	canvas.width = video.videoWidth;
	canvas.height = video.videoHeight;
	const context = canvas.getContext("2d", {willReadFrequently: true});
	const numbers = [];
	for (const time of times) {
		const seeked = new Promise(done => { video.onseeked = done; });
		// A busy machine shows the picture some time after the event; the first one is there already.
		const shown = new Promise(done => { video.requestVideoFrameCallback(done); setTimeout(done, 500); });
		video.currentTime = time;
		await seeked;
		await shown;
		await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
		context.drawImage(video, 0, 0);
		const width = canvas.width / 8, height = Math.floor(canvas.height / 4);
		let number = 0;
		for (let bit = 0; bit < 8; bit++) {
			const {data} = context.getImageData(Math.floor((bit + 0.5) * width), height, 1, 1);
			if (data[0] > 127) number += 1 << bit;
		}
		numbers.push(number);
	}
	return numbers;
}"""


def numbers_in_browser(page, path: Path, times: list[float]) -> list[int]:
    """The numbers of the pictures that Chromium shows at some seconds."""
    data = base64.b64encode(path.read_bytes()).decode()
    return page.evaluate(SEEK, [f"data:{MEDIA_TYPES[path.suffix]};base64,{data}", times])


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYED)
def test_a_browser_shows_each_frame_of_an_original_at_its_time(name, tmp_path, browser):
    path = film(tmp_path / name, **PLAYED[name])
    starts = frame_times(path)[:-1].round(6) + 0.002  # as the page seeks
    with browser.page() as page:
        page.goto("about:blank")
        assert numbers_in_browser(page, path, starts.tolist()) == list(range(COUNT))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("wide.mp4", "libx264"),
        ("uneven.mkv", "libx264"),
        ("sound.avi", "libx264"),
        ("late_pictures.mkv", "libx264"),
        ("late_pictures.mkv", "libvpx-vp9"),
    ],
)
def test_a_browser_shows_each_frame_of_a_proxy_at_its_time(name, encoder, tmp_path, browser, monkeypatch):
    """Proxies are alike for a browser, but for size, sound and times; that each kind gives one is tested above."""
    path = film(tmp_path / name, **NOT_PLAYED[name])
    monkeypatch.setattr(media, "encoder_name", lambda: encoder)
    times = frame_times(path)
    write_proxy(path, tmp_path / "proxy.mp4", times, job())
    with browser.page() as page:
        page.goto("about:blank")
        seen = numbers_in_browser(page, tmp_path / "proxy.mp4", times[:-1].round(6).tolist())
    assert seen == list(range(COUNT))


UPLOAD = """async ([name, data]) => {
	const body = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
	const {file} = await (await fetch(`/api/files?name=${name}`, {method: "POST", body})).json();
	const request = {
		method: "POST", body: JSON.stringify({files: [file]}), headers: {"Content-Type": "application/json"},
	};
	return (await (await fetch("/api/videos", request)).json()).video;
}"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xvid.avi", "uneven.mkv"])
def test_a_page_shows_each_frame_of_a_video_that_browsers_do_not_play(name, tmp_path, browser):
    path = film(tmp_path / name, **NOT_PLAYED[name])
    data = base64.b64encode(path.read_bytes()).decode()
    with served_here(tmp_path / "project") as address, browser.page() as page:
        page.goto(address)
        video = f"/api/videos/{page.evaluate(UPLOAD, [name, data])}"
        while True:
            answer = page.evaluate("async address => (await fetch(address)).json()", video)
            if answer["media"] == "proxy":
                break
            assert answer["media"] == "converting"
        starts = answer["times"][:-1]
        assert page.evaluate(SEEK, [f"{video}/media", starts]) == list(range(COUNT))
