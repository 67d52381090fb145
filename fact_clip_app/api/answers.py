"""Bodies of answers as types: the schema of the API, and what mypy checks of the routes."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from fact_clip.core import Json
from fact_clip.core.decode_settings import DecodeSettings
from fact_clip_app.api.decoding_controls import Control
from fact_clip_app.store.project import Track
from fact_clip_app.workspace.class_colours import Look
from fact_clip_app.workspace.drafts import Draft

Progress = Literal["complete", "started", "unlabelled"]
Figures = dict[str, float | None]
"""Figures in percent; null where there is nothing to compute one from."""


# Keys of the page that are not names in this package.
_FaultKeys = TypedDict("_FaultKeys", {"place": NotRequired[int]})
_WorkKeys = TypedDict("_WorkKeys", {"place": int})
_ModelKeys = TypedDict("_ModelKeys", {"chosen": str})


class Empty(TypedDict):
    """Nothing."""


class Fault(_FaultKeys):
    """An error in one line, and what belongs to it."""

    error: str
    taken: NotRequired[str]
    replaces: NotRequired[dict[str, int]]
    track: NotRequired[Json]


class Health(TypedDict):
    """The server answers."""

    status: str


class Curves(TypedDict):
    """The names of the columns that a video can show as curves, and of those that it shows."""

    columns: list[str]
    drawn: list[str]


class CurveOutline(TypedDict):
    """The extremes of a curve in bins of time, null where it has no value, and of all of it."""

    name: str
    low: list[float | None]
    high: list[float | None]
    least: float
    most: float


class CurveOutlines(TypedDict):
    """The outlines of the curves of a video between two times."""

    start: float
    stop: float
    curves: list[CurveOutline]


class UploadedFile(TypedDict):
    """An uploaded file: its key for later requests and its name."""

    file: str
    name: str


class AddedVideo(TypedDict):
    """The id of a new video."""

    video: str


class Work(_WorkKeys):
    """The progress of a job, and its place among those that wait (0: it does not)."""

    state: Literal["waiting", "running", "done", "failed"]
    done: int
    total: int
    note: str
    error: str


class Computation(Work):
    """A segmentation that is not finished; ask for /api/segment/JOB."""

    job: str


class Span(TypedDict):
    """A segment in frames."""

    start: int
    stop: int
    label: str


class TimedSpan(Span):
    """A segment in frames and seconds (null: unknown), with its confidence."""

    start_seconds: float | None
    stop_seconds: float | None
    confidence: float | None


class Segmentation(TypedDict):
    """The segments of a video, as files of JSON have them (docs/formats.md)."""

    format: int
    fps: float | None
    n_frames: int
    segments: list[TimedSpan]
    media: NotRequired[str]
    video_fps: NotRequired[float]
    background: NotRequired[list[str]]
    new_words: NotRequired[list[Json]]
    times: NotRequired[list[float]]


class ActionState(TypedDict):
    """A class, and how many segments and videos have it. Its id stays when the name changes."""

    id: str
    name: str
    colour: int
    key: str
    description: str
    paint: str
    point: bool
    background: bool
    count: int
    videos: int
    removed: int  # segments in removed videos


class VideoFacts(TypedDict):
    """The properties of a video in all responses."""

    id: str
    name: str
    revision: int
    complete: bool
    progress: Progress
    duration: float
    media: Literal["original", "proxy", "converting", "failed"] | None
    conversion: Work | None
    job: Work | None


class VideoState(VideoFacts):
    """A video in the list of videos."""

    labels: int
    share: float  # of the frames of the tracks with labels that are labelled
    annotators: list[str]
    predicted: bool
    tests: bool  # whether it is set aside to test models


class NamedVideo(TypedDict):
    """A video by name."""

    id: str
    name: str


class ProjectState(TypedDict):
    """The project."""

    folder: str
    name: str
    blind: bool
    blind_owner: str  # who has switched it on, or ""


class ModelState(_ModelKeys):
    """The model in use, and the others of the project."""

    title: str
    exists: bool
    can_learn: bool
    models: list[str]


class State(TypedDict):
    """Everything but the segments, with the settings that the model has, and their defaults."""

    project: ProjectState
    model: ModelState
    actions: list[ActionState]
    colours: dict[str, Look]
    background: list[str]
    unseen: list[str]
    adjust: DecodeSettings
    sliders: dict[str, Control]
    adjustable: list[str]
    defaults: dict[str, float]
    videos: list[VideoState]
    removed: list[NamedVideo]
    training: Work | None
    runs: dict[str, Json]
    formats: list[str]
    fields: list[str]  # names of the fields of videos
    actions_revision: str
    stamp: str


class Steps(TypedDict):
    """What a person would undo and redo."""

    undo: str | None
    redo: str | None


class Video(VideoFacts, Steps):
    """A video with its tracks and drafts, in frames."""

    tracks: list[Track]
    draft_track: int | None  # the track that drafts are for
    drafts: list[Draft]
    problem: str  # why there are no drafts, or ""
    unseen: list[str]
    background: list[str]
    colours: dict[str, Look]
    new_words: list[str]
    command: str
    times: NotRequired[list[float]]
    imported: NotRequired[dict[str, int]]
    warnings: NotRequired[list[str]]


class Trial(TypedDict):
    """What loading a label file would change: segments of tracks, and new classes."""

    tracks: dict[str, int]
    replaces: dict[str, int]
    classes: list[str]
    warnings: list[str]


class Clip(Span):
    """A segment or a draft, which has a confidence in place of an origin."""

    video: str
    name: str
    track: int
    time: float
    seconds: float
    confidence: NotRequired[float | None]
    origin: NotRequired[str]
    comment: NotRequired[str]
    annotator: NotRequired[str]


class Clips(TypedDict):
    """The first segments in an order."""

    segments: list[Clip]


class OpenStretch(TypedDict):
    """An unlabelled stretch of a track, and the labelled actions around it (null: none).

    `distance` tells how different it is from the stretch before it in its group, and `guess` is
    the name that a model and the neighbours give it.
    """

    video: str
    name: str
    track: int
    track_name: str
    start: int
    stop: int
    time: float
    seconds: float
    last_action: str | None
    next_action: str | None
    distance: float
    guess: NotRequired[str]


class StretchGroup(TypedDict):
    """Unlabelled stretches that belong together."""

    stretches: list[OpenStretch]


class Groups(TypedDict):
    """Groups of unlabelled stretches, those with most seconds first.

    `n_omitted` counts the shortest stretches, which are left out if a project has very many, and
    `without_features` names videos that were grouped by neighbours and lengths only.
    """

    groups: list[StretchGroup]
    n_omitted: int
    without_features: list[str]


class Filled(TypedDict):
    """How many stretches got a label, and how many did not.

    `taken` have labels by now, or their track is marked as fully labelled. `gone` belong to tracks
    or videos that were removed.
    """

    labelled: int
    taken: int
    gone: int


class Summary(TypedDict):
    """Rows of tables: how long and how often, and what follows what.

    `several` are the videos that count once for each of their labelled tracks, `unrated` those
    without a row, and `unowned` those of them that somebody unknown has marked as fully labelled.
    `bins` is there if the request has the seconds of a bin.
    """

    time: list[Json]
    transitions: list[Json]
    bins: NotRequired[list[Json]]
    several: list[str]
    unrated: list[str]
    unowned: list[str]


class OpenVideo(NamedVideo):
    """A video that is labelled to a second, and not complete."""

    labelled_to: float
    duration: float


class Incomplete(TypedDict):
    """Videos with parts that are neither labelled nor marked as background.

    `points` are the point events that are not trained on, since their videos have segments, too.
    """

    videos: list[OpenVideo]
    points: int


class Omissions(TypedDict):
    """What figures of agreement leave out.

    Names of `one_sided` are background on both sides, although only one side calls them so.
    """

    unrated_seconds: float  # that not both sides have labelled
    points: int  # point events of both sides, which have no duration
    one_sided: list[str]


class AgreementOmissions(Omissions):
    """What figures of agreement over all videos leave out."""

    videos: list[str]  # names of those that one side has labelled, or without common states
    unowned: list[str]  # those of them that somebody unknown has marked as fully labelled


class VideoAgreement(NamedVideo):
    """The agreement in one video."""

    figures: Figures
    omissions: Omissions


class Confusion(TypedDict):
    """Seconds with one name in the first (rows) and another in the second labelling (columns)."""

    names: list[str]
    seconds: list[list[float]]


class Agreement(TypedDict):
    """The agreement of two sides over all videos that both labelled."""

    videos: list[VideoAgreement]
    figures: Figures
    seconds: float  # that are compared
    omissions: AgreementOmissions
    confusion: Confusion
    shared: list[str]  # names of videos that are left out, as people share a track


class Overview(TypedDict):
    """The progress of a project, as a person sees it."""

    videos: int
    complete: int  # videos of which all tracks are
    people: list[str]
    kappa: float | None  # of two people who labelled the same videos
    alpha: float | None  # Krippendorff's, of three people or more
    omissions: AgreementOmissions | None  # what kappa or alpha leaves out
    sentence: str  # for the methods section of a paper


class TimelineRow(TypedDict):
    """A row of a timeline."""

    name: str
    segments: list[Span]


class Compared(TypedDict):
    """The agreement of two labellings of a video, and a timeline of both."""

    figures: Figures
    seconds: float  # that are compared
    omissions: Omissions
    rows: list[TimelineRow]
    colours: dict[str, Look]
    warnings: NotRequired[list[str]]
