"""Vectors from a file: found by text or class name, as unit rows, and named by content."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from fact_clip.config import TextConfig
from fact_clip.core import InputError, Vocabulary
from fact_clip.encoders import text_encoder
from fact_clip.encoders.cache import class_vectors

VECTORS = {"pour_milk": np.array([3.0, 4.0]), "SIL": np.array([0.0, 2.0])}


def test_class_names_are_found_as_the_mapping_writes_them(tmp_path):
    """Background and classes in order, also where the vocabulary has factors that the file does not know."""
    np.savez(tmp_path / "v.npz", **VECTORS)
    save_file({name: vector.astype(np.float16) for name, vector in VECTORS.items()}, tmp_path / "v.safetensors")
    factors = {"pour_milk": ("pour", "milk")}
    vocabulary = Vocabulary.from_names(["SIL", "pour_milk"], ["SIL"], factors, slots=("verb", "object"))
    for suffix in ("npz", "safetensors"):
        rows = class_vectors(TextConfig(encoder=f"file:{tmp_path}/v.{suffix}"), vocabulary)
        np.testing.assert_allclose(rows, [[0, 1], [0.6, 0.8]], rtol=1e-6)
        assert rows.dtype == np.float32
    assert text_encoder(f"file:{tmp_path}/v.npz").encode_texts([]).shape == (0, 2)


def test_the_name_stands_for_the_content(tmp_path):
    def name() -> str:
        return text_encoder(f"file:{tmp_path}/v.npz").name

    np.savez(tmp_path / "v.npz", **VECTORS)
    first = name()
    assert first.startswith("file:v.npz@")
    assert name() == first
    np.savez(tmp_path / "v.npz", SIL=np.ones(2))
    assert name() != first


def test_files_that_do_not_do(tmp_path):
    path = tmp_path / "v.npz"

    def refused(text: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            text_encoder(f"file:{path}").encode_texts([text])

    refused("stir", "no such file")
    np.savez(path, **VECTORS)
    refused("stir", r"no vector for 1 of 1 texts \(first: 'stir'\); expected one for each; text.phrase=name")
    np.savez(path, a=np.zeros(2))
    refused("a", "a vector of length 0.0 for 'a'")
    np.savez(path, a=np.zeros(2), b=np.zeros(3))
    refused("a", "arrays of the shapes")
    np.savez(path, a=np.array(["x", None], dtype=object))
    refused("a", "not readable")
    path.write_bytes(b"nothing")
    refused("a", "not readable")
    for spec in ("file:", "file:vectors.pt"):
        with pytest.raises(InputError, match=r"expected file:PATH of an .npz or .safetensors file"):
            text_encoder(spec)
