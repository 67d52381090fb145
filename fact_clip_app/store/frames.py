"""Seconds of a video as frames."""

from fact_clip.core import Clock, Floats, Integers


def nearest_frames(seconds: Floats, times: Floats) -> Integers:
    """Return the frames that begin nearest to some seconds. The count continues after the end.

    Args:
        seconds: (K,).
        times: seconds at which frames start, and the end, (N + 1,).
    """
    return Clock(times=times).frames(seconds.tolist(), "times")
