from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fact_clip.encoders import TEXT_ENCODERS, text_encoder
from fact_clip.encoders.sentence import HashEncoder

from ..refusals import refused


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
    assert np.linalg.norm(HashEncoder(16).encode_texts(["..."])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("package", "spec", "place"),
    [
        ("transformers", "minilm", "text encoder 'minilm'"),
        ("open_clip", "open_clip:ViT-B-32/openai", "text encoder 'open_clip:ViT-B-32/openai'"),
    ],
)
def test_a_missing_package_says_how_to_get_it(monkeypatch, package, spec, place):
    monkeypatch.setitem(sys.modules, package, None)
    with refused(place):
        text_encoder(spec)


def test_every_encoder_has_an_example_of_its_prefix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vectors.npz").touch()  # a name has the digest of the content
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
