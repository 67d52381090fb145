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
        argument("SCORES", "A folder of scores for each model: NAME.npy, .npz or .csv, (T, C)."),
    ],
    *,
    training_labels: Annotated[
        Path,
        option("Data set: mapping.txt names the columns, the training list the labelled videos."),
    ],
    out: Annotated[Path, option("Folder to write to.")],
    fps: Annotated[float | None, option("Rows of the scores a second.", min=1e-6, max=1e6)] = None,
    label_fps: Annotated[
        float | None,
        option("Frames a second of the labels. Default: the data set's, else as --fps.", min=1e-6),
    ] = None,
    split: Annotated[
        str | None,
        option("Split whose training list is read. Default: the split of DIR/recipe.yaml, else 1."),
    ] = None,
    kind: Annotated[
        Literal["probabilities", "logits", "log-probabilities"] | None,
        option("What the scores are. Default: recognised by the values."),
    ] = None,
    switch_penalty: Annotated[
        float | None,
        option("Penalty in nats for a usual change of action. Default: by the labels.", min=0),
    ] = None,
    order: Annotated[
        float, option("How far the penalty depends on the order in the labels.", min=0)
    ] = 4.0,
    durations: Annotated[
        float, option("Weight of how long each action lasts in the labels; 0 ignores it.", min=0)
    ] = 1.0,
    always: Annotated[
        bool, option("Put in each action that nearly every labelled video has.", "--always")
    ] = False,
    returns: Annotated[
        bool, option("Keep actions that hardly ever come back to one visit.", "--returns")
    ] = False,
    with_background: Annotated[
        bool, option("Keep background in files that leave it out.", "--with-background")
    ] = False,
    overwrite: Annotated[bool, option("Replace what is there.", "--overwrite")] = False,
    formats: Annotated[
        str | None, option("csv, json, eaf, ...: docs/formats.md. Default: csv.", "--format")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn frame scores of any model into segments.

    Changes of action cost as the training labels say: a usual change little, a rare one more. An
    action lasts about as long as there.
    Scores are probabilities, logits or log-probabilities. Of several models their mean is decoded
    (docs/decode.md).

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
        raise InputError("--label-fps", "the rate of the scores is not known", "give --fps too")
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
        raise InputError(folder.root, problem, "label some in each frame, or set --switch-penalty")
    if len(labelled) < len(training):
        n_clicked = len(training) - len(labelled)
        note(f"{n_clicked} training videos have clicks, which show no borders: they are left out")
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
                fix = "name another folder, or say --overwrite"
                raise InputError(path, "it exists already", fix)
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
