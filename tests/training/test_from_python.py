"""Training from Python: recipes by name, data in memory, callbacks, and functions for what commands do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fact_clip
from fact_clip.cli import main
from fact_clip.config import Config
from fact_clip.datasets import Dataset, DataSource, from_arrays, save
from fact_clip.datasets.memory import MemoryStore, with_data
from fact_clip.training import Callback, EpochState, StopTraining, resolve
from fact_clip.training.runs import train

from ..refusals import refused
from ..small import TINY
from .runs import assert_same_runs, log_of

NAMES = ("idle", "pour milk", "stir")


def arrays(videos: int = 5) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Videos of 40 to 48 frames whose columns show the class."""
    rng = np.random.default_rng(3)
    labels = {
        f"v{number}": ["idle"] * 12 + ["stir"] * (16 + 2 * number) + ["pour milk"] * 12 for number in range(videos)
    }
    columns = np.eye(4, dtype=np.float32)
    features = {
        name: columns[[NAMES.index(label) for label in frames]] + rng.normal(0, 0.1, (len(frames), 4)).astype("f4")
        for name, frames in labels.items()
    }
    return features, labels


DATA = from_arrays(*arrays(), test=["v4"], fps=5, background=["idle"])
CONFIG = Config.from_tree({**TINY, "data": {"stride": 2, "standardize": True}}, "tests")
AS_FOLDER = ["data.fps=5", "data.background=[idle]", "data.layout=TD"]  # what files do not say


class Listener(Callback):
    """Writes down what it is called with; `stops_after` an epoch, in the call of this name."""

    def __init__(self, stops_after: int = 99, call: str = "epoch") -> None:
        self.calls: list[tuple[str, int]] = []
        self.states: list[EpochState] = []
        self.stops_after, self.call = stops_after, call

    def _take(self, call: str, state: EpochState) -> None:
        self.calls.append((call, state.epoch))
        self.states.append(state)
        if self.call == call and state.epoch >= self.stops_after:
            raise StopTraining("enough")

    def on_epoch(self, state: EpochState) -> None:
        self._take("epoch", state)

    def on_validation(self, state: EpochState, metrics) -> None:
        assert {"score", "edit"} <= metrics.keys()
        self._take("validation", state)

    def on_save(self, state: EpochState, path: Path) -> None:
        assert path.is_file()
        self._take(path.name.removesuffix(".safetensors"), state)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Listener]:
    """A run of two epochs, from memory, and what its callback was called with; tests only read it."""
    folder, listener = tmp_path_factory.mktemp("whole"), Listener()
    train(CONFIG, folder / "run", data=DATA, callbacks=[listener])
    assert [path.name for path in folder.iterdir()] == ["run"]  # nothing else is written
    return folder / "run", listener


# --- data in memory -------------------------------------------------------------------------------------------


def test_arrays_train_the_same_run_as_their_folder(whole, tmp_path):
    """Weights, log and figures; only `data.root` differs."""
    root = save(DATA, tmp_path / "data")
    train(CONFIG, tmp_path / "run", overrides=[f"data.root={root}", *AS_FOLDER])
    assert_same_runs(whole[0], tmp_path / "run")
    results = [
        fact_clip.evaluate(whole[0], data=DATA, device="cpu"),
        fact_clip.evaluate(tmp_path / "run", device="cpu"),
        fact_clip.evaluate(whole[0], overrides=[f"data.root={root}"], device="cpu"),
    ]
    assert list(results[0].videos) == ["v4"]
    assert results[0].details["metrics"] == results[1].details["metrics"] == results[2].details["metrics"]
    assert fact_clip.report.write(tmp_path / "run") == tmp_path / "run/report.html"
    with refused("evaluation_train.npz"):
        fact_clip.report.write([str(tmp_path / "run")], split="train")


def test_commands_say_that_the_data_were_in_memory(whole, tmp_path, capsys):
    with refused("data.root"):
        fact_clip.evaluate(whole[0])
    recipe, out = str(whole[0] / "config.yaml"), str(tmp_path / "new")
    for command in (["evaluate", str(whole[0])], ["train", recipe, "--out", out]):
        assert main(command) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    segments = fact_clip.load(whole[0], device="cpu").segment(DATA.features("v4"))
    assert (segments.n_frames, segments.fps) == (len(DATA.labels("v4")), 5)


def test_a_data_set_of_ones_own(tmp_path):
    class Own(DataSource):
        class_names, train, test, fps = NAMES, ["v0", "v1", "v2"], ["v3"], 5.0

        def features(self, name):
            return DATA.features(name)

        def labels(self, name):
            return np.array(DATA.labels(name))

    plan_config = with_data(CONFIG, Own())
    assert (plan_config.data.root, plan_config.data.fps, plan_config.data.background) == ("<memory>", 5, None)
    facts = train(CONFIG, tmp_path / "run", data=Own(), overrides=["train.epochs=1"])
    assert facts.epoch == 1
    assert fact_clip.evaluate(tmp_path / "run", data=Own(), device="cpu").details["videos"] == ["v3"]


def test_what_is_derived_from_arrays():
    features, labels = arrays()
    data = from_arrays(features, labels, train=["v1", "v0"])
    assert (data.class_names, data.train, data.test) == (NAMES, ("v1", "v0"), ("v2", "v3", "v4"))
    assert from_arrays(features, labels).test == ()
    assert from_arrays(features, labels, class_names=NAMES[::-1]).class_names == NAMES[::-1]
    before = features["v0"].flags.writeable
    assert data.features("v0") is features["v0"]
    assert features["v0"].flags.writeable == before


BAD = [
    ("features", lambda rows, names: ([], names, {})),
    ("labels", lambda rows, names: (rows, {**names, "v9": ["idle"]}, {})),
    ("labels of 'v0'", lambda rows, names: (rows, {**names, "v0": "idle"}, {})),
    ("features of 'v0'", lambda rows, names: ({**rows, "v0": [["a"]]}, names, {})),
    ("train", lambda rows, names: (rows, names, {"train": ["v7"]})),
    ("test", lambda rows, names: (rows, names, {"test": ["v7"]})),
    ("data.train", lambda rows, names: (rows, names, {"train": ["v1", "v1"]})),
    ("data.train", lambda rows, names: (rows, names, {"train": ["v1"], "test": ["v1"]})),
    ("data.train", lambda rows, names: ({"a/b": rows["v0"]}, {"a/b": names["v0"]}, {})),
    ("names", lambda rows, names: (rows, names, {"class_names": ["idle", "idle"]})),
    ("data", lambda rows, names: (rows, names, {"fps": -1})),
]


@pytest.mark.parametrize(("where", "change"), BAD)
def test_bad_arrays_are_refused_at_the_door(where, change):
    features, labels, more = change(*arrays())
    with pytest.raises(fact_clip.InputError) as raised:
        from_arrays(features, labels, **more)
    assert str(raised.value.where) == where


@pytest.mark.parametrize(
    ("where", "value"),
    [("data.features('v1')", np.zeros((40, 3))), ("data.features('v0')", np.zeros((3, 4))),
     ("data.features('v0')", np.zeros(4)), ("data.features('v0')", np.full((40, 4), np.nan, "f4")),
     ("data.labels('v0'):40", ["stir"] * 39 + ["stri"])],
)  # fmt: skip
def test_bad_values_are_refused_where_they_are_read(where, value, tmp_path):
    features, labels = arrays()
    (features if "features" in where else labels)["v0"] = value
    data = from_arrays(features, labels, class_names=NAMES)
    with refused(where):
        train(CONFIG, tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def test_an_ensemble_needs_files(tmp_path):
    with pytest.raises(fact_clip.InputError) as raised:
        train(CONFIG, tmp_path / "run", data=DATA, overrides=["train.members=2"])
    assert raised.value.where == "train.members"
    with refused("data"):
        train(CONFIG, tmp_path / "run", data=object())
    with refused("config"):
        train(resolve(with_data(CONFIG, DATA), MemoryStore(DATA)), tmp_path / "run", data=DATA)


def test_data_in_memory_are_saved_once(tmp_path):
    root = save(DATA, tmp_path / "data")
    config = Config.from_tree({"data": {"root": str(root), "fps": 5}}, "tests").data
    dataset = Dataset.open(config)
    assert dataset.test == ("v4",)
    assert dataset.vocabulary.names == NAMES
    np.testing.assert_array_equal(dataset.features("v1"), DATA.features("v1"))
    with refused("splits"):
        save(DATA, root)


def test_a_saving_that_failed_can_be_repeated(tmp_path):
    features, labels = arrays()
    faulty = from_arrays({**features, "v1": np.zeros(4)}, labels, test=["v4"])
    with refused("data.features('v1')"):
        save(faulty, tmp_path)
    assert Dataset.splits(Config.from_tree({"data": {"root": str(save(DATA, tmp_path))}}, "tests").data) == ["1"]
    with refused("data.train") as refusal:
        from_arrays(features, labels, test=list(features))
    assert "no videos" in refusal.message
    assert "test" in refusal.value.fix


# --- callbacks ------------------------------------------------------------------------------------------------


def test_what_callbacks_see(whole):
    run, listener = whole
    assert listener.calls[-3:] == [("validation", 2), ("epoch", 2), ("last", 2)]
    assert listener.calls[:2] == [("model", 1), ("validation", 1)]
    epochs = [state for (call, _), state in zip(listener.calls, listener.states, strict=True) if call == "epoch"]
    assert [state.numbers for state in epochs] == log_of(run)
    assert epochs[-1].best == max(row["validation score"] for row in log_of(run))
    assert (epochs[-1].run, epochs[-1].epochs) == (run, 2)


@pytest.mark.parametrize("call", ["validation", "last"])
def test_a_callback_stops_a_training_cleanly(call, whole, tmp_path):
    """The run is finished (confidences are learned), and goes on to the run that was never stopped."""
    facts = train(CONFIG, tmp_path / "run", data=DATA, callbacks=[Listener(1, call)])
    assert facts.epoch == 1
    assert (tmp_path / "run/confidence.json").is_file()
    assert train(CONFIG, tmp_path / "run", data=DATA, resume=True).epoch == 2
    assert_same_runs(tmp_path / "run", whole[0])


def test_another_exception_ends_a_training_at_once(whole, tmp_path):
    class Broken(Callback):
        def on_epoch(self, state):
            if state.epoch == 2:
                raise ConnectionError("no tracker")

    with pytest.raises(ConnectionError):
        train(CONFIG, tmp_path / "run", data=DATA, callbacks=[Broken()])
    assert train(CONFIG, tmp_path / "run", data=DATA, resume=True).epoch == 2
    assert_same_runs(tmp_path / "run", whole[0])
    with refused("callbacks"):
        train(CONFIG, tmp_path / "new", data=DATA, callbacks=[print])


@pytest.mark.slow
def test_of_an_ensemble_callbacks_see_the_first_model(tmp_path):
    listener, root = Listener(1), save(DATA, tmp_path / "data")
    overrides = [f"data.root={root}", *AS_FOLDER, "train.members=2"]
    train(CONFIG, tmp_path / "run", overrides=overrides, callbacks=[listener])
    assert {state.run for state in listener.states} == {tmp_path / "run"}
    assert [len(log_of(run)) for run in (tmp_path / "run", tmp_path / "run/members/2")] == [1, 2]


# --- recipes by name --------------------------------------------------------------------------------------------


def test_a_recipe_is_named_as_on_the_command_line(tmp_path):
    recipe = tmp_path / "small.yaml"
    recipe.write_text(CONFIG.to_yaml(), encoding="utf-8")
    for number, given in enumerate((recipe, str(recipe), CONFIG)):
        assert train(given, tmp_path / f"run{number}", overrides=["train.epochs=1"], data=DATA).epoch == 1
    with refused("no_such"):
        train("no_such", tmp_path / "run")
