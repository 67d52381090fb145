"""Settings whose values depend on the number of frames in a row of scores, such as a stride."""

from __future__ import annotations

# Each frame of a wrong segment adds evidence for it, but not independent evidence, so the penalty
# grows more slowly than the length.
PENALTY_POWER = 0.8
"""Power of the number of rows with which a switching penalty grows."""


def frames_per_row(stride: int, interleave: bool) -> int:
    """Return the number of frames that a row of scores represents."""
    return 1 if interleave else stride


def penalty_of_rows(penalty: float, frames_before: int, frames_after: int) -> float:
    """Convert a switching penalty to rows that stand for a different number of frames.

    Args:
        penalty: Penalty in nats.
        frames_before: Frames per row for which the penalty was set.
        frames_after: Frames per row from now on.

    Returns:
        The penalty in nats, with one decimal.
    """
    return round(penalty * (frames_before / frames_after) ** PENALTY_POWER, 1)
