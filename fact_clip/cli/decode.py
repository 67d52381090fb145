"""fact-clip decode."""

import json
from pathlib import Path
from typing import Annotated, Literal

from fact_clip.cli.arguments import data_config, read_formats
from fact_clip.cli.console import note, table
from fact_clip.cli.options import AsJson, argument, option
from fact_clip.core import InputError
from fact_clip.core.messages import join_names, printable
from fact_clip.core.paths import check_place, file_name, inside


def decode(
    scores: Annotated[
        list[Path],
        argument("SCORES", "Folder of scores per model: NAME.npy, .npz or .csv, (T, C)."),
    ],
    *,
    training_labels: Annotated[
        Path,
        option("Data set with mapping.txt and labelled training videos."),
    ],
    out: Annotated[Path, option("Folder to write to.", panel="Output")],
    fps: Annotated[
        float | None, option("Rows per second of the scores.", min=1e-6, max=1e6)
    ] = None,
    label_fps: Annotated[
        float | None,
        option("Frames per second of the labels. Default: the data set's, or --fps.", min=1e-6),
    ] = None,
    split: Annotated[
        str | None,
        option("Split with the training list. Default: the recipe's, or 1."),
    ] = None,
    kind: Annotated[
        Literal["probabilities", "logits", "log-probabilities"] | None,
        option("Kind of the scores. Default: inferred from the values.", metavar="KIND"),
    ] = None,
    switch_penalty: Annotated[
        float | None,
        option("Nats for a usual change of action. Default: learned.", min=0, panel="Decoding"),
    ] = None,
    order: Annotated[
        float, option("How much the penalty depends on the order.", min=0, panel="Decoding")
    ] = 4.0,
    durations: Annotated[
        float, option("Weight of usual durations; 0 ignores them.", min=0, panel="Decoding")
    ] = 1.0,
    always: Annotated[
        bool,
        option("Insert actions of nearly every labelled video.", "--always", panel="Decoding"),
    ] = False,
    returns: Annotated[
        bool, option("Limit actions that rarely recur to one visit.", "--returns", panel="Decoding")
    ] = False,
    with_background: Annotated[
        bool,
        option("Write background to formats that omit it.", "--with-background", panel="Output"),
    ] = False,
    overwrite: Annotated[
        bool, option("Replace existing files.", "--overwrite", panel="Output")
    ] = False,
    formats: Annotated[
        str | None,
        option("Formats: csv, json, eaf, ... Default: csv.", "--format", panel="Output"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn frame scores of any model into segments.

    The training labels determine how much a change of action costs, so a usual change costs less
    than a rare one, and how long an action lasts. Scores are probabilities, logits or
    log-probabilities. If there are several models, the mean of their scores is decoded. See
    docs/decode.md and docs/formats.md.

    \b
    Example:
      fact-clip decode their_scores --training-labels mydata --fps 15 --out segments
      fact-clip decode model_a model_b --training-labels mydata --format eaf,csv --out segments
    """
    from fact_clip.core import Segmentation
    from fact_clip.core.frames import IGNORED
    from fact_clip.datasets.labels import UNLABELLED, unlabelled
    from fact_clip.datasets.layout import DataFolder
    from fact_clip.datasets.naming import guess_names
    from fact_clip.decoding.other_models import ScoreDecoder, probabilities
    from fact_clip.decoding.score_files import check_square, files_of_models, read_scores
    from fact_clip.formats import save
    from fact_clip.formats.json_file import as_dict

    if label_fps is not None and fps is None:
        raise InputError("--label-fps", "the rate of the scores is unknown", "also give --fps")
    endings = read_formats(formats or "csv")
    videos = files_of_models(scores)
    config = data_config(str(training_labels), None)
    folder = DataFolder(config)
    classes = folder.class_names
    config, _ = guess_names(config, classes, folder.root)
    allowed = [name not in unlabelled(config) for name in classes]
    visible = {IGNORED: UNLABELLED}
    for label, name in enumerate(classes):
        visible[label] = name if allowed[label] else UNLABELLED
    reader = folder.labels(config, classes)
    labelled = []
    training = folder.videos("train", split or str(config.split))
    rate = label_fps or folder.rate(config, training) or fps
    for video in training:
        if folder.is_clicked(video):
            continue
        frames = [visible[label] for label in reader.indices(video)]
        labelled.append(Segmentation.from_frames(frames, rate))
    if training and not labelled and switch_penalty is None:
        problem = "all training videos have clicks, which show no borders"
        raise InputError(folder.root, problem, "label every frame of some, or set --switch-penalty")
    if len(labelled) < len(training):
        n_clicked = len(training) - len(labelled)
        note(f"left out, because clicks show no borders: {n_clicked} training videos")
    taught = [name for name in videos if name in training and not folder.is_clicked(name)]
    if taught:
        note(
            f"{join_names(taught)}: the labels of this video are among the training labels, so the "
            "result is better than on a new video"
        )
    decoder = ScoreDecoder.learned(
        classes,
        labelled,
        fps=fps,
        background=config.background or (),
        switch_penalty=switch_penalty,
        order=order,
        durations=durations,
        always=always,
        returns=returns,
    )
    targets = {}
    for name in videos:
        for form, ending in endings.items():
            path = inside(out, f"{file_name(name)}{ending}")
            if path.exists() and not overwrite:
                fix = "name a different folder, or give --overwrite"
                raise InputError(path, "it already exists", fix)
            check_place(path)
            targets[name, form] = path

    results = {}
    names = decoder.vocabulary.names
    check_square(videos, names)
    for name, paths in videos.items():
        tables = [
            probabilities(read_scores(path, names), path, len(names), kind, square=True)
            for path in paths
        ]
        results[name] = decoder.segmentation(tables, allowed)
        for form in endings:
            target = targets[name, form]
            save(results[name], target, kind=form, with_background=with_background)
    if as_json:
        trees = [{"input": name, **as_dict(result)} for name, result in results.items()]
        print(json.dumps(trees, indent=2))
        return
    rows = [
        {"video": printable(name), "rows": result.n_frames, "segments": len(result)}
        for name, result in results.items()
    ]
    print(table(rows, digits=0))
    learned = f"switching penalty {decoder.penalty:g}, order {order:g}, durations {durations:g}"
    note(learned, f"written: {len(targets)} files in {out}")
