"""Laws that hold for every entry of every table: heads, decoders, metrics, formats, encoders, data sets.

Laws of parts that plug-ins can add are in `parts.py`.
"""

from __future__ import annotations

import re
import socket
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fact_clip.config import DataConfig
from fact_clip.core import Clock, InputError, Segment, Segmentation, Vocabulary
from fact_clip.core.io import parse_value
from fact_clip.datasets.benchmarks import BENCHMARKS
from fact_clip.datasets.layout import DataFolder
from fact_clip.decoding import Voters, decode_switching
from fact_clip.decoding.fusion import fuse, fuse_gammas, with_factors
from fact_clip.encoders import FRAME_ENCODERS, TEXT_ENCODERS
from fact_clip.formats import FORMATS, READERS, save
from fact_clip.formats.base import Options
from fact_clip.formats.gaps import to_frames
from fact_clip.inference.similarity import similarity_probabilities
from fact_clip.metrics import evaluate
from fact_clip.metrics.report import PROFILES
from fact_clip.models.heads import HEADS

from . import parts
from .parts import TEXTS, check_encoder, check_format, check_head, check_text_encoder

C, T = 5, 40
ORDER = [3, 0, 4, 1, 2]  # of the classes


# --- heads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", HEADS)
def test_heads(head):
    assert HEADS[head].is_open == (head in ("text", "similarity"))
    check_head(head)


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
    "fuse": lambda order: fuse(voters_of(order), 0.3).numpy(),
    "fuse, offset": lambda order: fuse(voters_of(order), 0.3, torch.tensor([0.5, 0, -1, 0, 2.0])[order]).numpy(),
    "fuse_gammas": _with_gammas,
    "similarity": lambda order: similarity_probabilities(_FEATURES, _TEXTS[order], 5, 0.1),
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
def test_metrics(profile):
    """Figures are finite, whatever the order of videos and the numbers of classes."""
    labels = labellings(1)

    def figures(truth: list[NDArray[np.int64]]) -> list[float]:
        found = evaluate(truth, [np.roll(row, 5) for row in truth], profile=profile)
        return list(found.values())

    expected = figures(labels)
    assert np.isfinite(expected).all()
    number = np.argsort(ORDER)
    for other in (labels[::-1], [number[row] for row in labels]):
        np.testing.assert_allclose(figures(other), expected, 1e-5, 1e-5)


def test_an_unknown_name_is_an_input_error():
    for check in (check_head, check_format):
        with pytest.raises(InputError, match="nope"):
            check("nope")


@pytest.mark.parametrize("profile", PROFILES)
def test_background_and_unseen_classes_are_renumbered_with_the_others(profile):
    rng = np.random.default_rng(2)
    truth = [np.repeat(rng.integers(0, C, 12), rng.integers(1, 9, 12)) for _ in range(4)]
    guess = [np.where(rng.random(len(row)) < 0.3, rng.integers(0, C, len(row)), row) for row in truth]
    figures = evaluate(truth, guess, background=(0,), unseen=(2, 3), profile=profile)
    new = np.argsort(ORDER)
    turned = [[new[row] for row in rows] for rows in (truth, guess)]
    background, *unseen = (int(new[label]) for label in (0, 2, 3))
    renamed = evaluate(*turned, background=(background,), unseen=unseen, profile=profile)
    assert renamed == pytest.approx(figures)


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


SLOW = {"nwb": pytest.mark.slow}  # HDF5 by pynwb, a tenth of a second a file


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in FORMATS])
def test_formats(name):
    check_format(name)


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in FORMATS])
def test_annotations_keep_the_names_of_actions(name, tmp_path):
    form = FORMATS[name]
    if form.annotations is None or form.read is not None:
        return
    for number, label in enumerate(parts.NAMES):
        path = tmp_path / f"v{number}{form.ending}"
        video = Segmentation((Segment(0, 10, "stir", 0.5), Segment(10, 25, label, 0.25)), 10.0)
        (annotation,) = form.annotations(save(video, path), Options(fps=10.0))
        labels = to_frames(annotation, Clock(25, 10.0)).labels
        assert labels == video.to_frames()


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
        return repr(READERS[kind](path, Options(fps=10.0)))
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

NEEDS_WEIGHTS = {"clip", "open_clip", "transformers", "timm"}  # see tests/encoders/test_pretrained.py


@pytest.mark.parametrize("kind", sorted(TEXT_ENCODERS.keys() - NEEDS_WEIGHTS))
def test_text_encoders(kind, tmp_path):
    np.savez(tmp_path / "v.npz", **{text: np.random.default_rng(11).normal(size=12) for text in TEXTS})
    check_text_encoder({"hash": "hash:32", "file": f"file:{tmp_path / 'v.npz'}"}.get(kind, kind))


@pytest.mark.parametrize("kind", sorted(FRAME_ENCODERS.keys() - NEEDS_WEIGHTS))
def test_frame_encoders(kind):
    check_encoder(kind)


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
        root = tmp_path / str(order[0])
        mapping = root / BENCHMARKS[name].mapping
        mapping.parent.mkdir(parents=True)
        mapping.write_text("".join(f"{place} {names[own]}\n" for place, own in enumerate(order)))
        folder = DataFolder(config.model_copy(update={"root": str(root)}))
        with warnings.catch_warnings(action="ignore"):  # fewer classes than were published
            found.append(folder.vocabulary(config))
    one, two = found
    assert dict(zip(one.names, one.factors, strict=True)) == dict(zip(two.names, two.factors, strict=True))
    assert set(one.background) == set(two.background)
    assert one.slots == two.slots
    assert parse_value(Vocabulary, one.to_dict(), Path("vocabulary.json")) == one
    assert re.fullmatch(r"[\w ,]+", " ".join(one.slots))
