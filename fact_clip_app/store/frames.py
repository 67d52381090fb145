"""Seconds of a video as frames."""

from fact_clip.core import Clock, Floats, Integers


def nearest_frames(seconds: Floats, times: Floats) -> Integers:
    """Return the frames that begin nearest to some seconds. The count continues after the end.

    Args:
        seconds: (K,).
        times: Start times of the frames and the end of the last frame, in seconds, (N + 1,).
    """
    return Clock(times=times).frames(seconds.tolist(), "times")
