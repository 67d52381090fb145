"""fact-clip project import and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from fact_clip.cli.arguments import check_new, read_formats
from fact_clip.cli.console import note
from fact_clip.cli.options import argument, option
from fact_clip.core import InputError
from fact_clip.core.messages import join_names

if TYPE_CHECKING:
    from fact_clip_app.store.project import VideoEntry
    from fact_clip_app.workspace.workspace import Workspace

Folder = Annotated[Path, argument("PROJECT", "Folder of the project.")]


def import_files(
    project: Folder,
    files: Annotated[list[Path], argument("FILE", "Videos, feature files, and label files.")],
    *,
    replace: Annotated[
        bool, option("Replace the segments of tracks that have some already.")
    ] = False,
) -> None:
    """Add videos to a project of the labelling page, and load label files.

    Videos are referred to, not copied. A label file belongs to the video of its name, VIDEO or, for
    one track, VIDEO.TRACK. It is of any format that the page reads: ELAN, BORIS, VIA, Label Studio,
    CSV, JSON, SRT, VTT, or a label a line. Tiers and subjects become tracks.

    \b
    Example:
      fact-clip project import my_project videos/*.mp4 labels/*.eaf
    """
    from fact_clip.core.io import check_file, read_mapping
    from fact_clip.video.frames import SUFFIXES
    from fact_clip_app.workspace.uploads import FEATURES, ending_of

    media: dict[str, Path] = {}
    features: dict[str, Path] = {}
    labels = []
    for path in files:
        ending = ending_of(check_file(path, "a video, feature file or label file").name)
        stem = path.name[: -len(ending)]
        kind = media if ending in SUFFIXES else features
        if ending not in (*SUFFIXES, FEATURES):
            is_beside = ending == ".json" and path.with_suffix(FEATURES).is_file()
            if not is_beside or "segments" in read_mapping(path, "facts of features, or labels"):
                labels.append((path, stem))
        elif kind.get(stem, path.resolve()) != path.resolve():
            raise InputError(path, f"{kind[stem]} has this name, too", "rename one of them")
        else:
            kind[stem] = path.resolve()
    with closing(_open_workspace(project, is_new=True)) as workspace:
        ids = {}  # by the name of the file
        for stem in {**media, **features}:
            ids[stem] = [_add_video(workspace, stem, media.get(stem), features.get(stem))]
        videos = workspace.project.videos()
        for path, stem in labels:
            matches, track = _videos_of(stem, videos, ids)
            if len(matches) != 1:
                problem = f"{len(matches) or 'no'} videos {stem!r} in the project"
                raise InputError(path, problem, "name the file after one video")
            loaded = _load_labels(workspace, matches[0], path, track, replace=replace)
            print(f"{path}: {loaded}")
    note(f"{project}: {len(videos)} video{'' if len(videos) == 1 else 's'}")


def _add_video(workspace: Workspace, name: str, media: Path | None, features: Path | None) -> str:
    """Add a video, or features to the video of its file or name, and return its id.

    A video of these files that was removed comes back.
    """
    stored = [video for video in workspace.project.videos() if video.name == name]
    for video in [*workspace.project.videos(removed=True), *workspace.project.videos()]:
        if {media, features} & {video.media, video.features} - {None}:
            stored = [video]
    if not stored:
        added = workspace.refer(name, media, features)
        if media is None and workspace.engine.model() is None:
            note(f"{name}: {added.n_frames} rows, {added.duration:.1f} s, read time first")
        return added.id
    for video in stored:
        if media in (None, video.media) and features in (None, video.features):
            workspace.project.change_video(video.id, removed=None)
            return video.id
    (video, *_) = stored
    if len(stored) > 1 or media not in (None, video.media) or video.features is not None:
        problem = f"the project has a video {name!r} of {video.media or video.features}"
        raise InputError(media or features or name, problem, "rename the file")
    workspace.engine.frame_times(video.media, features)  # they must fit
    assert features is not None
    rows = workspace.engine.rows(features)
    workspace.project.change_video(video.id, features=str(features), removed=None, **rows)
    return video.id


def _videos_of(
    stem: str, videos: Sequence[VideoEntry], ids: Mapping[str, list[str]]
) -> tuple[list[str], str | None]:
    """Return the videos that a label file names, and its track, as VIDEO or VIDEO.TRACK.

    Args:
        stem: Name of the file without its ending.
        videos: Videos of the project.
        ids: Videos that were added in this command, by name.
    """
    name = stem
    track = ""
    while True:
        matches = ids.get(name) or [video.id for video in videos if video.name == name]
        if matches or "." not in name:
            return matches, track or None
        name, _, part = name.rpartition(".")
        track = f"{part}.{track}" if track else part


def _load_labels(
    workspace: Workspace, video_id: str, path: Path, track: str | None, *, replace: bool
) -> str:
    """Load a label file and return what was loaded, as text."""
    from fact_clip_app.store.history import Person
    from fact_clip_app.store.label_files import plan

    video = workspace.project.video(video_id)
    assert video is not None
    loading = plan(
        workspace.project, video, path, background=workspace.engine.background, name=track
    )
    for name, count in loading.replaced.items():
        if not replace:
            raise InputError(path, f"track {name} has {count} segments", "name --replace")
    workspace.history.load(video_id, loading, Person(), f"load {path.name}")
    return ", ".join(f"{count} on track {track}" for track, count in loading.counts.items())


def export(
    project: Folder,
    *,
    out: Annotated[Path, option("Folder for the files.", metavar="DIR")],
    formats: Annotated[
        str | None,
        option('Formats, "eaf, csv" (docs/formats.md), or all. Default: csv.', "--format"),
    ] = None,
    with_background: Annotated[bool, option("Write what is not labelled, too.")] = False,
    with_drafts: Annotated[
        bool, option("Write what the model of the project predicts, as the track 'drafts'.")
    ] = False,
    training: Annotated[
        str | None,
        option("Write a data set to train on, by the labels of this track.", metavar="TRACK"),
    ] = None,
    unlabelled: Annotated[
        Literal["background", "ignore", "skip"] | None,
        option(
            "With --training: what the unlabelled frames are of videos that are not marked"
            " complete; skip leaves these videos out."
        ),
    ] = None,
    overwrite: Annotated[
        bool, option("Write into a folder with files, and replace files of the same names.")
    ] = False,
) -> None:
    """Write the labels of a project.

    Each track of each labelled video becomes a file in each format. With --training, the result is
    a data set in the common layout with features and a split, in which every fourth labelled video
    is a test video.

    \b
    Example:
      fact-clip project export my_project --format eaf,csv --out labels
      fact-clip project export my_project --training main --out data && fact-clip data init data
    """
    from fact_clip.formats import FORMATS
    from fact_clip_app.results.label_export import export_files
    from fact_clip_app.teach.labelled_videos import export_set
    from fact_clip_app.workspace.engine import ENCODER

    if training is None and unlabelled is not None:
        raise InputError("--unlabelled", "only --training reads it", "leave it out")
    unread = {
        "--format": formats is not None,
        "--with-background": with_background,
        "--with-drafts": with_drafts,
        "--overwrite": overwrite,
    }
    for name, is_typed in unread.items():
        if training is not None and is_typed:
            raise InputError(name, "--training does not read it", "leave it out")
    if not overwrite:  # the files may have been corrected elsewhere
        check_new(out, "name a new folder, or say --overwrite")
    if formats == "all":
        names = [name for name, form in FORMATS.items() if form.is_installed]
    else:
        names = list(read_formats(formats or "csv"))
    with closing(_open_workspace(project)) as workspace:
        if with_drafts and workspace.engine.model() is None:
            raise InputError("--with-drafts", "the project has no model", "leave it out")
        if training is not None:
            if workspace.engine.model() is None and any(
                video.media for video in workspace.project.videos()
            ):
                note(f"features of films by {ENCODER}; the page makes those of the model in use")
            export_set(workspace, training, out, unlabelled)
            print(out)
            return
        if with_drafts:
            _note_missing_drafts(workspace)
        for path in export_files(
            workspace, out, names, with_background=with_background, with_drafts=with_drafts
        ):
            print(path)


def _note_missing_drafts(workspace: Workspace) -> None:
    """Print the names of the videos that are not encoded."""
    videos = workspace.project.videos()
    names = [video.name for video in videos if workspace.engine.features(video) is None]
    if names:
        note(f"without drafts: {join_names(names)}. Open the project on the page to encode them.")


def _open_workspace(folder: Path, *, is_new: bool = False) -> Workspace:
    """Open a project without a model, which must exist unless `is_new`."""
    from fact_clip.inference.loading import load
    from fact_clip_app.store.database import DATABASE
    from fact_clip_app.store.project import Project
    from fact_clip_app.workspace.engine import Engine
    from fact_clip_app.workspace.uploads import Limits
    from fact_clip_app.workspace.workspace import Options, Workspace

    if not is_new and not (folder / DATABASE).is_file():
        raise InputError(folder, "not a project", "fact-clip project import makes one")
    engine = Engine(Project(folder), None, load, Limits(minutes=float("inf")))
    return Workspace(engine, Options(""))
