"""Labelled videos of a project as a data set."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fact_clip.core import BACKGROUND, NONE_OF_THESE, Array, Floats, InputError, Names, Rating
from fact_clip.core.io import read_mapping
from fact_clip.core.messages import join_names
from fact_clip.datasets.dataset import Dataset
from fact_clip.datasets.labels import UNLABELLED
from fact_clip.inference.segmenter import Segmenter
from fact_clip.runs.run import Run
from fact_clip.runs.seen import features_digest, video_digest
from fact_clip_app.results.ratings import rating_of
from fact_clip_app.store.project import ROLES, Label, LabelFacts, Unlabelled, VideoEntry
from fact_clip_app.teach.training_set import TrainingSet
from fact_clip_app.workspace.drafts import click_labels
from fact_clip_app.workspace.engine import rows_of, run_of
from fact_clip_app.workspace.jobs import Job
from fact_clip_app.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

FIRST_VIDEOS = 50
"""Training videos of a run that a model taught from it sees again, at most."""

TEST_EVERY = 4
"""Of this many labelled videos, one is a test video."""


Answer = Callable[[str], Unlabelled | None]
"""The id of a video -> what its unlabelled frames are, or None if that is not said."""


@dataclass(frozen=True)
class LabelledVideo:
    """A video to measure a model on."""

    features: Array  # (T, D)
    rows: Floats  # (T + 1,) seconds at which rows start, and the end
    labels: list[str]  # (T,), background as `BACKGROUND`
    lost: Names = ()  # the class of each segment that does not cover the middle of any row


@dataclass(frozen=True)
class Example:
    """A labelled video with its labels on the track of a training."""

    video: VideoEntry
    labels: list[Label]
    complete: bool  # whether the track is
    track: int

    def track_name(self, workspace: Workspace) -> str:
        """Return the name that the track has now, or "" if it is gone."""
        return workspace.project.tracks(self.video.id).get(self.track, "")

    @property
    def is_clicked(self) -> bool:
        """Return whether its labels are only point events, one in each segment."""
        return all(label.start == label.stop for label in self.labels)

    @property
    def is_open(self) -> bool:
        """Return whether the meaning of its unlabelled frames is missing."""
        if self.is_clicked:
            return False
        covered = sum(label.stop - label.start for label in self.labels)
        return not self.complete and covered < self.video.n_frames

    @property
    def labelled_to(self) -> float:
        """Return the seconds from the start of the video to the end of the last label."""
        last_stop = max((label.stop for label in self.labels), default=0)
        return float(self.video.times[last_stop] - self.video.times[0])


def labelled_videos(workspace: Workspace, track: str, viewer: str | None = None) -> list[Example]:
    """Return the videos that have labels on a track with the given name that a person can see."""
    examples = []
    for video in workspace.project.full_videos():
        for candidate in workspace.project.labelled_tracks(video.id, viewer=viewer):
            if candidate.name == track and candidate.is_labelled:
                example = Example(video, candidate.segments, candidate.complete, candidate.id)
                examples.append(example)
    return examples


def unlabelled_videos(workspace: Workspace) -> list[VideoEntry]:
    """Return the videos without a label on any track, which a first model may name.

    In a complete one there is nothing to label.
    """
    videos = []
    facts_of = workspace.project.label_facts()
    for video in workspace.project.full_videos():
        facts = facts_of.get(video.id, LabelFacts())
        if not facts.is_labelled and not facts.is_complete:
            videos.append(video)
    return videos


def training_videos(
    workspace: Workspace, track: str, unlabelled: Answer, viewer: str | None = None
) -> list[Example]:
    """Return the labelled videos of a track, without those to skip.

    Args:
        workspace: Open project with its models and work.
        track: Name of the track.
        unlabelled: Meaning of unlabelled frames.
        viewer: Person who looks at the tracks.

    Raises:
        InputError: There are fewer than two, all have only point events, or `unlabelled` lacks
            one that is not complete.
    """
    examples = []
    for example in labelled_videos(workspace, track, viewer):
        if not example.is_open or unlabelled(example.video.id) != "skip":
            examples.append(example)
    check_number([example for example in examples if example.labels])
    n_points = untrained_points(examples)
    if n_points:
        logger.warning("%d point events in videos with segments are not trained on", n_points)
    if all(example.is_clicked for example in examples):
        fix = "label one with segments: it is set aside to test the model"
        raise InputError("train", "no video has segments", fix)
    for example in examples:
        if example.is_open and unlabelled(example.video.id) is None:
            problem = f"labelled to {example.labelled_to:.1f} s of {example.video.duration:.1f} s"
            fix = "say whether the rest is background or unlabelled, or skip the video"
            raise InputError(example.video.name, problem, fix)
    return examples


def untrained_points(examples: Iterable[Example]) -> int:
    """Return the number of point events in videos that have segments, too."""
    n_points = 0
    for example in examples:
        if not example.is_clicked:
            n_points += sum(label.start == label.stop for label in example.labels)
    return n_points


def check_number(examples: Sequence[Example]) -> None:
    """Raise an InputError if there are fewer than two videos."""
    if len(examples) < 2:
        problem = "only 1 video is labelled" if examples else "no video is labelled"
        fix = "label two or more: one is set aside to test the model"
        raise InputError("train", problem, fix)


def export_set(
    workspace: Workspace,
    track: str,
    root: Path,
    unlabelled: Unlabelled | None = None,
    viewer: str | None = None,
) -> None:
    """Write the labelled videos of a track as a data set with a test split.

    Args:
        workspace: Open project with its models and work.
        track: Name of the track.
        root: Folder of the data set.
        unlabelled: Meaning of unlabelled frames in videos that are not complete.
        viewer: Person who looks at the tracks.

    All background is named BACKGROUND, by which `fact-clip data init` knows it.

    Raises:
        InputError: There are fewer than two videos, or `unlabelled` is missing.
    """
    examples = training_videos(workspace, track, lambda video: unlabelled, viewer)
    background = tuple(dict.fromkeys([BACKGROUND, *workspace.project.background]))
    write_set(
        workspace,
        examples,
        root,
        model=None,
        unlabelled=lambda _: unlabelled,
        background=background,
        job=Job("export"),
        stores=False,
    )


def assign_roles(
    examples: Sequence[Example], stored: Mapping[str, bool], learned_ids: Collection[str] = ()
) -> dict[str, bool]:
    """Decide which labelled videos test a model.

    A video keeps its role, so that the model before is tested, too. Only if no other is left, a
    video changes it.

    Args:
        examples: Labelled videos.
        stored: Earlier roles, by the id of a video.
        learned_ids: Ids of videos that the starting run has seen.

    Returns:
        The roles, including those of other videos.

    Raises:
        InputError: No video can test the model.
    """
    full = [
        example.video.id
        for example in examples
        if not example.is_clicked and example.video.id not in learned_ids
    ]
    if not full:
        fix = "label another video with segments, or train a new model"
        raise InputError("train", "the run in use has seen all videos that could test it", fix)
    trained = [example.video.id for example in examples if example.video.id not in full]
    roles = {**stored, **dict.fromkeys(trained, False)}
    n_videos = sum(video in roles for video in full)
    n_tests = sum(roles.get(video, False) for video in full)
    for video in full:
        if video not in roles:
            n_videos += 1
            roles[video] = n_tests < (n_videos + 2) // TEST_EVERY or len(full) == 1
            n_tests += roles[video]
    if n_tests == 0:
        roles[full[-1]] = True
    elif n_tests == len(examples):
        roles[full[0]] = False
    return roles


def write_set(
    workspace: Workspace,
    examples: Sequence[Example],
    root: Path,
    model: Segmenter | None,
    unlabelled: Answer,
    background: Names,
    job: Job,
    helpers: Sequence[VideoEntry] = (),
    *,
    stores: bool = True,
) -> list[LabelledVideo]:
    """Write labelled videos as a data set, encoding those without features.

    Args:
        workspace: Open project with its models and work.
        examples: Labelled videos.
        root: Folder of the data set.
        model: Model that learns from the set and whose training videos are added, or None.
        unlabelled: Meaning of unlabelled frames in each video that is not complete.
        background: Names of labels that mean no action.
        job: Job that receives the progress.
        helpers: Videos without labels that are added to the training videos.
        stores: Whether the videos keep their roles. They do not if a test video is missing.

    Returns:
        The test videos.
    """
    run = run_of(model)
    record = None if run is None else run.seen_by_all()
    files: dict[str, Path] = {}  # by digest, in the order of the examples
    learned_ids = []
    for example in examples:
        video = example.video
        features = workspace.engine.encode(video, model or workspace.engine.model(), job)
        array, _ = workspace.engine.open_features(video, features, model)
        digest = features_digest(array)
        if digest in files:
            problem = "the same features as another labelled video"
            raise InputError(video.name, problem, "remove one of the two")
        files[digest] = features
        if record is not None and record.find(array) is not None:
            learned_ids.append(video.id)
    stored = workspace.project.setting(ROLES, {})
    roles = assign_roles(examples, stored, learned_ids)
    used = {example.video.id for example in examples}
    testing = {video.id for video in workspace.project.videos() if stored.get(video.id)}
    if stores and testing <= used:
        workspace.project.set(ROLES, roles)

    training_set = TrainingSet(root, run)
    is_test: dict[str, bool] = {}  # by name in the set
    if run is not None:
        digests = {*_digests(workspace, model)}
        is_test |= dict.fromkeys(_add_first_videos(training_set, run, digests), False)
    test_videos = []
    trained: set[str] = set()
    tested: set[str] = set()
    n_lost = Counter[str]()
    for example, features in zip(examples, files.values(), strict=True):
        video = example.video
        is_complete = example.complete or unlabelled(video.id) == "background"
        rating = rating_of(video, example.labels, background, is_complete=is_complete)
        name, labelled = _add_labelled_video(
            workspace, training_set, video, rating, features, model
        )
        n_lost.update(labelled.lost)
        is_test[name] = roles[video.id]
        if is_test[name]:
            test_videos.append(labelled)
            tested |= {*labelled.labels}
        else:
            trained |= {*labelled.labels}
    _check_lost(n_lost, trained | tested)
    untaught = tested - trained - {BACKGROUND, UNLABELLED}
    if helpers and untaught:
        # else it would be the only name for what is left of videos that are labelled in part
        problem = f"a first model cannot learn {min(untaught)!r}, which occurs only in test videos"
        fix = "label it in another video, or leave the videos without labels out"
        raise InputError("train", problem, fix)
    for video in helpers:
        features = workspace.engine.encode(video, model or workspace.engine.model(), job)
        array, _ = workspace.engine.open_features(video, features, model)
        is_labelled = features_digest(array) in files
        if not is_labelled and (record is None or record.find(array) is None):
            nothing = rating_of(video, [], background, is_complete=False)
            name, _ = _add_labelled_video(workspace, training_set, video, nothing, features, model)
            is_test[name] = False
    test = [name for name in is_test if is_test[name]]
    train = [name for name in is_test if not is_test[name]]
    training_set.finish(test, train)
    return test_videos


def _check_lost(n_lost: Counter[str], names: Collection[str]) -> None:
    """Warn of segments that cover no row. Raise an InputError if a class has no other ones."""
    missing = sorted({*n_lost} - {*names})
    if missing:
        problem = f"all segments of {join_names(map(repr, missing))} are shorter than a row"
        fix = "use features of more rows per second, or delete these segments"
        raise InputError("train", problem, fix)
    if n_lost:
        message = "%d segments are shorter than a row of features, and are not trained on: %s"
        logger.warning(message, n_lost.total(), join_names(sorted(n_lost)))


def _row_labels(rating: Rating, rows: Floats) -> tuple[list[str], Names]:
    """Return the label at the middle of each row, and the classes of states that have no row.

    A rating that reaches from the first frame to the last holds for rows outside of them, too.
    """
    if rating.rated == ((rating.start, rating.end),):
        rating = replace(rating, rated=((-math.inf, math.inf),))
    middles = (rows[1:] + rows[:-1]) / 2  # (T,)
    lost = []
    for state in rating.actions:
        first, last = np.searchsorted(middles, [state.start, state.stop])
        if first == last:
            lost.append(state.label)
    return rating.labels_at(middles), tuple(lost)


def _add_labelled_video(
    workspace: Workspace,
    training_set: TrainingSet,
    video: VideoEntry,
    rating: Rating,
    features: Path,
    model: Segmenter | None,
) -> tuple[str, LabelledVideo]:
    """Add a video to a training set. Point events without states are clicks.

    All background has the first name that the run of the set has for it, or else the rating.

    Args:
        workspace: Open project with its models and work.
        training_set: Training set to extend.
        video: Video to add.
        rating: Labels of the video.
        features: Feature file of the video.
        model: Model that reads the features, or None.

    Returns:
        The name in the set, and the labels of the rows, in which background is `BACKGROUND`.
    """
    array, clock = workspace.engine.open_features(video, features, model)
    rows = rows_of(video, features, clock, len(array))
    backgrounds = rating.background
    is_clicked = bool(rating.points) and not rating.states
    lost: Names = ()
    if is_clicked:
        names = click_labels(rating.points, rows)
    else:
        names, lost = _row_labels(rating, rows)
    run = training_set.run
    background = backgrounds[0]
    if run is not None:
        vocabulary = run.vocabulary
        background = next(iter(vocabulary.background), BACKGROUND)
        differing = {*vocabulary.background} ^ {*backgrounds}
        for name in sorted(differing & {*vocabulary} & {*names}):
            problem = f"{name!r} is an action here, and background of the run"
            if name in backgrounds:
                problem = f"{name!r} is background here, and an action of the run"
            fix = "tick or untick Background, or give it another name"
            raise InputError(video.name, problem, fix)
    new_names = {**dict.fromkeys(backgrounds, background), NONE_OF_THESE: UNLABELLED}
    labels = [new_names.get(name, name) for name in names]
    is_labelled = bool(rating.states or rating.points)
    if is_labelled and {*labels} == {UNLABELLED}:
        raise InputError(video.name, "no label covers a row of its features", "label more of it")
    sidecar = features.with_suffix(".json")
    facts = dict(read_mapping(sidecar, "facts of features")) if sidecar.is_file() else {}
    facts.pop("video", None)  # a path of this machine
    if clock.fps is not None:
        facts.setdefault("fps", clock.fps)
    facts.setdefault("n_frames", len(array))
    name = training_set.add(video.name, array, labels, facts, is_clicked)
    measured = [BACKGROUND if label == background else label for label in labels]
    return name, LabelledVideo(array, rows, measured, lost)


def _digests(workspace: Workspace, model: Segmenter | None) -> Iterable[str]:
    """Yield the digests of the features of all videos of a project, removed ones included."""
    for video in [*workspace.project.videos(), *workspace.project.videos(removed=True)]:
        features = workspace.engine.features(video)
        if features is not None and features.is_file():
            with suppress(InputError):  # of other columns than the run's
                yield features_digest(workspace.engine.open_features(video, features, model)[0])


def _add_first_videos(training_set: TrainingSet, run: Run, digests: Collection[str]) -> list[str]:
    """Add training videos of a run, so that it forgets nothing, and return their names.

    Those whose features have one of `digests` are in the project, with its labels or none.
    """
    try:
        dataset = Dataset.open(run.config.data)
    except InputError:
        logger.warning(
            "the training videos of %s are not there; what it learns now may replace the old",
            run.path,
        )
        return []
    facts = {} if dataset.fps is None else {"fps": dataset.fps}
    classes = [*dataset.vocabulary, UNLABELLED]  # the index -1 is not a label
    names = []
    for video in dataset.train[:FIRST_VIDEOS]:
        features = dataset.features(video)
        if video_digest(dataset, video) in digests:
            continue
        labels = [classes[index] for index in dataset.labels(video).tolist()]
        if {*labels} == {UNLABELLED}:  # its classes are held out
            continue
        clicks = dataset.clicks([video]).get(video)
        if clicks is not None:
            labels = [label if row in clicks else UNLABELLED for row, label in enumerate(labels)]
        is_clicked = clicks is not None
        names.append(training_set.add(video, features, labels, facts, is_clicked))
    return names
