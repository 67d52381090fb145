"""Uploading a run with a model card to the Hugging Face hub (docs/sharing.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from string import Template
from typing import Any

import yaml

from fact_clip import hub
from fact_clip.core import InputError
from fact_clip.core.arguments import validated
from fact_clip.core.io import read_mapping
from fact_clip.metrics import figure_name
from fact_clip.run import PATTERNS, LoadedRun, Run

_EVALUATION = "evaluation.json"
_CARD = Path(__file__).parent / "configs" / "model_card.md"

# An absolute path and its last part, alone or behind the name of an encoder
# (transformers:/home/a, timm:MODEL//home/a).
_LOCAL = re.compile(r"((?:[^\\]*?[:/])??)(?:/|~/|[A-Za-z]:[/\\]|\\\\).*?([^/\\]*)[/\\]*", re.DOTALL)


@validated()
def share(
    run_dir: str | Path,
    repository: str,
    *,
    private: bool = False,
    message: str | None = None,
    licence: str = "mit",
) -> str:
    """Upload a run and a model card to the Hugging Face hub.

    Absolute paths in settings are replaced by their last parts.

    Args:
        run_dir: the run folder.
        repository: OWNER/NAME, which is made if there is none.
        private: whether a new repository is private.
        message: of the commit.
        licence: as the hub writes it: mit, apache-2.0, cc-by-4.0, ...

    Returns:
        The address of the repository on the web.

    Raises:
        InputError: a name is not valid, nobody is logged in, or the hub refuses.
    """
    loaded = Run.open(run_dir)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(repository, "not the name of a repository", "write OWNER/NAME")
    if not re.fullmatch(r"[a-z0-9.-]+", licence):
        problem = f"{licence!r} is not a licence as the hub writes it"
        raise InputError("licence", problem, "write mit, apache-2.0, ...")
    where = f"hf://{repository}"
    folder = loaded.run.path
    evaluation: dict[str, Any] = {}
    if (folder / _EVALUATION).is_file():
        evaluation = read_mapping(folder / _EVALUATION, "what fact-clip evaluate wrote")
        evaluation["run"] = where
    files = _run_files(folder)
    if evaluation:
        files[_EVALUATION] = json.dumps(evaluation, indent=1).encode()
    files["README.md"] = _card(loaded, where, licence, evaluation).encode()
    return hub.upload(
        repository,
        files,
        PATTERNS,
        private=private,
        message=message or "Upload a run of FACT-CLIP",
    )


def _run_files(folder: Path) -> dict[str, Path | bytes]:
    """Return the files of a run by name; those with settings without absolute paths."""
    files: dict[str, Path | bytes] = {}
    for pattern in PATTERNS:
        for path in folder.glob(pattern):
            name = path.relative_to(folder).as_posix()
            files[name] = path
            if PurePath(name).name not in ("config.yaml", "run.json"):
                continue
            tree = _portable(read_mapping(path, "a run folder"))
            if name.endswith(".json"):
                files[name] = json.dumps(tree, indent=1).encode()
            else:
                files[name] = yaml.safe_dump(tree, sort_keys=False).encode()
    return files


def _portable(value: Any) -> Any:
    """Return a tree of settings in which ./LAST replaces each absolute path .../LAST."""
    if isinstance(value, dict):
        return {key: _portable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_portable(part) for part in value]
    if not isinstance(value, str) or "://" in value:
        return value
    match = _LOCAL.fullmatch(value)
    return value if match is None else f"{match[1]}./{match[2]}"


def _card(loaded: LoadedRun, where: str, licence: str, evaluation: Mapping[str, Any]) -> str:
    """Return the model card of a run, in Markdown."""
    run = loaded.run
    config = run.config
    seen = run.vocabulary.names
    if loaded.calibration is not None:
        seen = loaded.calibration.seen
    unseen = [name for name in run.vocabulary if name not in seen]
    unseen = list(evaluation.get("zero_shot", {}).get("unseen", unseen))
    trained = [name for name in run.vocabulary if name not in unseen]
    facts = read_mapping(run.path / "run.json", "a run folder")
    encoder = _portable(run.encoder) or "unknown"
    root = _portable(str(config.data.root or "data"))
    head = config.model.head
    if config.model.reads_text:
        head += f", names by {_portable(config.text.encoder)}"
    figures = _figures(evaluation, where) if evaluation else "Not evaluated yet."
    return Template(_CARD.read_text(encoding="utf-8")).substitute(
        licence=licence,
        name=where.rpartition("/")[2],
        address=where,
        count=len(run.vocabulary),
        open=", or into any others by their names" if config.model.is_open else "",
        data=f"{config.data.name}, folder {root}, split {config.data.split}",
        input="my.mp4" if run.encoder else "features.npy",  # videos need a known encoder
        features=(
            f"{run.transform.input_dim} columns, {run.fps or '?'} rows a second, encoder {encoder}"
        ),
        head=head,
        training=(
            f"{config.train.members} model(s), {config.train.epochs} epochs, "
            f"seed {config.train.seed}"
        ),
        versions=", ".join(f"{key} {facts.get(key)}" for key in ("fact_clip", "torch", "commit")),
        seen=_code_block(trained),
        unseen=_code_block(unseen) or "None.",
        figures=figures,
    )


def _code_block(names: list[str]) -> str:
    return "\n".join(f"    {name}" for name in names)


def _figures(evaluation: Mapping[str, Any], where: str) -> str:
    """Return a table of the figures of an evaluation, in Markdown."""
    zero_shot = evaluation.get("zero_shot", {})
    values = dict(evaluation["metrics"])
    values |= zero_shot.get("ways", {}).get("in use", {})
    values["AUSUC"] = zero_shot.get("ausuc")
    command = f"fact-clip evaluate {where} data.root=FOLDER --split {evaluation['split']}"
    n_videos = len(evaluation["videos"])
    lines = [f"{n_videos} videos, by `{command}`:", "", "| figure | % |", "|---|---|"]
    for key, value in values.items():
        if isinstance(value, int | float):
            lines.append(f"| {figure_name(key)} | {value:.1f} |")
    return "\n".join(lines)
