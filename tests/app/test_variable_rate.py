"""A film with a variable frame rate on the page: what is saved in a format and loaded again has the same frames."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("av")

from fact_clip.formats import FORMATS
from fact_clip.video.frames import frame_times

from ..films import numbered, write_video
from .test_editing import main, segments

LABELS = [
    (7, 23, "groom"),
    (23, 24, "eat"),
    (61, 90, "rear"),
    (90, 118, "groom"),
    (119, 140, "eat"),
    (140, 150, "rear"),
]
READ = [name for name, form in FORMATS.items() if form.read or form.annotations]


@pytest.fixture
def user(opened):
    return opened(run=None)()


@pytest.fixture
def film(tmp_path):
    """160 pictures at 50 and 12 a second, with jitter."""
    steps = np.where(np.arange(160) % 60 < 30, 20, 83) + np.random.default_rng(5).integers(0, 9, 160)
    times = np.concatenate([[0], np.cumsum(steps)[:-1]]).tolist()
    return write_video(tmp_path / "phone.mkv", numbered(160), times=times)


def test_each_format_is_loaded_with_the_frames_that_were_saved(user, film, tmp_path):
    video = user.add(film)
    times = frame_times(film)
    shown = user.label(video, *LABELS)
    assert np.array(user.ask("GET", f"/api/videos/{video}")["times"]) == pytest.approx(times, abs=1e-6)
    track = shown["tracks"][0]["id"]
    for name in READ:
        if not FORMATS[name].is_installed:
            continue
        answer = user.client.get(f"/api/videos/{video}/export", params={"format": name, "track": track})
        assert answer.status_code == 200, answer.text
        path = tmp_path / f"phone{FORMATS[name].ending}"
        path.write_bytes(answer.content)
        body = {"file": user.upload(path), "name": f"from {name}"}
        loaded = user.ask("POST", f"/api/videos/{video}/labels", json=body)
        assert segments(loaded["tracks"][-1]["segments"]) == LABELS, name
    assert main(user.ask("GET", f"/api/videos/{video}")) == LABELS
