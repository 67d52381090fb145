"""True segments of a batch, by hand."""

import torch

from fact_clip.datasets.truth import Truth


def test_segments_are_runs_of_one_label_within_a_video() -> None:
    truth = Truth.of(torch.tensor([[2, 2, -1, 2, 0, 0], [1, 1, 1, 3, -1, -1], [-1, -1, -1, -1, -1, -1]]))
    assert truth.segment.tolist() == [[0, 0, 3, 1, 2, 2], [0, 0, 0, 1, 3, 3], [3] * 6]
    assert truth.classes.tolist() == [[2, 2, 0], [1, 3, -1], [-1, -1, -1]]
    assert [each.tolist() for each in truth.transcripts] == [[2, 2, 0], [1, 3], []]


def test_no_label_at_all_gives_no_segment() -> None:
    truth = Truth.of(torch.full((2, 3), -1))
    assert truth.classes.shape == (2, 0)
    assert truth.to("cpu").segment.tolist() == [[0] * 3] * 2


def test_frames_behind_the_end_are_padding() -> None:
    truth = Truth.of(torch.tensor([[2, 2, 0], [1, -1, -1]])).longer(5)
    assert truth.labels.tolist() == [[2, 2, 0, -1, -1], [1, -1, -1, -1, -1]]
    assert truth.segment.tolist() == [[0, 0, 1, 2, 2], [0, 2, 2, 2, 2]]
    assert truth.classes.tolist() == [[2, 0], [1, -1]]
