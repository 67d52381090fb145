"""The scores of the candidates in each frame of a video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fact_clip.core.arguments import whole_of
from fact_clip.core.arrays import Floats, Singles
from fact_clip.core.errors import InputError
from fact_clip.core.extras import data_frame
from fact_clip.core.segments import Alternative
from fact_clip.core.types import Names

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """Probabilities of the candidates in each frame, before decoding.

    Args:
        array: Probabilities (T, C). Each row sums to 1.
        names: Names of the C candidates.
        times: Start times of the frames in seconds, (T,), or None if neither times nor a rate are
            known.
    """

    array: Singles
    names: Names
    times: Floats | None = None

    def __post_init__(self) -> None:
        if self.array.ndim != 2 or self.array.shape[1] != len(self.names):
            problem = f"shape {self.array.shape}, but {len(self.names)} names"
            raise InputError("array", problem)

    def __repr__(self) -> str:
        return f"Scores({len(self.array)} × {len(self.names)})"

    def rank(self, start: int = 0, stop: int | None = None) -> list[Alternative]:
        """Return the candidates by their mean score in the frames `[start, stop)`, best first.

        Args:
            start: First frame.
            stop: Frame after the last one, or None for the end of the video.

        Returns:
            The names with their mean scores.

        Raises:
            InputError: The frames are not in the video.
        """
        n_frames = len(self.array)
        first = whole_of(start, "start", 0, n_frames - 1)
        end = n_frames if stop is None else whole_of(stop, "stop", first + 1, n_frames)
        means = self.array[first:end].mean(axis=0)  # (C,)
        order = np.argsort(-means, kind="stable")
        return [Alternative(self.names[index], float(means[index])) for index in order]

    def to_dataframe(self) -> DataFrame:
        """Convert to a pandas.DataFrame. Without pandas, raise an InputError.

        Returns:
            Table with one row per frame and one column per candidate. The index is the time in
            seconds, if it is known.
        """
        frame = data_frame(self.array, columns=list(self.names), index=self.times)
        return frame if self.times is None else frame.rename_axis("seconds")
