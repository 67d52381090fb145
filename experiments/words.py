"""Measure by threshold how well `inference.new_words` separates synonyms from unrelated words.

    .venv/bin/python experiments/words.py VERBS.csv NOUNS.csv MAPPING.txt...

VERBS and NOUNS are EPIC_100_verb_classes.csv and EPIC_100_noun_classes_v2.csv of Epic-Kitchens 100, which
list synonyms of each class, some of them loose ("draw" for "take"). Trained words are those of the mapping
files (verb first), and ten verbs and thirty nouns drawn from Epic-Kitchens, thirty times.
"""

from __future__ import annotations

import argparse
import ast
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fact_clip.core import Vocabulary
from fact_clip.encoders import text_encoder
from fact_clip.inference.new_words import ACTION_TEMPLATE, FAR, JUDGE, OBJECT_TEMPLATE
from fact_clip.text.prompts import tidy

DRAWS = 30
SIZES = {"verb": 10, "noun": 30}
KINDS = ("synonyms", "other classes", "other worlds")

OTHER_WORLDS = {
    "verb": (
        "juggle, surf, ski, skate, kayak, tango, yodel, knit, weld, sew, hammer, saw, drill, mow, shave, hug, "
        "kiss, salute, kneel, swim, dive, sprint, box, wrestle, fence, bowl, golf, paint, type, vote, solder, "
        "gallop, parachute, strum, whistle, yawn, sneeze, tickle, tattoo, vacuum, lasso, busk, meditate, "
        "excavate, vaccinate, compute, negotiate, refuel, moonwalk"
    ),
    "noun": (
        "chainsaw, trombone, giraffe, skateboard, dumbbell, guitar, violin, snowboard, tractor, helicopter, "
        "parachute, cannon, elephant, motorcycle, drumstick kit, harpsichord, tennis racket, basketball, "
        "surfboard, canoe, telescope, lawnmower, volcano, passport, lipstick, sneaker, necktie, piano, tattoo "
        "needle, horse, saddle, mortgage, algebra, spaceship, dinosaur, stethoscope, toothbrush, hair dryer, "
        "wedding ring, bicycle, trampoline, javelin, hurdle, anvil, welding torch, bulldozer, microscope, "
        "fishing rod, tent, flagpole"
    ),
}


Classes = dict[str, list[list[str]]]
"""For each slot, the words of each class, its key first."""


def read_classes(path: Path) -> list[list[str]]:
    """Read the words of each class of Epic-Kitchens; "spoon:wooden" is "wooden spoon"."""
    classes = []
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        words = [row["key"], *ast.literal_eval(row["instances"])]
        phrases = [" ".join(word.split(":")[::-1]).replace("-", " ") for word in words]
        classes.append(list(dict.fromkeys(phrases)))
    return classes


def read_words(path: Path) -> dict[str, list[str]]:
    """Read the verbs of the names of a mapping file and what follows them, without background."""
    verbs = set()
    nouns = set()
    for name in Vocabulary.from_mapping(path):
        parts = tidy(name).split(maxsplit=1)
        if len(parts) == 2 and parts[0] != "no":
            verbs.add(parts[0])
            nouns.add(parts[1])
    return {"verb": sorted(verbs), "noun": sorted(nouns)}


class Cosines:
    """The largest cosine of words to trained words; each text is embedded once."""

    def __init__(self) -> None:
        self.encoder = text_encoder(JUDGE)
        self.vectors: dict[str, NDArray[np.float32]] = {}

    def __call__(self, words: list[str], trained: list[str], slot: str) -> NDArray[np.float32]:
        """Return (N,) for N words and a list of trained ones."""
        template = ACTION_TEMPLATE if slot == "verb" else OBJECT_TEMPLATE
        rows = self._embed([template.format(word) for word in words])  # (N, E)
        columns = self._embed([template.format(word) for word in trained])  # (K, E)
        largest: NDArray[np.float32] = (rows @ columns.T).max(1)
        return largest

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in self.vectors]
        self.vectors.update(zip(new, self.encoder.encode_texts(new), strict=True))
        return np.stack([self.vectors[text] for text in texts])


def draw_words(classes: Classes, rng: np.random.Generator) -> dict[str, list[str]]:
    """Draw trained words of each slot from the classes of Epic-Kitchens."""
    words = {}
    for slot, size in SIZES.items():
        indices = rng.choice(len(classes[slot]), size, replace=False).tolist()
        words[slot] = [classes[slot][index][0] for index in indices]
    return words


def words_of_kinds(classes: list[list[str]], trained: list[str], slot: str) -> dict[str, list[str]]:
    """Return untrained words by their kind: synonyms of trained words, other classes, unrelated."""
    kinds: dict[str, list[str]] = {"synonyms": [], "other classes": [], "other worlds": []}
    for words in classes:
        if set(words) & set(trained):
            kinds["synonyms"] += words
        else:
            kinds["other classes"].append(words[0])
    kinds["other worlds"] = OTHER_WORLDS[slot].split(", ")
    untrained = {}
    for kind, words in kinds.items():
        tidied = [tidy(word) for word in words if word not in trained]
        untrained[kind] = [word for word in tidied if word not in trained]
    return untrained


def measure(
    classes: Classes, trained_sets: list[dict[str, list[str]]]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Return the largest cosines of the words of each slot and kind, over all sets of words."""
    cosines = Cosines()
    values = {}
    for slot, slot_classes in classes.items():
        parts: dict[str, list[NDArray[np.float32]]] = {kind: [] for kind in KINDS}
        for trained in trained_sets:
            kinds = words_of_kinds(slot_classes, trained[slot], slot)
            for kind, words in kinds.items():
                if words:
                    parts[kind].append(cosines(words, trained[slot], slot))
        values[slot] = {kind: np.concatenate(arrays) for kind, arrays in parts.items()}
    return values


def main() -> int:
    """Print the shares of far words by threshold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verbs", type=Path)
    parser.add_argument("nouns", type=Path)
    parser.add_argument("mappings", type=Path, nargs="+")
    arguments = parser.parse_args()
    classes = {"verb": read_classes(arguments.verbs), "noun": read_classes(arguments.nouns)}
    rng = np.random.default_rng(0)
    trained_sets = [read_words(path) for path in arguments.mappings]
    trained_sets += [draw_words(classes, rng) for _ in range(DRAWS)]
    values = measure(classes, trained_sets)

    titles = [f"{slot}: {', '.join(KINDS)} far (mean right)" for slot in values]
    print("threshold  " + "  ".join(titles))
    for threshold in np.arange(0.50, 0.70, 0.02):
        cells = []
        for kinds in values.values():
            far = [100 * float((kinds[kind] < threshold).mean()) for kind in KINDS]
            shares = ", ".join(f"{share:.0f}" for share in far)
            cells.append(f"{shares} ({(100 - far[0] + far[2]) / 2:.1f})")
        mark = "*" if abs(threshold - FAR) < 1e-6 else " "
        print(f"{threshold:.2f}{mark}  " + "  ".join(cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
