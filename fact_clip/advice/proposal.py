"""Measurements of a data set, and the recipe that follows from them (`fact-clip data init`).

`propose` measures (`Measures`) and returns settings with reasons (`Proposal`). The private
functions below it return the settings of one subject each. `recipe.py` writes them into a file.
"""

import math
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from fact_clip.config import DataConfig
from fact_clip.core import Names, Vocabulary
from fact_clip.core.frames import IGNORED
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.layout import DataFolder, split_names
from fact_clip.datasets.naming import guess_names
from fact_clip.datasets.separability import has_seen_labels, separability
from fact_clip.datasets.splits import guess_groups
from fact_clip.datasets.statistics import labelled_segments
from fact_clip.decoding.switching import PENALTY, SHORT, short_segment_penalty
from fact_clip.encoders import text_side
from fact_clip.training.teacher import names_without_examples
from fact_clip.unseen.groups import LEAST_TRAINED_GROUPS, read_groups

# The rules of the recipe. All were chosen in experiments/own_data.md.
# The stride is chosen so that EPOCHS epochs read at most about MOST_ROWS_READ rows, unless short
# segments need a smaller stride.
EPOCHS = 50
MOST_ROWS_READ = 800_000
# Fewest rows of a short segment after the stride, and shortest window of context.
ROWS_OF_A_SHORT_SEGMENT = 5
MOST_COLUMNS = 512  # with more columns, no context is added: it multiplies them by five
LONG_WINDOW = 5  # long window divided by short window, which is about half of a short segment
FEWEST_VIDEOS = 40  # with fewer training videos, none are used for validation
FEWEST_GROUPS = 10  # with fewer persons in the training videos, none are used for validation
VALIDATION = 0.1  # share of the training videos
# Augmentation for separable features, which reveal the labels of training rows but not of others.
CHANNELS_DROPPED = 0.6
NOISE = 1
PENALTY_IF_SEPARABLE = 1.5  # nats; scores from such features are far too certain
SPARE_TOKENS = 1.1  # per segment of the longest transcript, before rounding to tens
WIDTH = 64  # channels of features in addition to the scores of the classes
WIDTH_STEP = 32  # the hidden width is a multiple of it
# Columns are standardised outside these bounds.
LARGEST_MEAN = 0.25  # median over the columns of the absolute mean
DEVIATIONS = 0.5, 2.0  # lowest and highest deviation of a column

# How `_standardize` samples rows.
_SAMPLED_VIDEOS = 20
_SAMPLED_ROWS = 500  # fewest rows of each of these videos; all rows of a shorter video are used


Value = bool | int | float | str | list[int] | list[str] | list[int | str] | None


class Setting(NamedTuple):
    """A setting of the recipe."""

    key: str  # key with dots
    value: Value
    reason: str

    @property
    def group(self) -> str:
        """Return the group of keys."""
        return self.key.partition(".")[0]


@dataclass(frozen=True)
class Measures:
    """Measures of the training and validation videos of a split, without unlabelled segments.

    Attributes:
        videos: Number of videos.
        frames: Number of frames.
        classes: Number of classes.
        columns: Number of columns of the features.
        median_video: Number of frames of the median video.
        median_segment: Number of frames of the median segment.
        short_segment: Number of frames of a short segment of an action.
        most_segments: Number of segments of the video with the most segments.
        separability: Share of rows that a linear map labels correctly, see `separability`.
        is_separable: Whether the feature extractor was probably trained on the labels.
    """

    videos: int
    frames: int
    classes: int
    columns: int
    median_video: float
    median_segment: float
    short_segment: float
    most_segments: int
    separability: float
    is_separable: bool

    @classmethod
    def of(cls, dataset: Dataset) -> "Measures":
        """Measure a data set."""
        videos = {name: dataset.labels(name) for name in dataset.labelled(dataset.learning)}
        labels = videos.values()
        whole_lengths = dataset.segment_lengths(videos, whole_only=True)
        # A class without a whole segment uses segments that are cut by unlabelled frames.
        lengths_of = [
            of_whole or of_all
            for of_whole, of_all in zip(whole_lengths, dataset.segment_lengths(videos), strict=True)
        ]
        lengths = list(chain.from_iterable(lengths_of))
        action_lengths = []
        for index, class_lengths in enumerate(lengths_of):
            if index not in dataset.vocabulary.background_indices:
                action_lengths += class_lengths
        video_lengths = list(map(len, labels))
        share = separability(dataset)
        return cls(
            videos=len(labels),
            frames=sum(video_lengths),
            classes=len(dataset.vocabulary),
            columns=dataset.input_dim,
            median_video=float(np.median(video_lengths)),
            median_segment=float(np.median(lengths)),
            short_segment=float(np.quantile(action_lengths or lengths, SHORT)),
            most_segments=max(len(labelled_segments(video)) for video in labels),
            separability=share,
            is_separable=has_seen_labels(dataset, share),
        )

    def __str__(self) -> str:
        """Return all measures in words."""
        return (
            f"{self.videos} videos to learn from, {self.frames:,} frames: "
            f"median video {self.median_video:g} frames, median segment {self.median_segment:g}, "
            f"short ones (20th percentile) {self.short_segment:g}; {self.columns} columns; "
            f"a linear classifier gets {self.separability:.0%} of the frames of held-out training "
            "videos right"
        )


@dataclass(frozen=True)
class Proposal:
    """Settings on top of the recipe `base`, and the measures that they follow from.

    Attributes:
        settings: Settings in the order of the recipe.
        measures: Measures. `measures.videos` counts the training and validation videos.
        videos: Number of all videos of the data set.
        vocabulary: Classes.
        unvalidated: Reason why a model of known classes has no validation videos, or "".
        notes: Remarks for the user.
        base: Name of the recipe that the settings change.
    """

    settings: tuple[Setting, ...]
    measures: Measures
    videos: int
    vocabulary: Vocabulary
    unvalidated: str
    notes: Names = ()
    base: str = "own"

    def with_settings(self, *settings: Setting) -> "Proposal":
        """Return the proposal with further settings."""
        return replace(self, settings=(*self.settings, *settings))


def propose(config: DataConfig) -> Proposal:
    """Measure a data set and propose settings.

    Args:
        config: Location of the data set. Values that are set in it are kept. Labels of held-out
            classes and of test videos are not read.

    Returns:
        The proposal.

    Raises:
        InputError: The data have a fault that prevents training.
    """
    folder = DataFolder(config)
    config, reasons = guess_names(config, folder.class_names, folder.root)
    splits = split_names(folder.root)
    config = config.model_copy(update={"split": _chosen_split(config, splits)})
    dataset = Dataset.open(config, folder)
    dataset.check()
    if dataset.hidden or dataset.clicks(dataset.validation):
        # Measured without validation videos, because the recipe decides about validation. So
        # labels that only validation may see are hidden as well, and there is no video with
        # labels only in its clicked frames.
        dataset = Dataset.open(config.model_copy(update={"validation": 0.0}), folder)

    measures = Measures.of(dataset)
    validation, unvalidated = _validation(config, dataset, measures)
    naming = _naming(dataset.encoder)
    rate_reason = "as given" if config.fps else "of the JSON files"
    if dataset.fps is None:
        rate_reason = "unknown; feature rows per second, for times in seconds"
    root = str(folder.root.resolve())
    axis_order = "time first" if dataset.layout == "TD" else "channels first"
    settings = [
        Setting("data.root", root, "from this file's folder, unless it is an absolute path"),
        Setting("data.split", config.split, f"of {', '.join(splits)}"),
        Setting("data.layout", dataset.layout, axis_order),
        Setting("data.fps", dataset.fps, rate_reason),
        Setting("data.background", list(config.background or ()), reasons["background"]),
    ]
    if config.unlabelled:
        settings.append(Setting("data.unlabelled", list(config.unlabelled), reasons["unlabelled"]))
    if config.grammar:
        settings.append(Setting("data.grammar", config.grammar, reasons["grammar"]))
    if config.holdout:
        hidden = config.holdout if isinstance(config.holdout, str) else list(config.holdout)
        settings.append(Setting("data.holdout", hidden, "hidden labels were not measured"))
    settings += _self_training(dataset)
    settings += validation
    settings += _reading(dataset, measures, in_text_space=bool(naming))
    settings += naming
    settings += _sizes(measures)
    reason = "all classes count in edit and F1"
    if config.background:
        reason = "background is left out of edit and F1"
    settings.append(Setting("evaluation.count_background", not config.background, reason))
    return Proposal(
        settings=tuple(settings),
        measures=measures,
        videos=len(folder.all_videos()),
        vocabulary=dataset.vocabulary,
        unvalidated=unvalidated,
    )


def _chosen_split(config: DataConfig, splits: list[str]) -> int | str:
    """Return the split of the configuration, or the first one if there is no split 1."""
    split = str(config.split)
    if split == "1" and splits and "1" not in splits:
        split = splits[0]
    is_number = split.isdecimal() and str(int(split)) == split  # "01" is a name
    return int(split) if is_number else split


def _self_training(dataset: Dataset) -> list[Setting]:
    """Return the setting that learns from frames without a label.

    These are frames of names without examples, or videos without labels.
    """
    if dataset.hidden or dataset.clicks(dataset.learning):
        return []
    names = names_without_examples(dataset)
    labelled = dataset.labelled(dataset.learning)
    n_labelled = len(labelled)
    n_videos = len(dataset.learning)
    if not names and 0 < n_labelled < n_videos:
        n_unlabelled = n_videos - n_labelled
        reason = f"{n_unlabelled} of {n_videos} videos have no label: a first model names them"
        return [Setting("train.self_training", True, reason)]
    # `labelled` is not empty, because `Dataset.check` requires a label.
    is_unlabelled = np.concatenate([dataset.labels(name) for name in labelled]) == IGNORED
    if not names or not is_unlabelled.any():
        return []
    subject = (
        "1 name of mapping.txt has"
        if len(names) == 1
        else f"{len(names)} names of mapping.txt have"
    )
    reason = (
        f"{subject} no labelled frame, {is_unlabelled.mean():.0%} of the frames have no label: "
        "they will be learned from their names"
    )
    return [Setting("train.self_training", True, reason)]


def _naming(encoder: str | None) -> list[Setting]:
    """Return the head for features in the space of an image-text model, if texts can be encoded.

    Such features can name classes that were never trained (experiments/joint_space.md).
    """
    texts = text_side(encoder) if encoder else None
    if texts is None or "@" in texts:  # "@" precedes a digest of local weights, which no name loads
        return []
    space = f"the features lie in one space with the texts of {encoder}"
    return [
        Setting("model.head", "similarity", space),
        Setting("text.encoder", texts, "by the JSON files of the features"),
    ]


def _validation(
    config: DataConfig, dataset: Dataset, measures: Measures
) -> tuple[list[Setting], str]:
    """Return settings of groups and validation, and why there are no validation videos, or "".

    A group contains the videos of one person. Parts of the data do not share a group.
    """
    pattern = config.groups or guess_groups(dataset.learning)
    n_groups = 0
    if pattern:
        labelled = dataset.labelled(dataset.learning)
        n_groups = len(set(read_groups(labelled, pattern).values()))
    if measures.videos < FEWEST_VIDEOS:
        problem = f"{measures.videos} training videos are too few"
    elif n_groups < FEWEST_GROUPS:
        problem = (
            f"the names of the videos show {n_groups or 'no'} persons, whom training would share "
            "with it"
        )
    elif measures.is_separable:
        problem = (
            "the extractor of the features seems to have been trained on the labels, so results "
            "would look too good"
        )
    else:
        problem = ""
    settings = []
    if n_groups > 1:
        reason = "as given"
        if not config.groups:
            reason = f"GUESSED: {n_groups} persons by their names; no two parts share one"
            if n_groups <= LEAST_TRAINED_GROUPS:
                reason = f"GUESSED: {n_groups} persons by their names; too few to validate apart"
        settings.append(Setting("data.groups", pattern, reason))
    if not problem:
        settings.append(Setting("data.validation", VALIDATION, "picks the epoch"))
    return settings, problem


def _reading(dataset: Dataset, measures: Measures, *, in_text_space: bool) -> list[Setting]:
    """Return how rows are read: stride, standardisation and context."""
    stride = round(EPOCHS * measures.frames / MOST_ROWS_READ)
    stride = max(1, min(stride, int(measures.short_segment // ROWS_OF_A_SHORT_SEGMENT)))
    short = f"a short segment has {measures.short_segment:g} rows"
    settings = [Setting("data.stride", stride, f"{measures.frames:,} rows to train on; {short}")]
    if stride > 1:
        reason = "each row is trained in its turn, and predicted"
        settings.append(Setting("data.interleave", True, reason))
    settings.append(_standardize(dataset))

    windows: list[int] = []
    if in_text_space:
        reason = "the head similarity has windows of its own"
    elif measures.is_separable:
        reason = (
            f"a linear classifier gets {measures.separability:.0%} of held-out frames right: "
            "no more columns"
        )
    elif measures.columns <= MOST_COLUMNS:
        # The short window has about half of a short segment, and an odd number of rows.
        target = max(measures.short_segment / 2, ROWS_OF_A_SHORT_SEGMENT)
        window = 2 * int(target / 2) + 1
        windows = [window, LONG_WINDOW * window]
        reason = f"mean and deviation of windows of these rows beside the columns; {short}"
    else:
        reason = f"{measures.columns} columns, as of clips of a video, have their context already"
    settings.append(Setting("data.context", windows, reason))
    return settings


def _standardize(dataset: Dataset) -> Setting:
    """Return the setting that standardises columns far from zero mean and unit deviation.

    Only rows of training videos are sampled, because training fits the standardisation to them.
    """
    rows = []
    for name in dataset.train[:_SAMPLED_VIDEOS]:
        features = dataset.features(name)
        step = max(1, len(features) // _SAMPLED_ROWS)
        rows.append(np.asarray(features[::step], dtype=np.float64))
    table = np.concatenate(rows)  # (N, D)
    mean = float(np.median(np.abs(table.mean(axis=0))))
    deviations = table.std(axis=0)  # (D,)
    deviations = deviations[deviations > 0]  # constant columns need no standardisation
    low = high = 0.0  # if all columns are constant, which counts as uneven
    if deviations.size:
        low = float(deviations.min())
        high = float(deviations.max())
    is_needed = mean > LARGEST_MEAN or low < DEVIATIONS[0] or high > DEVIATIONS[1]
    reason = (
        f"deviations of the columns lie between {low:.3g} and {high:.3g}, means about {mean:.3g}"
    )
    return Setting("data.standardize", is_needed, reason)


def _sizes(measures: Measures) -> list[Setting]:
    """Return the sizes of the model, the penalty of decoding, and augmentation."""
    hidden = WIDTH_STEP * math.ceil((measures.classes + 1 + WIDTH) / WIDTH_STEP)
    factor = PENALTY
    penalty_reason = f"a short segment has {measures.short_segment:g} rows"
    if measures.is_separable:
        factor = PENALTY_IF_SEPARABLE
        penalty_reason = f"{penalty_reason}; scores will be too sure"
    penalty = short_segment_penalty(measures.short_segment, factor)
    width_reason = f"{measures.classes} classes and about {WIDTH} channels of features"
    tokens = 10 * math.ceil(measures.most_segments * SPARE_TOKENS / 10)
    settings = [
        Setting(
            "model.tokens", tokens, f"the most segments of a video are {measures.most_segments}"
        ),
        Setting("model.input.hidden", hidden, width_reason),
        Setting("decode.switch_penalty", penalty, penalty_reason),
    ]
    if measures.is_separable:
        reason = "against features that name the training rows, and not those of a test"
        settings.append(Setting("augment.channels", CHANNELS_DROPPED, reason))
        settings.append(Setting("augment.noise", NOISE, reason))
    return settings
