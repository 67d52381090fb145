"""Settings and data that contradict each other, and refusals that pointed the wrong way: a fourth test, of data and runs."""

from __future__ import annotations

from collections.abc import Iterator

from ..row import Content, Row, array, edited, gone, replaced

TRAIN = "train {w}/tiny.yaml train.epochs=1 --out out"
CONVERT = "data convert --from csv a.csv --unit seconds --fps 5 --out"
CSV = "start,stop,label\n0,40,insert bolt\n"
VIDEO = "person1_video1"
LABELS = f"data/groundTruth/{VIDEO}.txt"
SPLIT = "data split data --overwrite --folds 2"


def _settings() -> Iterator[Row]:
    for what, (options, words) in {
        "a key without its group": ("epochs=3", ("did you mean train.epochs?",)),
        "a null weight between": ("loss.null_weight=-0.5", ("loss.null_weight", "or -1")),
        "heads": ("model.input.heads=3", ("model.input", "action_dim 8", "divisible by heads")),
        "a list torn by the shell": ("data.holdout=[insert", ("data.holdout", "quotes")),
        "objects without parts of names": (
            "data.objects.find=true data.name=folder",
            ("data.objects.slot", "data.grammar"),
        ),
    }.items():
        yield Row(f"contrary setting/{what}", [*TRAIN.split(), *options.split()], words)
    for what, (options, words) in {
        "a stride beyond all": ("data.stride=100000", "data.stride=100000 leaves one row"),
        "unlabelled frames of no video": ("data.unlabelled=[nowhere]", "data.unlabelled names no label"),
    }.items():
        yield Row(f"contrary setting/{what}", f"{TRAIN} {options}", ("warning", words), code=0, leaves=("out*",))
    empty = {"r.yaml": "base: {w}/tiny.yaml\ntrain:\n"}
    yield Row(
        "contrary setting/a group of comments", "train r.yaml --out out", ("1 epochs",), empty, code=0, leaves=("out*",)
    )
    for what, path, words in (
        ("a run", "{w}/run", ("a folder", "run/config.yaml")),
        ("a data set", "{w}/data", ("a folder", "fact-clip data init")),
    ):
        yield Row(f"contrary recipe/{what}", f"train {path} --out out", words)
    yield Row(
        "contrary recipe/out is a file", "train {w}/tiny.yaml --out a", ("a: a file", "another --out"), {"a": "x"}
    )


def _runs() -> Iterator[Row]:
    for what, (command, words) in {
        "a second run": ("evaluate {w}/run {w}/words", ("no '='",)),
        "a stride that was not trained": ("evaluate {w}/run data.stride=2", ("data.stride=2", "train a run")),
        "a rate that was not trained": ("evaluate {w}/run data.fps=5", ("data.fps", "15, as")),
        "a trained class called unseen": (
            ["evaluate", "{w}/words", "data.holdout=[grasp nut]"],
            ("'grasp nut'", "trained on"),
        ),
    }.items():
        yield Row(f"contrary run/{what}", command, words)
    background = "evaluate words --actions-file a.txt"
    yield Row("contrary run/background alone", background, ("only 'no action'",), {"a.txt": "no action\n"}, ("words",))
    yield Row(
        "contrary run/no calibration",
        "evaluate words",
        ("warning", "no calibration.json"),
        {"words/calibration.json": gone},
        ("words",),
        code=0,
        leaves=("words/*",),
    )
    yield Row(
        "contrary run/a sweep into a run",
        "train {w}/tiny.yaml --seeds 0,1 --resume --out run",
        ("run: a run",),
        copies=("run",),
    )
    yield Row(
        "contrary run/resumed with fewer videos",
        "train {w}/tiny.yaml data.standardize=true train.epochs=2 --resume --out run",
        ("other videos to train on",),
        copies=("run",),
        files={"run/run.json": edited("", videos="0" * 16)},
    )
    told = ("train", "{w}/tiny.yaml", "model.head=text", "text.parts=auto", "text.encoder=hash:1", "--out", "out")
    yield Row("contrary run/a choice told before a refusal", told, ("hash:1",))
    yield Row(
        "contrary run/--split of another run",
        "scripts/fact_input_emb_logit_viz --logdir {w}/run --outdir o --split split2",
        ("--split", "split1"),
    )


def _data() -> Iterator[Row]:
    beside = f"data/features/{VIDEO}.json"
    found: dict[str, tuple[dict[str, Content], str, tuple[str, ...]]] = {
        "no classes": ({"data/mapping.txt": ""}, "", ("no classes; expected", '"id name"')),
        "a rate in capitals": ({beside: '{"FPS": 15}'}, "", (f"{VIDEO}.json", "'FPS'", "'fps'")),
        "objects that are not there": ({}, "data.objects.file=o.txt", ("objects: data/o.txt: no such file",)),
        "columns of other objects": (
            {"data/objects.txt": "gear\nnut\nbolt\n"},
            "data.objects.file=objects.txt",
            ("3 columns for 3 objects; expected the 8",),
        ),
    }
    for what, (files, options, words) in found.items():
        yield Row(
            f"contrary data/{what}", f"data check data data.name=workbench {options}", words, files, ("data",), code=1
        )
    frozen = {f"data/features/{VIDEO}.npy": lambda path: path.write_bytes(array([[0.0] * 8] * _rows(path)))}
    yield Row(
        "contrary data/one frame throughout",
        "data check data data.name=workbench",
        ("note: constant", VIDEO),
        frozen,
        ("data",),
        code=0,
    )
    hidden = {"data/groundTruth/._a.txt": "\0", "data/features/._a.npy": "\0"}
    yield Row("contrary data/hidden files", SPLIT, ("written",), hidden, ("data",), code=0, leaves=("data/splits/*",))
    yield Row("contrary data/a pattern as a word", ["data", "split", "{w}/data", "--leave-out", "p(.)"], ("--pattern",))
    yield Row("contrary data/a file as data", "data check {w}/data/mapping.txt", ("mapping.txt: a file",))
    labels = {"a.csv": CSV.replace("label\n", "label,video\n").replace("bolt\n", f"bolt,{VIDEO}\n")}
    yield Row("contrary data/labels that do not fit", f"{CONVERT} data", ("a.csv", "--features"), labels, ("data",))
    two = {"a.npy": array([[1, 2]]), "b.npy": array([[1, 2, 3]])}
    yield Row("contrary data/two widths", "data convert --from npy a.npy b.npy --out o", ("b.npy", "as in a.npy"), two)
    yield Row(
        "contrary data/milliseconds as seconds",
        "data convert --from table a.csv --time t --fps 5 --out o",
        ("which are most", "--unit"),
        {"a.csv": "t,x\n0,1\n200,2\n400,3\n"},
        code=0,
        leaves=("o*",),
    )
    yield Row(
        "contrary data/features are a file",
        f"{CONVERT} o --features {{w}}/a.csv",
        ("--features", "a file"),
        {"a.csv": CSV},
    )
    yield Row(
        "contrary data/names of no class in a file",
        "data holdout {w}/data data.name=workbench --file a.txt",
        ("a.txt", "'insert blot'"),
        {"a.txt": "insert blot\n"},
    )


def _rows(path: object) -> int:
    import numpy as np

    return len(np.load(str(path)))


def _published() -> Iterator[Row]:
    convert = "convert {w}/published.net --config reference.yaml --mapping {w}/data/mapping.txt --background no_action --out o"
    for what, (old, new, words) in {
        "a width that is none": ("hid_dim: 40", "hid_dim: 1e9", ("reference.yaml", "model.input.hidden")),
        "text that the weights lack": (
            "dataset: breakfast",
            "use_clip: true\ndataset: breakfast",
            ("text_embeddings",),
        ),
        "perhaps a text head": ("dataset: breakfast", "use_clip: perhaps\ndataset: breakfast", ("use_clip",)),
    }.items():
        words_ = convert.replace("no_action", "@").split()
        argv = ["no action" if word == "@" else word for word in words_]
        yield Row(f"contrary weights/{what}", argv, words, {"reference.yaml": replaced(old, new)}, ("reference.yaml",))


def _fifth() -> Iterator[Row]:
    """What the next sample found."""
    yield Row("fifth/a video that is not there", "segment gone.mp4 --run {w}/run --out o", ("gone.mp4", "no such file"))
    yield Row("fifth/an address", "segment http://127.0.0.1:9/v.mp4 --run {w}/run --out o", ("v.mp4", "no such file"))
    yield Row(
        "fifth/matching by a transcript without one", f"{TRAIN} loss.match=seq", ("loss.match", "model.transcript")
    )
    yield Row("fifth/axes", "data convert --from npy {w}/data/features/person1_video1.npy --axes TDX --out o", ("--axes", "TDX"))  # fmt: skip
    yield Row("fifth/labels that are a folder", "data check data data.name=workbench", ("a folder",), {LABELS: gone, f"{LABELS}/x": ""}, ("data",), 1)  # fmt: skip


ROWS = (*_settings(), *_runs(), *_data(), *_published(), *_fifth())
