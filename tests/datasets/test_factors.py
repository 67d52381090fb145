"""Parts of own names: a pattern in the recipe, or factors.csv; and labels that stand for no class."""

from __future__ import annotations

import pytest

from fact_clip.advice.proposal import propose
from fact_clip.config import Config, DataConfig
from fact_clip.core import Vocabulary
from fact_clip.datasets.benchmarks import new_factors
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.inspect import Inspection
from fact_clip.datasets.layout import DataFolder
from fact_clip.datasets.naming import guess_names
from fact_clip.datasets.statistics import mean_transcript_length
from fact_clip.datasets.summary import summarize

from ..refusals import refused

CUT = "{verb} {object} [with {tool}]"


@pytest.fixture
def kitchen(root):
    """The videos of `root` with other names: rest, cut ham with knife, stir (which has no object)."""
    named = {"idle": "rest", "pour milk": "cut ham with knife", "stir": "stir"}
    (root / "mapping.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(named.values())))
    for path in (root / "groundTruth").iterdir():
        path.write_text("".join(f"{named[line]}\n" for line in path.read_text().splitlines()))
    return root


def vocabulary(config: DataConfig) -> Vocabulary:
    return DataFolder(config).vocabulary(config)


def config(root, **keys) -> DataConfig:
    return DataConfig.model_validate({"root": str(root), "background": ["rest"], **keys})


def test_a_pattern_gives_parts_to_own_names(kitchen):
    parsed = vocabulary(config(kitchen, grammar="{verb} [{object}] [with {tool}]"))
    assert parsed.slots == ("verb", "object", "tool")
    assert parsed.factors == ((None, None, None), ("cut", "ham", "knife"), ("stir", None, None))
    # without one each name is a phrase, as before
    assert vocabulary(config(kitchen)).slots == ("phrase",)


def test_case_makes_no_two_parts(kitchen):
    (kitchen / "mapping.txt").write_text("0 rest\n1 Cut ham with knife\n2 cut Ham\n")
    parsed = vocabulary(config(kitchen, grammar=CUT))
    assert parsed.factors[1:] == (("Cut", "ham", "knife"), ("Cut", "ham", None))


def test_a_benchmark_may_be_read_without_its_grammar(kitchen):
    assert vocabulary(config(kitchen, name="kscgr", grammar="none")).slots == ("phrase",)


def test_a_name_that_does_not_parse_is_an_error_and_check_lists_it(kitchen):
    with refused("class 'stir'"):
        Dataset.open(config(kitchen, grammar=CUT))
    (finding,) = Inspection(config(kitchen, grammar=CUT))
    assert (finding.kind, str(finding.error.where)) == ("factors", f"{kitchen}/mapping.txt, class 'stir'")
    assert list(Inspection(config(kitchen, grammar="{verb} [{object}] [with {tool}]"))) == []
    (finding,) = Inspection(config(kitchen, grammar="{verb"))
    assert (finding.kind, str(finding.error.where)) == ("factors", "data.grammar")


def test_a_pattern_goes_before_that_of_a_benchmark(kitchen):
    asked = DataConfig(name="workbench", root=str(kitchen), background=("rest",), grammar="{what}")
    assert vocabulary(asked).slots == ("what",)


def test_a_file_of_factors(kitchen):
    (kitchen / "factors.csv").write_text(
        "class,verb,object,tool\ncut ham with knife, cut, cured_ham ,knife\nstir,stir,,\n"
    )
    read = vocabulary(config(kitchen))
    assert read.slots == ("verb", "object", "tool")
    assert read.factors == ((None, None, None), ("cut", "cured ham", "knife"), ("stir", None, None))
    assert list(Inspection(config(kitchen))) == []
    # a row without factors is one of the background
    (kitchen / "factors.csv").write_text("class,verb\nrest,\ncut ham with knife,cut\nstir,stir\n")
    assert vocabulary(config(kitchen)).factors == ((None,), ("cut",), ("stir",))
    with refused("class 'rest'"):
        vocabulary(config(kitchen, background=[]))
    # as a spreadsheet may save it
    (kitchen / "factors.csv").write_bytes("\ufeffclass;verb\r\ncut ham with knife;cut\r\nstir;stir\r\n".encode())
    assert vocabulary(config(kitchen)).factors == ((None,), ("cut",), ("stir",))


def test_the_file_may_list_what_is_no_class(kitchen):
    (kitchen / "factors.csv").write_text("class,verb\ncut ham with knife,cut\nstir,stir\n")
    assert vocabulary(config(kitchen, unlabelled=["stir"])).factors == ((None,), ("cut",))
    assert list(Inspection(config(kitchen, unlabelled=["stir"]))) == []


def test_a_pattern_reads_what_the_file_lacks(kitchen):
    (kitchen / "factors.csv").write_text("class,tool,verb,object\nstir,spoon,stir,\n")
    with refused("class 'cut ham with knife'"):
        vocabulary(config(kitchen))
    read = vocabulary(config(kitchen, grammar=CUT))
    assert read.slots == ("tool", "verb", "object")
    assert read.factors[1:] == (("knife", "cut", "ham"), ("spoon", "stir", None))
    with refused("data.grammar"):
        vocabulary(config(kitchen, grammar="{verb} {noun}"))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("name,verb\nstir,stir\n", [1]),
        ("", [1]),
        ("class,verb,verb\n", [1]),
        ("class,verb\nstir," + "x" * 200_000, [2]),
        ("class,verb\nstri,stir\nstir\n\nstir,stir\ncut ham with knife,cut\ncut ham with knife,slice\n", [2, 3, 7]),
    ],
)
def test_faults_of_the_file(kitchen, text, lines):
    path = kitchen / "factors.csv"
    path.write_text(text)
    errors = [finding.error for finding in Inspection(config(kitchen)) if finding.kind == "factors"]
    assert [str(error.where) for error in errors] == [f"{path}:{line}" for line in lines]
    with refused(f"factors.csv:{lines[0]}"):
        vocabulary(config(kitchen))


def test_names_typed_later():
    known = Vocabulary.from_names(
        ["rest", "cut ham"], ["rest"], {"cut ham": ("cut", "ham", None)}, ("verb", "object", "tool")
    )
    factors, whole = new_factors(DataConfig(grammar="{verb} {object}"), known, ["slice hard cheese", "sneeze"])
    assert factors == {"slice hard cheese": ("slice", "hard cheese", None), "sneeze": ("sneeze", None, None)}
    assert whole == ["sneeze"]
    # parts from factors.csv alone: phrases
    assert new_factors(DataConfig(), known, ["cut egg"]) == ({"cut egg": ("cut egg", None, None)}, ["cut egg"])
    assert new_factors(DataConfig(), Vocabulary.from_names(["a"]), ["cut egg"]) == ({"cut egg": ("cut egg",)}, [])
    # Underscores and blanks read alike, also if a pattern can take the whole name as one word.
    mixed = Vocabulary.from_names(
        ["stir", "pour milk", "stir milk"],
        factors={"stir": ("stir", None), "pour milk": ("pour", "milk"), "stir milk": ("stir", "milk")},
        slots=("verb", "object"),
    )
    both = new_factors(DataConfig(grammar="{verb} [{object}]"), mixed, ["stir tea", "stir_tea"])
    assert both == ({"stir tea": ("stir", "tea"), "stir_tea": ("stir", "tea")}, [])
    # A sentence with a part that no class has is read as a whole, so that the part is reported.
    said = Vocabulary.from_names(
        ["pour the milk", "cut the bread"],
        factors={"pour the milk": ("pour", "milk"), "cut the bread": ("cut", "bread")},
        slots=("verb", "object"),
    )
    names = ["cut the milk", "cut the milk with a chainsaw"]
    assert new_factors(DataConfig(grammar="english"), said, names) == (
        {names[0]: ("cut", "milk"), names[1]: (names[1], None)},
        names[1:],
    )
    # the words are parted as in the names that were trained
    written = Vocabulary.from_names(["cut_ham"], factors={"cut_ham": ("cut", "ham")}, slots=("verb", "object"))
    typed = ["cut egg", "cut_egg"]
    assert new_factors(DataConfig(grammar="{verb} {object}"), written, typed) == (
        dict.fromkeys(typed, ("cut", "egg")),
        [],
    )


def test_a_pattern_on_the_command_line_needs_no_quotes():
    assert Config.load("folder", [f"data.grammar={CUT}"]).data.grammar == CUT
    assert Config.load("folder", [f'data.grammar="{CUT}"']).data.grammar == CUT
    assert Config.load("folder", ["data.grammar=null"]).data.grammar is None


# --- labels that stand for no class ---


def mark(root, video: str, frames: slice, label: str) -> None:
    path = root / "groundTruth" / f"{video}.txt"
    lines = path.read_text().splitlines()
    lines[frames] = [label] * len(lines[frames])
    path.write_text("\n".join(lines) + "\n")


def test_unlabelled_frames_are_ignored(open_set, root):
    """Video a has 40 frames: idle 0 to 13, pour milk 14 to 26, stir 27 to 39."""
    before = open_set()
    mark(root, "a", slice(10, 20), "?")
    dataset = open_set(unlabelled=["stir"])
    assert dataset.vocabulary.names == ("idle", "pour milk")
    labels = dataset.labels("a").tolist()
    assert labels == [0] * 10 + [-1] * 10 + [1] * 7 + [-1] * 13
    counts = dataset.class_counts(["a"])
    assert counts.tolist() == [10, 7]
    assert mean_transcript_length(map(dataset.labels, ["a"])) == 2
    assert mean_transcript_length(map(before.labels, ["a"])) == 3
    dataset.check()


def test_check_and_summary_of_unlabelled_frames(root):
    mark(root, "a", slice(10, 20), "?")
    asked = DataConfig(root=str(root), unlabelled=("stir",))
    inspection = Inspection(asked)
    assert (list(inspection), inspection.class_names) == ([], ("idle", "pour milk"))
    counted = summarize(asked)
    stir = sum(line == "stir" for path in (root / "groundTruth").iterdir() for line in path.read_text().splitlines())
    assert counted["unlabelled_frames"] == 10 + stir
    assert counted["frames"] == 40 + 55 + 61 + 38
    assert (counted["classes"], counted["segments"]) == (2, 8)
    # in a the two are parted by frames that nobody labelled
    assert counted["transitions"] == [{"from": "idle", "to": "pour milk", "count": 3}]
    (finding,) = Inspection(DataConfig(root=str(root), unlabelled=("stirr",)))
    assert finding.kind == "labels"
    assert "'stir'" in finding.error.fix


def test_background_is_labelled(root):
    with refused("data.unlabelled"):
        vocabulary(DataConfig(root=str(root), background=("idle",), unlabelled=("idle",)))
    # that of a benchmark gives way
    asked = DataConfig(name="breakfast", root=str(root), unlabelled=("SIL",), grammar="{verb} {object}")
    (root / "mapping.txt").write_text("0 SIL\n1 pour milk\n")
    assert vocabulary(asked).background == ()


# --- what is guessed of names ---


def test_names_tell_background_grammar_and_what_is_no_class():
    names = ["Idle", "cut ham", "cut egg", "unlabelled"]
    guessed, reasons = guess_names(DataConfig(), names)
    assert (guessed.background, guessed.unlabelled) == (("Idle",), ("unlabelled",))
    assert guessed.grammar == "{verb} {object}"
    assert reasons["grammar"] == "GUESSED: all 2 actions fit; if they have no such parts, use --grammar none"
    given = DataConfig(background=(), unlabelled=("cut egg",), grammar="{what}")
    kept, reasons = guess_names(given, names)
    assert (kept, reasons["background"]) == (given, "as given")


def test_a_suggestion_names_the_grammar_and_reads_the_classes(kitchen):
    (kitchen / "mapping.txt").write_text("0 rest\n1 cut ham\n2 cut egg\n")
    for path in (kitchen / "groundTruth").iterdir():
        path.write_text(path.read_text().replace("cut ham with knife", "cut ham").replace("stir", "cut egg"))
    found = propose(config(kitchen))
    assert (
        "data.grammar",
        "{verb} {object}",
        "GUESSED: all 2 actions fit; if they have no such parts, use --grammar none",
    ) in found.settings
    assert found.vocabulary.factors == ((None, None), ("cut", "ham"), ("cut", "egg"))
    (kitchen / "factors.csv").write_text("class,what\ncut ham,ham\ncut egg,egg\n")
    found = propose(config(kitchen))
    assert "data.grammar" not in [key for key, _, _ in found.settings]
    assert found.vocabulary.factors == ((None,), ("ham",), ("egg",))
    with refused("data.grammar"):
        propose(config(kitchen, grammar="{verb} {object}"))
