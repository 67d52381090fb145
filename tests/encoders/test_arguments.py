"""What is no list of texts and no stack of pictures is told before it is encoded."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.encoders import frame_encoder, text_encoder

from ..refusals import refused


@pytest.mark.parametrize("texts", ["cut ham", [3], None])
def test_texts_are_a_list(texts):
    with refused("texts"):
        text_encoder("hash:16").encode_texts(texts)


@pytest.mark.parametrize(
    "pictures",
    [np.zeros((3, 48, 64), np.uint8), [1, 2], np.zeros((3, 24, 64, 3), np.uint8), np.zeros((3, 48, 64, 3), np.float32)],
)
def test_pictures_are_prepared(pictures):
    with refused("prepared"):
        frame_encoder("grid").encode_images(pictures)


def test_a_runtime_is_no_dictionary():
    with refused("runtime"):
        frame_encoder("grid", {"device": "cpu"})
