"""Properties that FACT-CLIP relies on, tested for parts that are installed as entry points."""

import numpy as np
import torch

from fact_clip import Segmentation
from fact_clip.encoders import frame_encoder
from fact_clip.models.heads import HEADS, Classes


def test_a_picture_has_the_same_features_alone_and_in_a_batch():
    for name in ("tiles", "tiles:8"):
        encoder = frame_encoder(name)
        images = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), dtype=np.uint8)
        prepared = np.stack([encoder.prepare(image) for image in images])
        features = encoder.encode_images(prepared)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()
        for row in range(len(images)):
            alone = encoder.encode_images(prepared[row : row + 1])
            np.testing.assert_allclose(alone[0], features[row], rtol=1e-5)


def test_a_video_has_the_same_scores_alone_and_in_a_padded_batch():
    torch.manual_seed(0)
    head = HEADS["linear"](16, Classes(5), True)
    videos = [torch.randn(length, 16) for length in (1, 17, 40)]
    rows = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=3.7)
    _, scores = head(rows, None)
    assert scores.shape == (3, 40, 6)  # the last score is of the null class
    for video, found in zip(videos, scores, strict=True):
        _, alone = head(video[None], None)
        torch.testing.assert_close(alone[0], found[: len(video)])


def test_names_are_read_back_as_they_were(tmp_path):
    video = Segmentation.from_frames(["stir"] * 3 + ["=1 + <b>", "0 idle"], fps=10)
    path = video.save(tmp_path / "a.spans")
    assert Segmentation.load(path).to_frames() == video.to_frames()
