"""Guesses from class names: which are not actions, and how to parse the others."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fact_clip.config import DataConfig
from fact_clip.core import Names
from fact_clip.core.messages import spelling_key
from fact_clip.datasets.benchmarks import FACTORS_FILE, find_benchmark
from fact_clip.datasets.labels import unlabelled
from fact_clip.text import grammar
from fact_clip.text.english import ENGLISH, are_sentences

# Names that usually mean "no action", and label names that usually mean "unlabelled".
BACKGROUND_NAMES = (
    "background",
    "sil",
    "null",
    "none",
    "no action",
    "idle",
    "action start",
    "action end",
)
UNLABELLED_NAMES = ("unlabelled", "unlabeled", "unannotated")

_GIVEN = "as given"


def names_alike(names: Iterable[str]) -> list[list[str]]:
    """Return groups of names that differ only in case, underscores and spaces."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(spelling_key(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def guess_names(
    config: DataConfig, names: Sequence[str], root: Path | None = None
) -> tuple[DataConfig, dict[str, str]]:
    """Guess background, unlabelled names and grammar from class names.

    The background of a benchmark is known.

    Args:
        config: Configuration, whose own values are kept.
        names: Classes.
        root: Folder whose factors.csv takes precedence over a guessed grammar.

    Returns:
        The configuration with the guesses, and a reason for each of the three keys, or "" for a key
        without a value.
    """
    background, background_reason = _guess_background(config, names)
    unlabelled_names, unlabelled_reason = _guess_unlabelled(config, names)
    config = config.model_copy(update={"background": background, "unlabelled": unlabelled_names})
    pattern, grammar_reason = _guess_grammar(config, names, root)
    reasons = {
        "background": background_reason,
        "unlabelled": unlabelled_reason,
        "grammar": grammar_reason,
    }
    return config.model_copy(update={"grammar": pattern}), reasons


def _guess_background(config: DataConfig, names: Sequence[str]) -> tuple[Names, str]:
    """Return the background and the reason for it."""
    if config.background is not None:
        return config.background, _GIVEN
    published = find_benchmark(config.name).background_of(tuple(names))
    if published:
        return tuple(name for name in published if name not in config.unlabelled), "as published"
    background = _listed(names, BACKGROUND_NAMES)
    if not background:
        return (), "GUESSED: no class has a name that means no action"
    return background, "GUESSED by its name"


def _guess_unlabelled(config: DataConfig, names: Sequence[str]) -> tuple[Names, str]:
    """Return the names of ignored frames and the reason for them."""
    if config.unlabelled:
        return config.unlabelled, _GIVEN
    guessed = _listed(names, UNLABELLED_NAMES)
    return guessed, "GUESSED by its name: these frames are ignored" if guessed else ""


def _guess_grammar(
    config: DataConfig, names: Sequence[str], root: Path | None
) -> tuple[str | None, str]:
    """Return the grammar and the reason for it. The configuration has the other two guesses."""
    if config.grammar is not None:
        return config.grammar, _GIVEN
    if root is not None and os.path.lexists(root / FACTORS_FILE):
        return None, ""  # the table has the factors
    # `unlabelled` includes "?", the label of frames that are always ignored.
    no_actions = (*(config.background or ()), *unlabelled(config))
    actions = [name for name in names if name not in no_actions]
    pattern = ENGLISH if are_sentences(actions) else grammar.propose(actions)
    if pattern is None:
        return None, ""
    fit = f"GUESSED: all {len(actions)} actions fit"
    return pattern, f"{fit}; if they have no such parts, use --grammar none"


def _listed(names: Sequence[str], known_names: Sequence[str]) -> Names:
    """Return the names that are in a list, in any spelling such as "No-Action" or "no_action"."""
    keys = {_loose_key(name) for name in known_names}
    return tuple(name for name in names if _loose_key(name) in keys)


def _loose_key(name: str) -> str:
    """Return `spelling_key`, which is also equal for names that differ in hyphens."""
    return spelling_key(name.replace("-", " "))
