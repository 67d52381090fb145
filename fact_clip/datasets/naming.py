"""Guesses from class names: which are not actions, and how to parse the others."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fact_clip.config import DataConfig
from fact_clip.core import Json
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
    "no_action",
    "idle",
    "action_start",
    "action_end",
)
UNLABELLED_NAMES = ("unlabelled", "unlabeled", "unannotated")


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
        The configuration with the guesses, and a reason for each of the three keys.
    """
    guesses: Json = {}
    published = find_benchmark(config.name).background_of(tuple(names))
    # The reasons of `unlabelled` and `grammar` are read only if the key has a value, so they need
    # not fit an unset key.
    reasons = dict.fromkeys(("background", "unlabelled", "grammar"), "as given")
    if config.background is None and published:
        guesses["background"] = tuple(name for name in published if name not in config.unlabelled)
        reasons["background"] = "as published"
    elif config.background is None:
        background = tuple(name for name in names if name.lower() in BACKGROUND_NAMES)
        guesses["background"] = background
        reasons["background"] = "GUESSED by its name"
        if not background:
            reasons["background"] = "GUESSED: no class has a name that means no action"
    if not config.unlabelled:
        guesses["unlabelled"] = tuple(name for name in names if name.lower() in UNLABELLED_NAMES)
        reasons["unlabelled"] = "GUESSED by its name: these frames are ignored"
    config = config.model_copy(update=guesses)

    # `unlabelled` includes "?", the label of frames that are always ignored.
    no_actions = (*(config.background or ()), *unlabelled(config))
    actions = [name for name in names if name not in no_actions]
    has_table = root is not None and os.path.lexists(root / FACTORS_FILE)
    if config.grammar is None and not has_table:
        pattern = ENGLISH if are_sentences(actions) else grammar.propose(actions)
        config = config.model_copy(update={"grammar": pattern})
        fit = f"GUESSED: all {len(actions)} actions fit"
        reasons["grammar"] = f"{fit}; if they have no such parts, use --grammar none"
    return config, reasons
