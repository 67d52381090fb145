"""The commands of the program. They are not imported here, so that --help is quick."""

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "fact_clip.cli.demo:demo",
        "Try the main features on real data: recognise actions from their names.",
    ),
    "train": (
        "fact_clip.cli.train:train",
        "Train a model into a run folder.",
    ),
    "evaluate": (
        "fact_clip.cli.evaluate:evaluate",
        "Evaluate a run on a split.",
    ),
    "report": (
        "fact_clip.cli.report:report",
        "Write a report page or plots of one or more runs.",
    ),
    "extract": (
        "fact_clip_batch.commands.extract:extract",
        "Turn videos into feature files.",
    ),
    "segment": (
        "fact_clip_batch.commands.segment:segment",
        "Segment videos into actions.",
    ),
    "decode": (
        "fact_clip.cli.decode:decode",
        "Turn frame scores of any model into segments.",
    ),
    "batch status": (
        "fact_clip_batch.commands.batch:status",
        "Count finished, missing, failed and abandoned inputs in an --out folder.",
    ),
    "batch gather": (
        "fact_clip_batch.commands.batch:gather",
        "Write the segments of an --out folder to one table.",
    ),
    "share": (
        "fact_clip.cli.share:share",
        "Upload a run to the Hugging Face hub, with a model card.",
    ),
    "app": (
        "fact_clip_app.commands.app:app",
        "Open a page to label videos, train on the labels, and correct predictions.",
    ),
    "summary": (
        "fact_clip_app.commands.summary:summary",
        "Tabulate durations and counts of actions, and the agreement of two labellings.",
    ),
    "project import": (
        "fact_clip_app.commands.project:import_files",
        "Add videos to a project of the labelling page, and load label files.",
    ),
    "project export": (
        "fact_clip_app.commands.project:export",
        "Write the labels of a project.",
    ),
    "convert": (
        "fact_clip_compat.commands:convert",
        "Convert a published checkpoint to a run folder.",
    ),
    "data check": (
        "fact_clip.cli.data_check:check",
        "Check a data set, and print one line per fault.",
    ),
    "data convert": (
        "fact_clip.cli.data_convert:convert",
        "Convert annotations and features to the common layout, or label files to other formats.",
    ),
    "data holdout": (
        "fact_clip.cli.data_holdout:holdout",
        "Choose classes to hold out, or describe a choice.",
    ),
    "data summary": (
        "fact_clip.cli.data_summary:summary",
        "Count the contents of a data set.",
    ),
    "data split": (
        "fact_clip.cli.data_split:split",
        "Divide the videos into training and test videos.",
    ),
    "data sample": (
        "fact_clip.cli.data_sample:sample",
        "Write a sample data set: real recordings or synthetic videos.",
    ),
    "data init": (
        "fact_clip.cli.data_init:init",
        "Write a recipe for your own data set.",
    ),
}
"""Command -> its function, and the first line of its help."""

GROUPS = {
    "batch": "Manage batches of extract and segment.",
    "data": "Create, check, convert and describe data sets.",
    "project": "Manage projects of the labelling page.",
}
