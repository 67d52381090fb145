"""Laws that hold for every entry of every table: heads, decoders, metrics, formats, encoders, data sets.

Where a law does not hold for an entry, the reason stands beside it (`LAWLESS`).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fact_clip.config import DataConfig, ModelConfig
from fact_clip.core import InputError, Segment, Segmentation, Vocabulary
from fact_clip.core.clock import Clock
from fact_clip.core.io import parse_value
from fact_clip.datasets.benchmarks import BENCHMARKS
from fact_clip.datasets.layout import make_vocabulary
from fact_clip.decoding import Voters, decode_switching, similarity_probabilities, transport, with_factors
from fact_clip.decoding.fusion import fuse, fuse_gammas
from fact_clip.decoding.similarity import mix
from fact_clip.encoders import FRAME_ENCODERS, TEXT_ENCODERS, Runtime, frame_encoder, text_encoder
from fact_clip.formats import FORMATS, READERS, load, save
from fact_clip.formats.annotations import Options, to_frames
from fact_clip.metrics import evaluate
from fact_clip.metrics.report import PROFILES
from fact_clip.models import FACT, Classes
from fact_clip.models.heads import HEADS

from ..small import SIZES

C, T, WIDTH = 5, 40, 6
ORDER = [3, 0, 4, 1, 2]  # of the classes
RNG = np.random.default_rng(11)


# --- heads ------------------------------------------------------------------------------------------------

_VERB, _NOUN = (0, 0, 1, 1, 2), (0, 1, 0, 2, 1)
CLASSES: dict[str, Classes] = {
    "closed": Classes(C),
    "fact-clip": Classes(C),
    "verb-noun": Classes(C, _VERB, _NOUN, 3, 3),
    "text": Classes(C, n_slots=2, text_width=4),
    "similarity": Classes(C, n_slots=2, text_width=4, evidence_width=8),
}
LAWLESS = {
    "closed": "one output a class: their order is part of the weights",
    "fact-clip": "one output a class: their order is part of the weights",
}


def model_of(head: str, order: list[int] | None = None) -> FACT:
    """A small model of a head, its vocabulary in another order; the weights are the same."""
    order = list(range(C)) if order is None else order
    classes = CLASSES[head]
    if classes.verb:
        verb, noun = (tuple(own[place] for place in order) for own in (_VERB, _NOUN))
        classes = Classes(C, verb, noun, 3, 3)
    values: dict[str, Any] = {"blocks": "iuU", "tokens": 6, "head": head, "input": SIZES}
    if head == "similarity":
        values["similarity"] = {"channels": 8, "layers": 2}
    more: dict[str, torch.Tensor] = {}
    if head in ("text", "similarity", "fact-clip"):
        generator = torch.Generator().manual_seed(2)
        shape = (C, 4) if head == "fact-clip" else (C, 2, 4)
        text = torch.nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)
        text[0] = text[0] if head == "fact-clip" else 0  # the background has no word
        more["text"] = text[order]
    if head == "similarity":
        more["space"] = torch.randn(2, 4, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(4)
    return FACT(ModelConfig(**values), WIDTH, classes, **more).eval()


def test_every_head_has_classes():
    assert CLASSES.keys() == HEADS.keys()


@pytest.mark.parametrize("head", HEADS)
def test_batched_equals_alone(head):
    model, generator = model_of(head), torch.Generator().manual_seed(5)
    videos = [torch.randn(length, WIDTH, generator=generator) for length in (1, 17, T)]
    rows = torch.nn.utils.rnn.pad_sequence(videos, batch_first=True, padding_value=3.7)
    mask = torch.arange(T) < torch.tensor([[len(video)] for video in videos])
    with torch.inference_mode():
        together = model(rows, mask).blocks[-1].frame_logits
        for place, video in enumerate(videos):
            alone = model(video[None]).blocks[-1].frame_logits[0]
            torch.testing.assert_close(together[place, : len(video)], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", [head for head in HEADS if head not in LAWLESS])
def test_the_order_of_the_vocabulary_is_that_of_the_scores(head):
    rows = torch.randn(1, T, WIDTH, generator=torch.Generator().manual_seed(6))
    with torch.inference_mode():
        plain, turned = (model_of(head, order)(rows).blocks for order in (None, ORDER))
    with_null = [*ORDER, C]  # which tokens have beside the classes
    for one, other in zip(plain, turned, strict=True):
        torch.testing.assert_close(other.frame_logits, one.frame_logits[..., ORDER], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(other.token_logits, one.token_logits[..., with_null], rtol=1e-4, atol=1e-5)


# --- decoders ---------------------------------------------------------------------------------------------

WORDS = Vocabulary.from_names(
    [f"{verb} {noun}" for verb, noun in zip("abbca", "xyxyz", strict=True)],
    factors={f"{verb} {noun}": (verb, noun) for verb, noun in zip("abbca", "xyxyz", strict=True)},
    slots=("verb", "noun"),
)


def some_scores(seed: int = 7, n_frames: int = T) -> NDArray[np.float32]:
    values = np.exp(np.random.default_rng(seed).normal(size=(n_frames, C)) * 2)
    return (values / values.sum(1, keepdims=True)).astype(np.float32)


def voters_of(order: list[int], seed: int = 7) -> Voters:
    frames = torch.from_numpy(some_scores(seed))[None]
    tokens = torch.from_numpy(np.log(some_scores(seed + 1)))[None]
    kept = torch.arange(T)[None] % 3 > 0
    return Voters(frames[..., order], tokens[..., order], kept)


def _with_gammas(order: list[int]) -> NDArray[np.floating]:
    seen, gammas = torch.tensor([True, False, True, True, False])[order], torch.tensor([0.0, 0.5])
    return fuse_gammas(voters_of(order), 0.3, torch.zeros(C), seen, gammas).numpy()


_TEXTS = np.linalg.qr(np.random.default_rng(8).normal(size=(C, C)))[0].astype(np.float32)
_FEATURES = np.random.default_rng(9).normal(size=(T, C)).astype(np.float32)

# order of the classes -> labels (T,) or scores (..., C)
DECODERS: dict[str, Callable[[list[int]], NDArray[Any]]] = {
    "switching": lambda order: decode_switching(np.log(some_scores()[:, order]), 2.0),
    "switching, no price": lambda order: decode_switching(np.log(some_scores()[:, order]), 0.0),
    "transport": lambda order: transport(some_scores()[:, order]).argmax(1),
    "transport, plan": lambda order: transport(some_scores()[:, order]),
    "fuse": lambda order: fuse(voters_of(order), 0.3).numpy(),
    "fuse, offset": lambda order: fuse(voters_of(order), 0.3, torch.tensor([0.5, 0, -1, 0, 2.0])[order]).numpy(),
    "fuse_gammas": _with_gammas,
    "similarity": lambda order: similarity_probabilities(_FEATURES, _TEXTS[order], 5, 0.1),
    "mix": lambda order: mix(
        torch.from_numpy(some_scores()[:, order]), torch.from_numpy(some_scores(3)[:, order]), 0.4
    ).numpy(),
    "factors": lambda order: with_factors(
        voters_of(order), WORDS.subset([WORDS.names[place] for place in order]), 0.5, 2.0
    ).frames.numpy(),
}


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_order_of_the_candidates_is_that_of_the_result(decoder):
    found, turned = DECODERS[decoder](list(range(C))), DECODERS[decoder](ORDER)
    if found.ndim == 1:
        assert np.array(ORDER)[turned].tolist() == found.tolist()
    else:
        np.testing.assert_allclose(turned, found[..., ORDER], rtol=1e-4, atol=1e-6)


def test_a_class_that_never_wins_takes_part_in_a_softmax():
    """It changes the scores of the others, but not their order; the bound is its own share."""
    features = _FEATURES
    fewer = similarity_probabilities(features, _TEXTS[:4], 5, 0.1)
    more = similarity_probabilities(features, _TEXTS, 5, 0.1)
    np.testing.assert_allclose(more[:, :4], fewer * (1 - more[:, 4:]), rtol=1e-4, atol=1e-6)
    assert (np.abs(more[:, :4] - fewer) <= more[:, 4:] + 1e-6).all()


# --- metrics ----------------------------------------------------------------------------------------------


def labellings(seed: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return [np.repeat(rng.integers(0, C, 12), rng.integers(1, 9, 12)) for _ in range(4)]


@pytest.mark.parametrize("profile", PROFILES)
def test_figures_depend_on_no_order(profile):
    truth, other = labellings(1), labellings(1)
    rng = np.random.default_rng(2)
    guess = [np.where(rng.random(len(own)) < 0.3, rng.integers(0, C, len(own)), own) for own in other]
    options: dict[str, Any] = {"profile": profile}
    figures = evaluate(truth, guess, background=(0,), unseen=(2, 3), **options)
    place = np.argsort(ORDER)  # old number -> new number
    turned = [[place[own] for own in each] for each in (truth, guess)]
    renamed = evaluate(*turned, background=(int(place[0]),), unseen=tuple(int(place[k]) for k in (2, 3)), **options)
    assert renamed == pytest.approx(figures)
    later = evaluate(truth[::-1], guess[::-1], background=(0,), unseen=(2, 3), **options)
    assert later == pytest.approx(figures)


# --- formats ----------------------------------------------------------------------------------------------

FPS = 10.0
NAMES = (
    "=cmd|'/c calc'!A1", "+1+1", "-1", "@SUM(A1)", "'=1", "''+1", "'", "' quoted'", '"double"', "a;b", "a,b", "a|b",
    "<b>bold</b>", "&amp;", "&lt;", "&xxe;", "]]>", "<!-- no -->", "<?php ?>", "{{ 7 * 7 }}", "${HOME}", "%s %d %n",
    "{0}", "$(touch x)", "`id`", "../../x", "/etc/passwd", "C:\\x", "nul", "a\\nb", "\\u0000", "\\x00", "null",
    "true", "NaN", "1e5", "0x10", "12:34", "2024-01-01", "~", "- a", "# a", "a: b", "[a]", "{a}", "*a", "&a", "!a",
    "0 idle", "?", "-->", "00:00:01.000 --> 00:00:02.000", "NOTE x", "WEBVTT", "混ぜる 🥄", "e\u0301", "אבג", "ﬁ", "İ",
    "a" * 500,
)  # fmt: skip


def video_of(name: str) -> Segmentation:
    """Three segments, the middle one of this name."""
    segments = (Segment(0, 10, "stir", 0.5), Segment(10, 25, name, 0.25), Segment(25, 40, "pour", 0.125))
    return Segmentation(segments, FPS)


def back_again(path: Path, known: Any, fps: float = FPS) -> list[str]:
    """The labels of frames in a file, read as a segmentation or as annotations of its tool."""
    if known.read is not None:
        return load(path).to_frames()
    (annotation,) = known.annotations(path, Options(fps=fps))
    return to_frames(annotation, Clock(40, fps)).labels


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_never_interprets_a_name(name, tmp_path):
    known = FORMATS[name]
    for number, label in enumerate(NAMES):
        segmentation = video_of(label)
        path = save(segmentation, tmp_path / f"v{number}{known.ending}")
        if known.read is not None or known.annotations is not None:
            assert back_again(path, known) == segmentation.to_frames(), label


@pytest.mark.parametrize("name", [name for name, known in FORMATS.items() if known.read is not None])
def test_write_read_write_is_the_same_file(name, tmp_path):
    known = FORMATS[name]
    for number, label in enumerate(NAMES):
        first = save(video_of(label), tmp_path / f"a{number}{known.ending}")
        second = save(load(first), tmp_path / f"b{number}" / f"a{number}{known.ending}")
        assert second.read_bytes() == first.read_bytes(), label


@pytest.mark.parametrize("name", [name for name, known in FORMATS.items() if known.annotations is not None])
def test_write_read_write_keeps_what_a_tool_reads(name, tmp_path):
    """Files of tools hold the time of writing, and frame rates only some, so that frames are compared."""
    known = FORMATS[name]
    segmentation = video_of("混ぜる 🥄")
    first = save(segmentation, tmp_path / f"a{known.ending}")
    (annotation,) = known.annotations(first, Options(fps=FPS, unit="frames" if name == "csv" else None))
    labels = to_frames(annotation, Clock(40, FPS)).labels
    second = save(Segmentation.from_frames(labels, FPS), tmp_path / f"b{known.ending}")
    (again,) = known.annotations(second, Options(fps=FPS, unit="frames" if name == "csv" else None))
    assert to_frames(again, Clock(40, FPS)).labels == labels == segmentation.to_frames()


CANARY = "the canary sings"
FOREIGN = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "{address}">]><ANNOTATION_DOCUMENT>&x;</ANNOTATION_DOCUMENT>',
    '<?xml version="1.0"?><!DOCTYPE d SYSTEM "{address}"><ANNOTATION_DOCUMENT/>',
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY % x SYSTEM "{address}"> %x;]><ANNOTATION_DOCUMENT/>',
    '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{address}" parse="text"/></a>',
    '{{"$ref": "{address}", "observations": {{"a": {{"file": {{"1": ["{address}"]}}, "events": []}}}}}}',
    '[{{"data": {{"video": "{address}"}}, "predictions": []}}]',
    "start_seconds,stop_seconds,label\n0,1,=WEBSERVICE(\"{address}\")\n",
    "!include {address}",
)  # fmt: skip


def said_of(kind: str, path: Path) -> str:
    """What a reader finds in a file, or how it refuses it."""
    try:
        return repr(READERS[kind](path, Options(fps=FPS)))
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("kind", READERS)
def test_reading_follows_no_address(kind, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a reader asks the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    canary = tmp_path / "canary.txt"
    canary.write_text(CANARY)
    for number, text in enumerate(FOREIGN):
        for address in (str(canary), canary.as_uri(), "canary.txt", "http://localhost:1/x"):
            path = tmp_path / f"f{number}"
            path.write_text(text.format(address=address))
            assert CANARY not in said_of(kind, path)


# --- encoders ---------------------------------------------------------------------------------------------

TEXTS = ["stir the pot", "pour milk", "Crack an egg!", "混ぜる eggs", "x"]


@pytest.fixture(scope="module")
def names_of(tmp_path_factory) -> dict[str, str]:
    """A name for each text encoder that needs no download."""
    vectors = tmp_path_factory.mktemp("vectors") / "v.npz"
    np.savez(vectors, **{text: RNG.normal(size=12) for text in TEXTS})
    return {"hash": "hash:32", "file": f"file:{vectors}", "minilm": "minilm"}


NEEDS_WEIGHTS = {"open_clip", "transformers"}  # tested with small models in tests/encoders/test_pretrained.py


@pytest.mark.parametrize("kind", sorted(TEXT_ENCODERS.keys() - NEEDS_WEIGHTS))
def test_texts_are_embedded_alone_or_together_in_any_order(kind, names_of):
    encoder = text_encoder(names_of[kind], "cpu")
    together = encoder.encode_texts(TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(encoder.encode_texts([text])[0], row, atol=2e-6)
    np.testing.assert_allclose(encoder.encode_texts([TEXTS[place] for place in ORDER]), together[ORDER], atol=2e-6)


@pytest.mark.parametrize("kind", sorted(FRAME_ENCODERS.keys() - {"clip", "transformers", "timm", "torchvision"}))
def test_pictures_are_encoded_alone_or_together(kind):
    encoder = frame_encoder(kind, Runtime("cpu"))
    images = RNG.integers(0, 255, (6, 48, 64, 3), dtype=np.uint8)
    prepared = np.stack([encoder.prepare(image) for image in images])
    together, before = encoder.encode_images(prepared), encoder.context
    for row in range(len(together)):
        alone = encoder.encode_images(prepared[row : row + before + 1])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-6)


# --- data sets --------------------------------------------------------------------------------------------

SAMPLES: dict[str, list[str]] = {
    "breakfast": ["SIL", "crack_egg", "put_egg2plate", "stir_milk", "pour_milk"],
    "50salads": ["action_start", "action_end", "cut_tomato", "place_tomato_into_bowl", "mix_dressing"],
    "epic": ["background,background", "take,cup", "put,cup", "open,door", "take,knife"],
    "kscgr": ["no action", "cut ham", "cut egg with knife", "break egg", "mix egg"],
    "workbench": ["no action", "insert bolt", "screw nut with wrench", "grasp nut", "place gear"],
    "gtea": ["background", "take", "open", "pour", "close"],
    "egoprocel": ["background", "take", "open", "pour", "close"],
    "folder": ["idle", "take", "open", "pour", "close"],
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_order_of_a_mapping_changes_no_reading(name, tmp_path):
    names = SAMPLES.get(name, ["null", "sntft", "sntn5", "iglft", "isbn3"])
    config = DataConfig(name=name)
    if name == "egoprocel":  # whose background is a number
        config = DataConfig(name=name, background=("background",))
    found = []
    for order in (list(range(5)), ORDER):
        path = tmp_path / f"{order[0]}.txt"
        path.write_text("".join(f"{place} {names[own]}\n" for place, own in enumerate(order)))
        found.append(make_vocabulary(config, Vocabulary.from_mapping(path).names, path))
    one, two = found
    assert dict(zip(one.names, one.factors, strict=True)) == dict(zip(two.names, two.factors, strict=True))
    assert set(one.background) == set(two.background)
    assert one.slots == two.slots
    assert parse_value(Vocabulary, one.to_dict(), Path("vocabulary.json")) == one
    assert re.fullmatch(r"[\w ,]+", " ".join(one.slots))
