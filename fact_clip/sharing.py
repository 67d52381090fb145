"""Uploading a run with a model card to the Hugging Face hub (docs/sharing.md)."""

import json
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from fact_clip import hub
from fact_clip.core import InputError, Json
from fact_clip.core.arguments import validated
from fact_clip.core.extras import require
from fact_clip.core.io import read_mapping
from fact_clip.core.paths import inside, same_place
from fact_clip.metrics import figure_name
from fact_clip.models.heads import is_open, reads_text
from fact_clip.run import PATTERNS, LoadedRun, Run

_EVALUATION = "evaluation.json"
_VERSIONS = ("fact_clip", "torch", "commit")
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
    license: str = "mit",
    licence: str | None = None,
) -> str:
    """Upload a run and a model card to the Hugging Face hub.

    Absolute paths in settings are replaced by their last parts.

    Args:
        run_dir: the run folder.
        repository: OWNER/NAME, which is made if there is none.
        private: whether a new repository is private.
        message: of the commit.
        license: as the hub writes it: mit, apache-2.0, cc-by-4.0, ...
        licence: deprecated spelling of `license`.

    Returns:
        The address of the repository on the web.

    Raises:
        InputError: a name is not valid, nobody is logged in, or the hub refuses.
    """
    if licence is not None:
        warnings.warn("licence is deprecated; use license", DeprecationWarning, stacklevel=3)
        license = licence
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(repository, "not the name of a repository", "write OWNER/NAME")
    with TemporaryDirectory(prefix="fact-clip-") as folder:
        save_pretrained(run_dir, folder, license=license, address=f"hf://{repository}")
        message = message or "Upload a run of FACT-CLIP"
        patterns = (*PATTERNS, _EVALUATION)
        return hub.upload(repository, folder, patterns, private=private, message=message)


@validated()
def save_pretrained(
    run_dir: str | Path, folder: str | Path, *, license: str = "mit", address: str | None = None
) -> Path:
    """Write the files of a run that determine its results, and a model card, into a folder.

    Args:
        run_dir: the run folder.
        folder: the folder to write.
        license: as the hub writes it.
        address: where the model will be found. None: the folder.

    Returns:
        The folder.

    Raises:
        InputError: the run cannot be read, or the license is not written as the hub does.
    """
    loaded = Run.open(run_dir)
    if not re.fullmatch(r"[a-z0-9.-]+", license):
        problem = f"{license!r} is not a license as the hub writes it"
        raise InputError("license", problem, "write mit, apache-2.0, ...")
    address = address or Path(folder).name
    source = loaded.run.path
    target = Path(folder)
    if same_place(source, target):
        raise InputError(target, "the run itself", "name another folder")
    evaluation: Json = {}
    if (source / _EVALUATION).is_file():
        evaluation = read_mapping(source / _EVALUATION, "what fact-clip evaluate wrote")
        evaluation["run"] = address
    card = _card(loaded, address, license, evaluation)
    for pattern in (*PATTERNS, _EVALUATION):  # of a run that was saved there before
        for path in list(target.glob(pattern)):
            if not (source / path.relative_to(target)).is_file():
                path.unlink()
    for pattern in PATTERNS:
        for path in source.glob(pattern):
            copy = inside(target, *path.relative_to(source).parts)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.name not in ("config.yaml", "run.json"):
                shutil.copyfile(path, copy)
                continue
            tree = _portable(read_mapping(path, "a run folder"))
            if path.suffix == ".json":
                content = json.dumps(tree, indent=1)
            else:
                content = yaml.safe_dump(tree, sort_keys=False)
            copy.write_text(content, encoding="utf-8")
    if evaluation:
        inside(target, _EVALUATION).write_text(json.dumps(evaluation, indent=1), encoding="utf-8")
    inside(target, "README.md").write_text(card, encoding="utf-8")
    return target


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


def _card(loaded: LoadedRun, address: str, license: str, evaluation: Mapping[str, Any]) -> str:
    """Return the model card of a run, in Markdown, with its figures as a model-index."""
    require(address, "huggingface_hub", "hub")
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    run = loaded.run
    config = run.config
    seen = run.vocabulary.names
    if loaded.calibration is not None:
        seen = loaded.calibration.seen
    unseen = [name for name in run.vocabulary if name not in seen]
    unseen = list(evaluation.get("zero_shot", {}).get("unseen", unseen))
    name = address.rpartition("/")[2]
    figures = _figures(evaluation)
    results = []
    for key, value in figures.items():
        result = EvalResult(
            task_type="video-classification",
            task_name="temporal action segmentation",
            dataset_type=config.data.name,
            dataset_name=config.data.name,
            dataset_split=evaluation["split"],
            metric_type=key,
            metric_name=figure_name(key),
            metric_value=round(value, 1),
        )
        results.append(result)
    data = ModelCardData(
        license=license,
        library_name="fact-clip",
        pipeline_tag="video-classification",
        tags=["temporal-action-segmentation", "fact-clip"],
        model_name=name,
        eval_results=results or None,
    )
    facts = read_mapping(run.path / "run.json", "a run folder")
    root = _portable(str(config.data.root or "data"))
    head = config.model.head
    if reads_text(config.model.head):
        head += f", names by {_portable(config.text.encoder)}"
    values = {
        "name": name,
        "address": address,
        "license": license,
        "run": run,
        "is_open": is_open(config.model.head),
        "data": f"{config.data.name}, folder {root}, split {config.data.split}",
        "encoder": _portable(run.encoder),
        "head": head,
        "versions": ", ".join(f"{key} {facts.get(key) or 'unknown'}" for key in _VERSIONS),
        "seen": [name for name in run.vocabulary if name not in unseen],
        "unseen": unseen,
        "evaluation": evaluation,
        "figures": {figure_name(key): f"{value:.1f}" for key, value in figures.items()},
    }
    return str(ModelCard.from_template(data, template_path=str(_CARD), **values))


def _figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of an evaluation in percent."""
    if not evaluation:
        return {}
    zero_shot = evaluation.get("zero_shot", {})
    figures = dict(evaluation["metrics"])
    figures |= zero_shot.get("ways", {}).get("in use", {})
    figures["AUSUC"] = zero_shot.get("ausuc")
    return {key: value for key, value in figures.items() if isinstance(value, int | float)}
