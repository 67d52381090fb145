"""The README's own sections, command by command, on a folder that nobody prepared for them.

The README's words are replaced by the folder itself, which the test writes, the names that are typed at the
end, and shorter trainings, of one model instead of three.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from fact_clip import Segmentation

from .garden import CLASSES, GRAMMAR, NEVER_LABELLED, write_garden
from .test_readme import BLOCKS, WITH_OWN_DATA, clone, run

OWN = {
    "[with {tool}]": GRAMMAR,
    '"cut egg, slice tomato"': f'"{NEVER_LABELLED}, juggle chainsaw"',
    '--leave-out subject --pattern "subj(': '--leave-out person --pattern "person(',
    "--fps 6 ": "--fps 15 ",
    "subj1_hamegg": "person1_video1",
    "--count 6 ": "--count 3 ",
}
"""Words of the README, and what a stranger writes there."""


@pytest.mark.slow
def test_from_an_own_folder_to_actions_nobody_trained(tmp_path, capsys):
    folder = clone(tmp_path / "clone")
    actions = write_garden(folder / "mydata")
    chosen = [block for block in BLOCKS if block.section in WITH_OWN_DATA and not block.not_run]
    sample, *rest = chosen
    assert sample.code.startswith("fact-clip data sample mydata ")
    assert [block.section for block in rest] == [*WITH_OWN_DATA]
    for word, own in OWN.items():
        assert any(word in block.code for block in rest)
        rest = [replace(block, code=block.code.replace(word, own)) for block in rest]
    for block in rest:
        code = block.code.replace("--minutes 0.5 ", "--minutes 0.05 ")
        code = code.replace("train.epochs=20", "train.epochs=14")
        run(replace(block, code=code), folder)
    zero_shot = json.loads((folder / "runs/words/evaluation.json").read_text())["zero_shot"]
    figures = zero_shot["ways"]["in use"]
    found = Segmentation.load(folder / "runs/words/segments/person1_video1.json")
    frames = actions["person1_video1"]  # a person of the test split
    named = [name for name, true in zip(found.to_frames(), frames, strict=True) if true == NEVER_LABELLED]
    share = named.count(NEVER_LABELLED) / len(named)
    told = f"U {figures['U']:.1f}, S {figures['S']:.1f}, H {figures['H']:.1f}; of the unlabelled action {share:.0%}"
    with capsys.disabled():
        sys.stdout.write(f"\n{told}\n")
    assert len(zero_shot["unseen"]) == 3
    assert set(zero_shot["unseen"]) <= set(CLASSES)
    assert figures["U"] > 40
    # An action that is in no label file, so that not even its name was known before it was typed.
    assert share > 0.4
    assert {word.word for word in found.new_words if word.far} <= {"juggle", "chainsaw"}
    assert {word.action for word in found.new_words} == {"juggle chainsaw"}
    assert "none of these" in found.background
