"""Parts of installed packages join the tables; what is wrong with one is a line that names its package."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fact_clip
from fact_clip import Segmentation, metrics, plugins
from fact_clip.cli import main
from fact_clip.encoders import FRAME_ENCODERS, TEXT_ENCODERS, frame_encoder, is_local, text_encoder
from fact_clip.formats import FORMATS, READERS, format_called, save
from fact_clip.losses.criterion import LOSSES
from fact_clip.models.heads import HEADS, is_open
from fact_clip.runs.run import Run

from .laws.parts import check_encoder, check_format, check_head
from .refusals import refused, refused_line
from .test_readme import blocks

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "plugin"
STIR = Segmentation.from_frames(["stir", "stir"], fps=5)


def forget_plugins() -> None:
    """Search entry points again."""
    for kind in plugins.KINDS:
        for table in plugins.tables(kind):
            vars(table).pop("plugins", None)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """``install("name", "the code of its module", {"heads": {"mine": "Mine"}})``; give the folder of the package."""

    forget = forget_plugins

    def make(name: str, code: str, parts: dict[str, dict[str, str]]) -> Path:
        folder = tmp_path / "site" / name
        (folder / f"{name}-1.0.dist-info").mkdir(parents=True)
        (folder / f"{name}.py").write_text(code)
        (folder / f"{name}-1.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        lines = [
            line
            for group, names in parts.items()
            for line in (f"[fact_clip.{group}]", *(f"{part} = {name}:{target}" for part, target in names.items()))
        ]
        (folder / f"{name}-1.0.dist-info" / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, name, raising=False)
        forget()
        return folder

    yield make
    monkeypatch.undo()
    forget()


@pytest.fixture
def example(install: Callable[..., Path]) -> Path:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    parts = {
        group.removeprefix("fact_clip."): {name: target.partition(":")[2] for name, target in names.items()}
        for group, names in project["entry-points"].items()
    }
    return install("fact_clip_example", (EXAMPLE / "fact_clip_example.py").read_text(), parts)


def test_parts_join_the_tables(example, tmp_path):
    assert "tiles" in FRAME_ENCODERS
    assert "tiles" not in TEXT_ENCODERS
    assert [*HEADS][-1] == "linear"
    assert len(FORMATS) == len(FORMATS.data) + 1
    assert frame_encoder("tiles:8").name == "tiles:8"
    assert format_called("spans").ending == ".spans"
    path = save(STIR, tmp_path / "a.spans")
    assert path.read_text() == "0\t2\tstir\n"
    assert Segmentation.load(path).to_frames() == STIR.to_frames()


def test_the_laws_find_a_broken_part(example, monkeypatch):
    from fact_clip_example import LinearHead, Tiles

    monkeypatch.setattr(Tiles, "encode_images", lambda self, rows: rows.reshape(len(rows), -1) - rows.mean())
    monkeypatch.setattr(LinearHead, "forward", lambda self, x, *_: (x, self.score(x + x.mean(1, keepdim=True))))
    for check in (lambda: check_encoder("tiles"), lambda: check_head("linear")):
        with pytest.raises(AssertionError):
            check()


def _n_videos(truth: list[np.ndarray], prediction: list[np.ndarray]) -> int:
    return len(truth)


WRONG = """
from fact_clip.formats import Format, FORMATS
head = dict
form = Format(".csv", print)
nothing = 3
"""


@pytest.mark.parametrize("code", ['raise RuntimeError("no licence")', 'raise SystemExit("no licence")'])
def test_a_broken_plugin_is_an_error_only_where_it_is_used(code, install, tmp_path):
    install("broken", code, {"encoders": {"lost": "X"}, "heads": {"lost": "X"}, "formats": {"lost": "X"}})
    assert save(STIR, tmp_path / "a.csv").is_file()
    assert [*HEADS] == [*HEADS.data]
    assert "lost" in HEADS
    for use in (
        lambda: frame_encoder("lost"),
        lambda: text_encoder("lost:x"),
        lambda: HEADS["lost"],
        lambda: format_called("lost"),
        lambda: save(STIR, tmp_path / "a.lost"),
        lambda: READERS["lost"],
    ):
        with refused("plug-in 'lost' of broken 1.0") as refusal:
            use()
        assert "no licence" in refusal.message
    assert not is_open("lost")


def test_a_plugin_replaces_no_built_in_part(install):
    install("other", WRONG, {"heads": {"text": "head"}, "formats": {"table": "form"}})
    assert HEADS["text"] is fact_clip.models.HEADS.data["text"]
    with refused() as refusal:
        FORMATS["table"]
    assert "other 1.0" in refusal.message


@pytest.mark.parametrize("metric", [lambda truth, prediction: {}["x"], lambda truth, prediction: {"a": "b"}])
def test_a_metric_that_fails_is_named(metric, registry):
    fact_clip.register("metric", "mine")(metric)
    with refused("metric 'mine'"):
        metrics.evaluate([[0]], [[0]])


def test_two_packages_of_one_name(install):
    for name in ("first", "second"):
        install(name, "from fact_clip.models.heads import ClosedSetHead as Mine", {"heads": {"mine": "Mine"}})
    with refused("plug-in 'mine' of first 1.0"):
        HEADS["mine"]


def test_a_run_names_the_head_that_it_lacks(example, tiny, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    fact_clip.training.train(tiny(model={"head": "linear"}, train={"epochs": 1}), run)
    assert fact_clip.load(run, "cpu").segment(np.zeros((20, 8), np.float32)).n_frames == 20
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(example)])
    forget_plugins()
    with refused("config.yaml, model.head"):
        fact_clip.load(run, "cpu")
    code = main(["segment", "--run", str(run), "a.npy"])
    assert "'linear'" in refused_line((code, *capsys.readouterr()))


def test_a_run_names_the_encoder_that_it_lacks(example, tiny_run, tmp_path, video, monkeypatch):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"encoder": "tiles:2"}))
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(example)])
    forget_plugins()
    segmenter = fact_clip.load(run, "cpu")  # features need no encoder
    with refused("frame encoder"):
        segmenter.segment(video("a.mkv", 20))


def test_a_path_after_the_name_of_a_plugin_needs_trust(tmp_path):
    assert is_local(f"tiles:{tmp_path}")
    assert not is_local("tiles:8")


def test_nothing_is_looked_up_before_a_name_is_missing():
    code = (
        "from fact_clip.core import plugins\nplugins.PluginTable.plugins = None\n"
        "import fact_clip.formats, fact_clip.encoders, fact_clip.models\n"
        "from fact_clip.models.heads import HEADS\nHEADS['text'], 'grid' in fact_clip.encoders.FRAME_ENCODERS\n"
        "fact_clip.models.heads.is_open('closed')\nfact_clip.formats.format_called('csv')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_the_scripts_of_the_docs_run(registry):
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    scripts = [block.code for block in blocks(page) if block.language == "python"]
    assert len(scripts) == 1
    for script in scripts:
        exec(compile(script, "docs/extending.md", "exec"), {})


@pytest.mark.slow
def test_the_example_package_obeys_the_laws_from_its_wheel(tmp_path):
    """In an empty environment that reaches this one by a .pth, as that of `make lowest-any`."""
    shutil.copytree(EXAMPLE, tmp_path / "plugin")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "-w", tmp_path, tmp_path / "plugin"], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    wheel = next(tmp_path.glob("fact_clip_example-*.whl"))
    put = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run(put, check=True)
    (site / "base.pth").write_text("\n".join([str(ROOT), *(path for path in sys.path if "site-packages" in path)]))
    python, plugin = tmp_path / "venv" / "bin" / "python", tmp_path / "plugin"
    (plugin / "fact_clip_example.py").unlink()  # the wheel has it
    tests = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", plugin], capture_output=True, text=True, cwd=plugin
    )
    assert re.search(r"^3 passed", tests.stdout, re.MULTILINE), tests.stdout + tests.stderr


# --- parts of this program --------------------------------------------------------------------------------


@pytest.fixture
def registry() -> Iterator[None]:
    """Forget what a test registers."""
    tables = [table for kind in plugins.KINDS for table in plugins.tables(kind)]
    stored = [(dict(table.data), dict(table._objects)) for table in tables]
    yield
    for table, (rows, objects) in zip(tables, stored, strict=True):
        table.data = rows
        table._objects = objects


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the example, which is not installed."""
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.delitem(sys.modules, "fact_clip_example", raising=False)
    return importlib.import_module("fact_clip_example")


def test_parts_are_registered_by_name_and_taken_as_objects(registry, parts):
    LinearHead, Tiles = parts.LinearHead, parts.Tiles

    fact_clip.register("encoder", "tiles")(Tiles)
    assert frame_encoder("tiles:8").name == "tiles:8"
    assert "tiles" not in TEXT_ENCODERS

    @fact_clip.register("encoder", "mean")
    def mean(images: np.ndarray) -> np.ndarray:
        return images.mean((1, 2))

    check_encoder("mean")
    assert frame_encoder("mean").name == "mean"
    assert frame_encoder("mean").encode_images(np.full((2, 4, 4, 3), 7, np.uint8)).tolist() == [[7, 7, 7]] * 2
    fact_clip.register("head", "linear")(LinearHead)
    assert not is_open(fact_clip.Config.load("demo", ["model.head=linear"]).model.head)
    fact_clip.register("metric", "ratio")(_n_videos)
    assert metrics.evaluate([[0, 1, 1, 1]], [[0, 1, 0, 1]])["ratio"] == 1
    fact_clip.register("metric", "ratio")(lambda truth, prediction: 7)  # as a cell of a notebook that runs again
    assert metrics.evaluate([[0]], [[0]])["ratio"] == 7


def test_an_object_replaces_only_its_own_earlier_definition(registry):
    """The same cell of a notebook may run again, but two lambdas have one name."""

    def defined(value: int) -> Any:
        def term(output, truth):
            return value

        return term

    first, second = defined(1), defined(2)
    assert (
        LOSSES.register_by_own_name(first)
        == LOSSES.register_by_own_name(first)
        == LOSSES.register_by_own_name(second)
        == "term"
    )
    assert LOSSES["term"] is second

    lambdas = [lambda output, truth: 1, lambda output, truth: 2]
    assert LOSSES.register_by_own_name(lambdas[0]) == LOSSES.register_by_own_name(lambdas[0]) == "<lambda>"
    partials = [partial(first, truth=number) for number in range(2)]
    LOSSES.register_by_own_name(partials[0])
    other = ModuleType("other")
    exec("def term(output, truth): return 3", other.__dict__)
    for part in (lambdas[1], partials[1], other.term):
        with refused("fact_clip.losses"):
            LOSSES.register_by_own_name(part)
    assert LOSSES["<lambda>"] is lambdas[0]


@pytest.mark.parametrize(
    ("kind", "name", "part", "place"),
    [
        ("encodr", "a", len, "kind"),
        ("encoder", "a", 3, "encoder 'a'"),
        ("encoder", "grid", np.mean, "'grid', a part of fact_clip.encoders"),
        ("head", "a", dict, "'a', a part of fact_clip.heads"),
        ("metric", "edit", len, "'edit', a part of fact_clip.metrics"),
        ("metric", "score", len, "'score', a part of fact_clip.metrics"),
        ("loss", "a", 3, "'a', a part of fact_clip.losses"),
        ("loss", "smooth", len, "'smooth', a part of fact_clip.losses"),
        ("decoder", "argmax", len, "'argmax', a part of fact_clip.decoders"),
        ("logger", "wandb", len, "'wandb', a part of fact_clip.loggers"),
    ],
)
def test_what_cannot_be_registered(kind, name, part, place, registry):
    with refused(place):
        fact_clip.register(kind, name)(part)


def test_the_laws_take_objects(registry, parts):
    SPANS, LinearHead = parts.SPANS, parts.LinearHead

    check_encoder(lambda images: images.mean((1, 2)))
    check_head(LinearHead)
    check_format(SPANS)
    with pytest.raises(AssertionError):
        check_encoder(lambda images: images.mean((1, 2)) - images.mean())


def test_losses_metrics_data_and_decoders_of_a_program(registry, tiny, tmp_path):
    from fact_clip import datasets

    seen = []

    def sharp(output, truth):
        seen.append(truth.labels.shape)
        return 0.5 * output.blocks[-1].frame_logits.square().mean()

    rng = np.random.default_rng(0)
    features = {f"v{number}": rng.normal(size=(30, 4)).astype(np.float32) for number in range(4)}
    labels = {name: ["a"] * 15 + ["b"] * 15 for name in features}
    data = datasets.from_arrays(features, labels, test=["v0"], fps=5)
    run = tmp_path / "run"
    overrides = ["train.epochs=1", "data.validation=0.3"]
    metric = {"videos": lambda truth, prediction: len(truth)}
    fact_clip.train("own", run, data=data, losses=[sharp], metrics=metric, overrides=overrides)
    row = json.loads((run / "log.jsonl").read_text().splitlines()[0])
    terms = ("frame", "token", "f2a", "a2f", "smooth", "sharp")
    assert row["total"] == pytest.approx(sum(row[term] for term in terms), rel=1e-4)
    assert (row["validation videos"], len(seen) > 0) == (1, True)
    assert Run.read(run).config.loss.terms == ("sharp",)
    assert fact_clip.evaluate(run, data=data).details["metrics"]["videos"] == 1

    segmenter = fact_clip.load(run, "cpu")
    scores = segmenter.scores(features["v0"])
    expected = [scores.names[index] for index in scores.array.argmax(1)]
    assert segmenter.segment(features["v0"], decoder="argmax").to_frames() == expected
    assert segmenter.segment(features["v0"], decoder=lambda scores: np.ones(30)).to_frames() == [scores.names[1]] * 30
    for decoder in ("none", lambda scores: [0], lambda scores: np.full(30, 2)):
        with refused("decoder"):
            segmenter.segment(features["v0"], decoder=decoder)
    with refused("data"):
        fact_clip.train("own", tmp_path / "x", data="lost")
    with refused("loss.terms"):
        fact_clip.train("own", tmp_path / "x", data=data, losses=["lost"], overrides=overrides)
    others = [lambda output, truth: output.frame_logits.mean(), lambda output, truth: output.frame_logits.sum()]
    with refused("fact_clip.losses"):
        fact_clip.train("own", tmp_path / "x", data=data, losses=others, overrides=overrides)
    with refused("loss 'vector'"):
        vector = fact_clip.register("loss", "vector")(lambda output, truth: output.blocks[-1].frame_logits)
        assert callable(vector)
        fact_clip.train("own", tmp_path / "x", data=data, losses=["vector"], overrides=overrides)
