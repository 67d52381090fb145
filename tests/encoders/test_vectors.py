from __future__ import annotations

import numpy as np

from fact_clip.config import TextConfig
from fact_clip.core import Vocabulary
from fact_clip.datasets.benchmarks import BENCHMARKS, NO_ACTION
from fact_clip.encoders import text_encoder
from fact_clip.encoders.sentence import HashEncoder
from fact_clip.encoders.vectors import class_texts, class_vectors, embed

from ..refusals import refused

KITCHEN = Vocabulary.from_names(
    ["no action", "cut ham", "move ham with knife", "hold knife"],
    (NO_ACTION,),
    BENCHMARKS["kscgr"].factors,
    BENCHMARKS["kscgr"].slots,
)


def unit(row: np.ndarray) -> np.ndarray:
    return row / np.linalg.norm(row)


def test_one_prompt_a_class_gives_the_encoder_s_own_vectors():
    encoder = HashEncoder(32)
    text = embed(encoder, KITCHEN)
    np.testing.assert_array_equal(text.classes, encoder.encode_texts(list(KITCHEN.names)))
    np.testing.assert_array_equal(text.slots["verb"], encoder.encode_texts(["cut", "move", "hold"]))
    np.testing.assert_array_equal(text.slots["tool"], encoder.encode_texts(["knife"]))
    # rows of a slot are what the vocabulary counts by
    _, verbs = KITCHEN.factor_indices("verb")
    np.testing.assert_array_equal(text.slots["verb"][verbs[3]], encoder.encode_texts(["hold"])[0])


def test_several_prompts_are_averaged_and_brought_back_to_length_1():
    encoder = HashEncoder(32)
    text = embed(encoder, KITCHEN, "ensemble")
    six = ("cut ham", "a person cuts ham", "a person is cutting ham", "a photo of a person cutting ham")
    six += ("a video of someone cutting ham", "how to cut ham")
    np.testing.assert_allclose(text.classes[1], unit(encoder.encode_texts(list(six)).mean(axis=0)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(text.classes, axis=1), 1, rtol=1e-6)
    both = ["hold", "holding", "a person holds", "a person is holding"]
    np.testing.assert_allclose(text.slots["verb"][2], unit(encoder.encode_texts(both).mean(axis=0)), atol=1e-6)


def test_a_slot_without_factors_has_no_rows():
    vocabulary = Vocabulary.from_names(["cut ham"], factors={"cut ham": ("cut", None)}, slots=("verb", "tool"))
    assert embed(HashEncoder(16), vocabulary).slots["tool"].shape == (0, 16)


def test_each_text_is_encoded_once(monkeypatch):
    encoder, calls = HashEncoder(16), []
    monkeypatch.setattr(HashEncoder, "encode_texts", lambda self, texts: calls.append(texts) or np.eye(9, dtype="f4"))
    embed(encoder, KITCHEN)
    (texts,) = calls
    assert len(texts) == len(set(texts)) == 9


def test_the_background_has_no_vector():
    """Not even where its name could be read: as a whole phrase, or as an action that a run calls background."""
    config = TextConfig(encoder="hash:16", parts=("factors",))
    phrases = Vocabulary.from_names(["rest", "cut ham"], ["rest"])
    texts = class_texts(config, phrases, HashEncoder(16))
    assert (texts[0] == 0).all()
    np.testing.assert_array_equal(texts[1, 0], HashEncoder(16).encode_texts(["cut ham"])[0])
    read = Vocabulary.from_names(
        ["hold knife", "cut ham"], ["hold knife"], BENCHMARKS["kscgr"].factors, BENCHMARKS["kscgr"].slots
    )
    assert (class_texts(config, read, HashEncoder(16))[0] == 0).all()


def test_texts_are_embedded_on_the_chosen_device(open_clip_folder, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    name = f"open_clip:local-dir:{open_clip_folder}"
    assert len(class_vectors(text_encoder(name, "cpu"), KITCHEN, "name")) == 4
    with refused("device"):
        class_vectors(text_encoder(name, "cuda:0"), KITCHEN, "name")


def test_sentences_need_no_vectors_of_the_words(tmp_path):
    """A file with a vector for each class name serves where no part of a name is read."""
    np.savez(tmp_path / "names.npz", **{name: np.eye(len(KITCHEN))[at] for at, name in enumerate(KITCHEN)})
    config = TextConfig(encoder=f"file:{tmp_path / 'names.npz'}", parts=("sentence",))
    encoder = text_encoder(config.encoder)
    texts = class_texts(config, KITCHEN, encoder)
    action = [name not in KITCHEN.background for name in KITCHEN]
    assert np.array_equal(texts[:, 0], np.eye(len(KITCHEN)) * np.array(action)[:, None])
    with refused("names.npz"):
        class_texts(config.model_copy(update={"parts": ("sentence", "factors")}), KITCHEN, encoder)
