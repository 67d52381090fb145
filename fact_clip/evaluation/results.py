"""The result of an evaluation, and the interface that it shares with other results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from fact_clip.core import Json
from fact_clip.core.extras import data_frame

if TYPE_CHECKING:
    from pandas import DataFrame

Figures = dict[str, float]


@dataclass(frozen=True)
class Result(ABC):
    """Figures that can be read as attributes."""

    def to_dict(self) -> Json:
        """Return plain values, as written to JSON."""
        return asdict(self)

    @abstractmethod
    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the rows of the table by name."""

    def to_dataframe(self) -> DataFrame:
        """Convert the rows to a pandas.DataFrame. Without pandas, an InputError is raised.

        Returns:
            One row for each class of an evaluation, for each run of a sweep, or for a training run.
        """
        rows = self.rows()
        return data_frame(list(rows.values()), index=list(rows))


@dataclass(frozen=True)
class Evaluation(Result):
    """The result of `fact_clip.evaluate`. `to_dict` equals ``RUN/evaluation.json``.

    Attributes:
        run: Run folder.
        split: Split: test, validation or train.
        videos: Names of the videos.
        metrics: Figures of all videos, in percent.
        per_class: A row for each class with its name, frames, accuracy, segments and F1.
        details: All keys of the JSON file.
    """

    run: str
    split: str
    videos: Sequence[str]
    metrics: Figures
    per_class: Sequence[Json] = field(repr=False)
    details: Json = field(repr=False)

    def to_dict(self) -> Json:
        """Return plain values, as written to JSON."""
        return self.details

    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """Return a row for each class."""
        return {row["name"]: row for row in self.per_class}
