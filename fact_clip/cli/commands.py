"""The commands of the program, named without importing them, so that --help is quick."""

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "fact_clip.cli.demo:demo",
        "Try everything on real recordings: recognise actions without examples, from their names.",
    ),
    "train": (
        "fact_clip.cli.train:train",
        "Train a model into a run folder.",
    ),
    "evaluate": (
        "fact_clip.cli.evaluate:evaluate",
        "Score a run on a split.",
    ),
    "report": (
        "fact_clip.cli.report:report",
        "Write the report of one or more runs: a page to look at, or plots for a paper.",
    ),
    "extract": (
        "fact_clip_batch.commands.extract:extract",
        "Turn videos into feature files.",
    ),
    "segment": (
        "fact_clip_batch.commands.segment:segment",
        "Cut videos into actions.",
    ),
    "decode": (
        "fact_clip.cli.decode:decode",
        "Turn frame scores of any model into segments.",
    ),
    "batch status": (
        "fact_clip_batch.commands.batch:status",
        "Count what is done, missing, failed and set aside in an --out folder.",
    ),
    "batch gather": (
        "fact_clip_batch.commands.batch:gather",
        "Write the segments of an --out folder into one table.",
    ),
    "share": (
        "fact_clip.cli.share:share",
        "Upload a run to the Hugging Face hub, with a model card.",
    ),
    "app": (
        "fact_clip_app.commands.app:app",
        "Open a page to label videos, train on the labels, and correct what a model predicts.",
    ),
    "summary": (
        "fact_clip_app.commands.summary:summary",
        "Say how long, how often and when each action is done, and how far two labellings agree.",
    ),
    "project import": (
        "fact_clip_app.commands.project:import_files",
        "Add videos to a project of the page, and load label files.",
    ),
    "project export": (
        "fact_clip_app.commands.project:export",
        "Write the labels of a project.",
    ),
    "convert": (
        "fact_clip_compat.commands:convert",
        "Turn a published checkpoint into a run folder.",
    ),
    "data check": (
        "fact_clip.cli.data_check:check",
        "Look for faults in a data set: one line each.",
    ),
    "data convert": (
        "fact_clip.cli.data_convert:convert",
        "Convert annotations and features to the common layout.",
    ),
    "data holdout": (
        "fact_clip.cli.data_holdout:holdout",
        "Choose classes to hold out, or look at a choice.",
    ),
    "data summary": (
        "fact_clip.cli.data_summary:summary",
        "Count what a data set holds.",
    ),
    "data split": (
        "fact_clip.cli.data_split:split",
        "Divide the videos into training and test.",
    ),
    "data sample": (
        "fact_clip.cli.data_sample:sample",
        "Write a data set to try things on: real recordings, or synthetic videos.",
    ),
    "data init": (
        "fact_clip.cli.data_init:init",
        "Write a recipe for your own data set.",
    ),
}
"""Command -> its function, and the first line of its help."""

GROUPS = {
    "batch": "Batches of extract and segment.",
    "data": "Make, check, convert and describe data sets.",
    "project": "Projects of the page.",
}
