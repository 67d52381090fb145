"""Lines of messages."""

from __future__ import annotations

from fact_clip.core.messages import join_names


def test_of_many_names_the_number_is_told():
    assert join_names(["a", "b"]) == "a, b"
    assert join_names([str(number) for number in range(1012)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, and 1,000 more"
