"""Vectors from a file: found by text or class name, as unit rows, and named by content."""

from __future__ import annotations

import zipfile

import numpy as np
from safetensors.numpy import save_file

from fact_clip.core import Vocabulary
from fact_clip.encoders import sentence, text_encoder
from fact_clip.encoders.local_files import content_name
from fact_clip.encoders.vectors import class_vectors

from ..refusals import refused

VECTORS = {"pour_milk": np.array([3.0, 4.0]), "SIL": np.array([0.0, 2.0])}


def test_class_names_are_found_as_the_mapping_writes_them(tmp_path):
    """Background and classes in order, also where the vocabulary has factors that the file does not know."""
    np.savez(tmp_path / "v.npz", **VECTORS)
    save_file({name: vector.astype(np.float16) for name, vector in VECTORS.items()}, tmp_path / "v.safetensors")
    factors = {"pour_milk": ("pour", "milk")}
    vocabulary = Vocabulary.from_names(["SIL", "pour_milk"], ["SIL"], factors, slots=("verb", "object"))
    for suffix in ("npz", "safetensors"):
        rows = class_vectors(text_encoder(f"file:{tmp_path}/v.{suffix}"), vocabulary, "name")
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
    stored = text_encoder(f"file:{tmp_path}/v.npz").setting
    assert text_encoder(stored).name == first
    np.savez(tmp_path / "v.npz", SIL=np.ones(2))
    assert name() != first
    with refused("v.npz"):
        text_encoder(stored).encode_texts(["SIL"])


def test_files_that_do_not_do(tmp_path, monkeypatch):
    path = tmp_path / "v.npz"

    def encode(text: str) -> None:
        with refused("v.npz"):
            text_encoder(f"file:{path}").encode_texts([text])

    encode("stir")
    np.savez(path, **VECTORS)
    encode("stir")
    np.savez(path, a=np.zeros(2), b=np.zeros(3))
    encode("a")
    np.savez(path, a=np.array(["x", None], dtype=object))
    encode("a")
    np.savez(path, **{"pour milk": np.ones(2), "pour_milk": np.zeros(2)})
    encode("pour milk")
    path.write_bytes(b"nothing")
    encode("a")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"no array")
    encode("a")
    np.savez_compressed(path, a=np.zeros(1 << 10))
    monkeypatch.setattr(sentence, "_MOST_BYTES", 1 << 10)
    encode("a")
    for spec in ("file:", "file:vectors.pt"):
        with refused(f"text encoder {spec!r}"):
            text_encoder(spec)


def test_nothing_has_no_digest_of_its_content(tmp_path):
    with refused("missing.npz"):
        content_name(tmp_path / "missing.npz")
    (tmp_path / "empty.npz").touch()
    assert content_name(tmp_path / "empty.npz") != content_name(tmp_path)
