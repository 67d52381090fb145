"""What is no list of texts and no stack of pictures is told before it is encoded."""

from __future__ import annotations

import numpy as np
import pytest

from fact_clip.core import InputError
from fact_clip.encoders import frame_encoder, text_encoder


@pytest.mark.parametrize("texts", ["cut ham", [3], None])
def test_texts_are_a_list(texts):
    with pytest.raises(InputError, match=r"^texts: "):
        text_encoder("hash:16").encode_texts(texts)


@pytest.mark.parametrize(
    "pictures",
    [np.zeros((3, 48, 64), np.uint8), [1, 2], np.zeros((3, 24, 64, 3), np.uint8), np.zeros((3, 48, 64, 3), np.float32)],
)
def test_pictures_are_prepared(pictures):
    with pytest.raises(InputError, match=r"^prepared: .*; expected pictures"):
        frame_encoder("grid").encode_images(pictures)


def test_a_runtime_is_no_dictionary():
    with pytest.raises(InputError, match=r"^runtime: "):
        frame_encoder("grid", {"device": "cpu"})
