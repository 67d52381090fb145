"""Which names a segmenter may be given, and what becomes of them."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import fact_clip
from fact_clip.config import Config, merged
from fact_clip.decoding import Calibration, CandidateSet
from fact_clip.encoders import text_encoder
from fact_clip.encoders.sentence import HashEncoder
from fact_clip.evaluation.scored_videos import ClassMap
from fact_clip.inference import new_words
from fact_clip.inference.segmenter import Segmenter
from fact_clip.training import evaluate, train

from .refusals import refused
from .small import ZERO_SHOT, segmenter_of

KNOWN = ("place gear", "screw nut with wrench", "grasp nut")


@pytest.fixture(scope="module")
def named(tiny, tmp_path_factory) -> Path:
    """A run that reads the factors of names, trained with classes held out."""
    folder = tmp_path_factory.mktemp("named") / "run"
    train(tiny(**{**ZERO_SHOT, "train": {"epochs": 2}, "decode": {"prior_weight": 0.5}}), folder)
    return folder


@pytest.fixture
def segmenter(named) -> Segmenter:
    return fact_clip.load(named)


@pytest.fixture(scope="module")
def video(workbench) -> np.ndarray:
    return np.load(workbench / "features" / "person1_video1.npy").astype(np.float32)


def test_all_names_by_default_with_the_calibration_of_the_run(segmenter):
    choice = segmenter.choose()
    assert choice.vocabulary is segmenter.vocabulary
    assert choice.scoring.text_embeddings is None
    assert isinstance(segmenter.scorer.calibration, Calibration)
    calibration = segmenter.scorer.calibration
    seen = calibration.is_seen(segmenter.vocabulary)
    expected = -calibration.gamma * seen - calibration.prior_weight * calibration.log_prior(segmenter.vocabulary)
    np.testing.assert_array_equal(choice.offset, expected)
    assert segmenter_of(segmenter.run, segmenter.scorer.model).choose().offset is None


def test_fewer_names_in_the_order_given_and_the_background(segmenter):
    choice = segmenter.choose(KNOWN)
    assert choice.vocabulary.names == (*KNOWN, "no action")
    assert choice.vocabulary.background == ("no action",)
    place = segmenter.vocabulary.encode(choice.vocabulary.names)
    torch.testing.assert_close(choice.scoring.text_embeddings, segmenter.scorer.model.text[place.tolist()])
    np.testing.assert_allclose(choice.offset, segmenter.choose().offset[place])
    assert segmenter.choose(["no action", "grasp nut"]).vocabulary.names == ("no action", "grasp nut")


def test_a_name_that_comes_twice_is_refused(segmenter):
    with refused("actions") as refusal:
        segmenter.choose(["no action", "grasp nut", "grasp nut"])
    assert "'grasp nut' is listed twice" in refusal.message
    assert segmenter.choose(["grasp nut", "Grasp_nut"]).vocabulary.names == ("grasp nut", "no action")


def test_a_name_of_unlabelled_frames_is_no_candidate(segmenter):
    """It would win frames that no label can say right."""
    run = segmenter.run
    data = run.config.data.model_copy(update={"unlabelled": ("not labelled",)})
    run = dataclasses.replace(run, config=run.config.model_copy(update={"data": data}))
    other = segmenter_of(run, segmenter.scorer.model)
    for name in ("?", "not labelled"):
        with refused("actions") as refusal:
            other.choose([*KNOWN, name])
        assert repr(name) in refusal.message
    assert "not labelled" in segmenter.choose([*KNOWN, "not labelled"]).vocabulary


def test_the_background_alone_is_no_action_in_any_spelling(segmenter):
    for name in ("no action", "NO ACTION", "no_action"):
        with refused("actions"):
            segmenter.choose([name])


def test_the_order_of_names_changes_nothing(segmenter, video):
    names = list(segmenter.vocabulary.names)
    assert segmenter.segment(video, actions=names).to_frames() == segmenter.segment(video).to_frames()
    assert segmenter.segment(video, actions=names[::-1]).to_frames() == segmenter.segment(video).to_frames()
    assert set(segmenter.segment(video, actions=KNOWN).to_frames()) <= {*KNOWN, "no action"}


def test_new_names_are_read_by_the_grammar(segmenter, video):
    choice = segmenter.choose(["grasp nut", "polish nut with wrench"])
    assert choice.vocabulary.names == ("grasp nut", "polish nut with wrench", "no action")
    assert choice.vocabulary.factors[1] == ("polish", "nut", "wrench")
    words = torch.from_numpy(HashEncoder("32").encode_texts(["polish", "nut", "wrench"]))
    torch.testing.assert_close(choice.scoring.text_embeddings[1], words)
    torch.testing.assert_close(
        choice.scoring.text_embeddings[0], segmenter.scorer.model.text[segmenter.vocabulary.index("grasp nut")]
    )
    assert (choice.scoring.text_embeddings[2] == 0).all()
    # a name that was never trained is unseen: gamma is not taken off, the prior of an unknown verb is the mean one
    calibration = dataclasses.replace(segmenter.scorer.calibration, gamma=3.0, prior_weight=0.0)
    calibrated = segmenter_of(segmenter.run, segmenter.scorer.model, calibration=calibration)
    assert calibrated.choose(choice.vocabulary.names).offset.tolist() == [-3, 0, -3]
    assert set(segmenter.segment(video, actions=choice.vocabulary.names).to_frames()) <= set(choice.vocabulary.names)


def test_known_names_beside_new_ones_keep_their_place(segmenter):
    names = [*segmenter.vocabulary.names, "polish nut"]
    choice = segmenter.choose(names)
    assert choice.vocabulary.names == tuple(names)
    torch.testing.assert_close(choice.scoring.text_embeddings[:-1], segmenter.scorer.model.text)


def test_new_names_are_embedded_once(segmenter, monkeypatch):
    first = segmenter.choose(["polish nut"])
    monkeypatch.setattr(HashEncoder, "encode_texts", lambda self, texts: pytest.fail("embedded again"))
    assert segmenter.choose(["polish nut"]) is first


def test_without_a_grammar_any_name_is_a_phrase(segmenter, video):
    """The same run as that of an own folder, whose only slot is the whole name."""
    parts = {"data": {"name": "folder"}, "text": {"parts": ["sentence"]}}
    config = Config.from_tree(merged(segmenter.run.config.model_dump(mode="json"), parts), "test")
    phrases = fact_clip.Vocabulary.from_names(segmenter.vocabulary.names, ("no action",))
    run = dataclasses.replace(segmenter.run, config=config, vocabulary=phrases)

    class Model(torch.nn.Module):
        text, objects = torch.zeros(23, 1, 32), None

    choice = segmenter_of(run, Model()).choose(["dance!", "grasp nut"])
    assert choice.vocabulary.names == ("dance!", "grasp nut", "no action")
    assert choice.vocabulary.factors[0] == ("dance!",)
    torch.testing.assert_close(
        choice.scoring.text_embeddings[0], torch.from_numpy(HashEncoder("32").encode_texts(["dance!"]))
    )


def test_a_name_that_does_not_parse_is_a_whole_phrase_with_one_line(segmenter, caplog):
    choice = segmenter.choose(["polish", "polish nut", "dance with"])
    factors = (("polish", None, None), ("polish", "nut", None), ("dance with", None, None))
    assert choice.vocabulary.factors[:3] == factors
    words = torch.from_numpy(HashEncoder("32").encode_texts(["polish", "dance with"]))
    torch.testing.assert_close(choice.scoring.text_embeddings[[0, 2], 0], words)
    assert (choice.scoring.text_embeddings[[0, 2], 1:] == 0).all()
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith("no trained class has these words, so their results are a guess: ")
    assert re.findall(r"'([^']+)' \((.+?);", record.message) == [
        ("polish", "read as a whole phrase, far from all"),
        ("polish", "verb, far from all"),
        ("dance with", "read as a whole phrase, far from all"),
    ]
    segmenter.choose(["polish", "polish nut", "dance with"])
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", ["Grasp_Nut", "grasp_nut", " GRASP  nut"])
def test_another_spelling_of_a_trained_name_is_that_name(segmenter, name, caplog):
    choice = segmenter.choose([name, "grasp nut", "place gear"])
    assert choice.vocabulary.names == ("grasp nut", "place gear", "no action")
    torch.testing.assert_close(
        choice.scoring.text_embeddings, segmenter.choose(["grasp nut", "place gear"]).scoring.text_embeddings
    )
    assert choice.new_words == ()
    assert [record.message for record in caplog.records] == [
        f"different spelling of the same name: {name!r} for 'grasp nut'"
    ]


def test_another_spelling_of_a_trained_word_is_that_word(segmenter, caplog):
    choice = segmenter.choose(["Tap_Nut with Mallet", "tap nut with mallet"])
    assert choice.vocabulary.names == ("Tap_Nut with Mallet", "no action")  # new names, too, are told apart by words
    assert choice.vocabulary.factors[0] == ("tap", "nut", "mallet")
    assert [record.message for record in caplog.records] == [
        "different spelling of the same name: 'tap nut with mallet' for 'Tap_Nut with Mallet'"
    ]  # and no new word


def test_names_that_read_as_one_are_said(segmenter, caplog):
    """The text encoder drops the mark, as a grammar may drop a word."""
    embeddings = segmenter.choose(["place gear", "place gear!", "grasp nut"]).scoring.text_embeddings
    assert torch.equal(embeddings[0], embeddings[1])
    (message,) = [record.message for record in caplog.records if "either may occur" in record.message]
    assert message.endswith(": 'place gear', 'place gear!'")


def test_a_closed_set_knows_its_names_in_any_spelling(tiny_run):
    closed = fact_clip.load(tiny_run)
    np.testing.assert_array_equal(closed.choose(["GRASP_NUT"]).offset, closed.choose(["grasp nut"]).offset)


def test_words_that_no_trained_class_has_are_flagged(segmenter, video):
    """The verb "hold" is none of the workbench, but near one; a giraffe is far from all its objects."""
    names = ["hold nut", "tap giraffe with mallet", "grasp nut"]
    choice = segmenter.choose(names)
    assert [(each.action, each.slot, each.word) for each in choice.new_words] == [
        ("hold nut", "verb", "hold"),
        ("tap giraffe with mallet", "object", "giraffe"),
    ]
    minilm = text_encoder("minilm")
    for each, text in zip(choice.new_words, ("the action to {}", "the object {}"), strict=True):
        known = segmenter.vocabulary.factor_indices(each.slot)[0]
        vectors = minilm.encode_texts([text.format(word) for word in (*known, each.word)])
        cosines = vectors[:-1] @ vectors[-1]
        assert each.nearest == known[int(cosines.argmax())]
        assert each.similarity == pytest.approx(float(cosines.max()), abs=1e-3)
    assert [(each.nearest, each.far) for each in choice.new_words] == [("grasp", False), ("bolt", True)]
    assert segmenter.segment(video, names).new_words == choice.new_words
    assert segmenter.segment(video).new_words == ()


def test_new_words_are_encoded_in_batches(segmenter, monkeypatch):
    sizes = []
    minilm = text_encoder("minilm")

    class Counted:
        def encode_texts(self, texts):
            sizes.append(len(texts))
            return minilm.encode_texts(texts)

    monkeypatch.setattr(new_words, "text_encoder", lambda *_: Counted())
    new_words._sentence_vectors.cache_clear()
    names = [f"tap thing{number}" for number in range(300)]
    words = segmenter.choose(names).new_words
    new_words._sentence_vectors.cache_clear()
    assert [word.action for word in words] == names
    assert len(sizes) == 1  # all objects
    one = segmenter.choose(names[7:8]).new_words[0]
    assert (one.nearest, one.far) == (words[7].nearest, words[7].far)
    assert one.similarity == pytest.approx(words[7].similarity, abs=2e-3)


def test_a_word_of_held_out_classes_alone_is_new(segmenter):
    """The classes of setting A were not trained; a word that only they had would be as new as any."""
    seen = segmenter.run.seen
    without = dataclasses.replace(seen, classes=tuple(name for name in seen.classes if "nut" not in name))
    run = dataclasses.replace(segmenter.run, seen=without)
    # Also of a run without classes held out, whose training videos do not show all of its classes.
    choice = segmenter_of(run, segmenter.scorer.model).choose(["grasp nut", "place gear"])
    assert [(each.action, each.slot, each.word) for each in choice.new_words] == [("grasp nut", "object", "nut")]


def test_gamma_is_not_taken_off_a_class_without_examples(named, tmp_path):
    """A class of mapping.txt that is not held out, and that no training video shows."""
    run = Path(shutil.copytree(named, tmp_path / "run"))
    (run / "calibration.json").unlink()
    facts = json.loads((run / "run.json").read_text())
    facts["seen"]["classes"].remove("grasp nut")
    (run / "run.json").write_text(json.dumps(facts))
    segmenter = fact_clip.load(run)
    choice = segmenter.choose(["grasp nut", "place gear", "tap nut"]).with_gamma(2.0)
    assert choice.offset.tolist() == [0, -2, 0, -2]  # the background comes last
    offset = dict(zip(segmenter.vocabulary, segmenter.choose().with_gamma(2.0).offset, strict=True))
    assert offset["grasp nut"] == 0
    assert offset["place gear"] == offset["no action"] == -2


@pytest.fixture(scope="module")
def own(workbench, tiny, tmp_path_factory) -> Path:
    """A run on an own folder: other names, a grammar, and a background that has a name like an action."""
    root, folder = tmp_path_factory.mktemp("own"), tmp_path_factory.mktemp("own run") / "run"
    for part in ("features", "splits"):
        (root / part).symlink_to(workbench / part)
    (root / "groundTruth").mkdir()
    for path in (workbench / "mapping.txt", *(workbench / "groundTruth").iterdir()):
        text = path.read_text().replace("no action", "stand still").replace(" with ", " using ")
        (root / path.relative_to(workbench)).write_text(text)
    data = {"name": "folder", "root": str(root), "background": ["stand still"], "layout": "TD"}
    data |= {"grammar": "{verb} {object} [using {tool}]", "unlabelled": ["rotate gear"]}
    train(tiny(**{**ZERO_SHOT, "data": {**data, "holdout": ["screw nut using wrench"]}}), folder)
    return folder


def test_the_run_keeps_the_grammar_of_own_names(own, video, caplog):
    segmenter = fact_clip.load(own)
    assert segmenter.run.config.data.grammar == "{verb} {object} [using {tool}]"
    assert segmenter.vocabulary.slots == ("verb", "object", "tool")
    assert "rotate gear" not in segmenter.vocabulary
    choice = segmenter.choose(["tap nut using mallet"])
    assert choice.vocabulary.factors == (("tap", "nut", "mallet"), (None, None, None))
    words = torch.from_numpy(HashEncoder("32").encode_texts(["tap", "nut", "mallet"]))
    torch.testing.assert_close(choice.scoring.text_embeddings[0], words)
    assert (choice.scoring.text_embeddings[1] == 0).all()  # the background
    assert not caplog.records
    shown = set(segmenter.segment(video, ["tap nut using mallet"]).to_frames())
    assert shown <= {"tap nut using mallet", "stand still"}


def test_unlabelled_frames_are_not_scored(own):
    result = evaluate(own).details
    dataset = Path(fact_clip.load(own).run.config.data.root)
    lines = [
        line for name in result["videos"] for line in (dataset / f"groundTruth/{name}.txt").read_text().splitlines()
    ]
    assert "rotate gear" in lines
    scored = sum(row["frames"] for row in result["per_class"])
    assert scored == len(lines) - lines.count("rotate gear")
    assert "rotate gear" not in [row["name"] for row in result["per_class"]]


def test_a_closed_set_knows_only_its_own_names(tiny_run):
    closed = fact_clip.load(tiny_run)
    choice = closed.choose(KNOWN)
    allowed = np.flatnonzero(choice.offset == 0)
    assert sorted(closed.vocabulary.decode(allowed)) == sorted([*KNOWN, "no action"])
    assert np.isneginf(np.delete(choice.offset, allowed)).all()
    with refused("vocabulary"):
        closed.choose(["polish nut"])


def test_candidates_among_a_vocabulary():
    known = fact_clip.Vocabulary.from_names(["rest", "cut ham", "hold egg"], ["rest"])
    choice = CandidateSet(known.extended(["slice ham"]).subset(["slice ham", "rest", "cut ham"]))
    classes = ClassMap.of(known, choice)
    whole, place = classes.vocabulary, classes.of_candidate
    assert whole.names == ("rest", "cut ham", "hold egg", "slice ham")
    assert place.tolist() == [3, 0, 1]
    assert whole.factors[3] == ("slice ham",)
    assert ClassMap.of(known, CandidateSet(known.subset(["hold egg", "rest"]))).vocabulary == known
