"""fact-clip segment --adapt-to."""

from __future__ import annotations

import json


def test_adapted_results_are_results_of_their_own(tiny_run, workbench, tmp_path, fact_clip):
    videos = sorted((workbench / "features").glob("*.npy"))[:2]
    command = ["segment", videos[0], "--run", tiny_run, "--out", tmp_path / "out"]
    folder = tmp_path / "unlabelled"
    folder.mkdir()
    for path in videos:
        (folder / path.name).symlink_to(path)
    assert fact_clip(*command).code == 0
    answer = fact_clip(*command, "--adapt-to", folder)
    assert answer.code == 0, answer.err
    stem = videos[0].stem
    first, second = (json.loads((tmp_path / f"out/{name}.json").read_text()) for name in (stem, f"{stem}-2"))
    assert first != second
    assert "already there" in fact_clip(*command, "--adapt-to", folder).err
