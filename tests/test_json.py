"""What other programs read is what docs/schema says; every key that is written is described there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource

from fact_clip import Segment, Segmentation, training
from fact_clip.cli import main
from fact_clip.core.segments import NewWord

from .small import ZERO_SHOT

FOLDER = Path(__file__).parents[1] / "docs" / "schema"
SCHEMAS = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def closed(schema: Any) -> Any:
    """The schema with keys that it does not name forbidden, so that a new key must be described."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        result["unevaluatedProperties"] = False
    return result


def check(name: str, value: Any) -> None:
    # A list of segmentations adds a key to each, so what it refers to stays open there and is closed above it.
    parts = {own: closed(schema) for own, schema in SCHEMAS.items()}
    if name == "segments.json":
        parts["segmentation.json"].pop("unevaluatedProperties")
    registry = Registry().with_resources((own, Resource.from_contents(schema)) for own, schema in parts.items())
    Draft202012Validator(parts[name], registry=registry).validate(json.loads(json.dumps(value)))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_are_schemas(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == name
    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    "segmentation",
    [
        Segmentation((Segment(0, 3, "idle"), Segment(3, 5, "pour", 0.25)), fps=5.0, media="a.mp4"),
        Segmentation((Segment(0, 2, "idle", 1.0),), times=(0.0, 0.5, 0.75)),
        Segmentation((Segment(0, 2, "juggle"),), new_words=(NewWord("juggle", "phrase", "juggle", "cut", 0.5, True),)),
    ],
    ids=["even", "uneven", "new words"],
)
def test_a_segmentation(segmentation, tmp_path):
    path = segmentation.save(tmp_path / "a.json")
    check("segmentation.json", json.loads(path.read_text()))
    assert Segmentation.load(path).new_words == segmentation.new_words


def test_segment_json(tiny_run, workbench, tmp_path, capsys):
    videos = [str(workbench / "features" / f"person{person}_video1.npy") for person in (1, 2)]
    assert main(["segment", "--run", str(tiny_run), *videos, "--out", str(tmp_path), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [each["input"] for each in value] == videos
    check("segments.json", value)
    for video in videos:
        check("segmentation.json", json.loads((tmp_path / f"{Path(video).stem}.json").read_text()))


def test_evaluation_of_all_classes(tiny_run, tmp_path, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    assert main(["evaluate", str(run), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    check("evaluation.json", value)
    (tmp_path / "few.txt").write_text("grasp nut\nno action\n")
    assert main(["evaluate", str(run), "--actions-file", str(tmp_path / "few.txt")]) == 0
    found = json.loads((run / "evaluation_actions.json").read_text())
    assert sorted(found["candidates"]["names"]) == ["grasp nut", "no action"]
    check("evaluation.json", found)


def test_evaluation_of_held_out_classes_and_of_a_sweep(tiny, tmp_path):
    training.sweep(tiny(**ZERO_SHOT), tmp_path / "runs", {"train.seed": [0, 1]})
    value = json.loads((tmp_path / "runs/evaluation.json").read_text())
    assert list(value["runs"]) == ["seed0", "seed1"]
    check("evaluation.json", value)
    value = json.loads((tmp_path / "runs/seed0/evaluation.json").read_text())
    assert len(value["zero_shot"]["unseen"]) == 3
    check("evaluation.json", value)
    with pytest.raises(ValidationError):
        check("evaluation.json", {**value, "zero_shot": {**value["zero_shot"], "gamma": "1"}})
