"""Names that are sentences: verb, object, target and tool of "add 1/4 tsp salt to the bowl".

Names of actions are imperatives, so a few rules and word lists replace a parser (docs/names.md,
Sentences):

1. Only the first sentence is read, in lower case and without text in parentheses.
2. Words that introduce the verb ("then", "continue to") are skipped. The next word is the verb. If
   the verb is repeated ("continue to whisk, whisk the curd"), the last repetition counts, and the
   words before it are also read. A second verb after "and" or "or" is skipped. A particle after the
   verb belongs to it ("take out", "turn on").
3. The words after the verb are the object, up to a preposition that opens the next slot: target
   ("into"), source ("from") or tool ("with"). Without a target, the source becomes the target. A
   particle after the object belongs to the verb ("take the lid off").
4. A comma or "and" ends a noun phrase, and the words after it are dropped. "of" replaces a portion
   with its substance ("a pinch of salt"), and otherwise opens the target. Words that begin a clause
   ("until", "which", "to prevent") end the sentence.
5. Determiners, quantities with their units, participles, adverbs and adjectives are removed from a
   noun phrase, and its last noun becomes singular. A pronoun is not an object, and a few nouns
   ("heat", "half") are neither a target nor a tool.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from pathlib import Path

from fact_clip.core import Factors, InputError
from fact_clip.core.io import read_mapping
from fact_clip.text.forms import gerund
from fact_clip.text.grammar import PARTICLES

SLOTS = ("verb", "object", "target", "tool")

ENGLISH = "english"  # value of `data.grammar` for names that are sentences
WHOLE_NAMES = "none"  # value of `data.grammar` for names without parts


_TABLES = read_mapping(Path(__file__).with_name("english.yaml"), "the word lists")


def _words(name: str) -> frozenset[str]:
    return frozenset(_TABLES[name].split())


_DETERMINERS = _words("determiners")
_PRONOUNS = _words("pronouns")
_NUMBERS = _words("numbers")
_UNITS = _words("units")
_PORTIONS = _words("portions")
_ADJECTIVES = _words("adjectives")
_ADVERBS = _words("adverbs")
_OMITTED = _DETERMINERS | _ADVERBS | {"or"}
_NO_ADVERBS = _words("no_adverbs")
_LIGHT = _words("light")
_ASPECTS = _words("aspects")
_ENDS = _words("ends")
_TARGETS = _words("targets")
_TOOLS = _words("tools")
_PREPOSITIONS = {
    **dict.fromkeys(_TARGETS, "target"),
    **dict.fromkeys(("from", "off", "out"), "source"),
    **dict.fromkeys(_TOOLS, "tool"),
}
_PURPOSES = _words("purposes")
_TIMES = _words("times")
_NO_TARGETS = _words("no_targets")
_ALWAYS = _words("always")
_TURNS_ON = _words("turns_on")
_PLURAL_ONLY = _words("plural_only")
_SINGULAR: dict[str, str] = _TABLES["singular"]
_ENDINGS: dict[str, str] = _TABLES["endings"]
_IRREGULAR_VERBS: dict[str, str] = _TABLES["irregular_verbs"]


def singular(noun: str) -> str:
    """Return the singular of a noun by its spelling: "knives" -> "knife"."""
    if noun in _SINGULAR:
        return _SINGULAR[noun]
    if noun in _PLURAL_ONLY or len(noun) < 4 or not re.search(r"[^siu]s$", noun):
        return noun
    for ending, replacement in _ENDINGS.items():
        if noun.endswith(ending):
            return noun.removesuffix(ending) + replacement
    return noun[:-1]


def base_form(verb: str) -> str:
    """Return the base form of a gerund by its spelling: "wiping" -> "wipe", "cutting" -> "cut"."""
    stem = verb.removesuffix("ing")
    if stem == verb or not re.search(r"[aeiouy]", stem):
        return verb
    if verb in _IRREGULAR_VERBS:
        return _IRREGULAR_VERBS[verb]
    forms = [stem, f"{stem}e"]
    if re.search(r"([cvu]|[^z]z|[dr]g|[nr]s|[aeiou]{2}s|[^aeiouywlr]l|(?<![aeo])at)$", stem):
        forms.reverse()  # slicing, wiggling, raising, rotating
    if re.search(r"([^aeioulszf])\1$", stem):  # cutting
        return stem[:-1]
    return next((form for form in forms if gerund(form) == verb), verb)


def read_sentence(name: str, *, with_modifiers: bool = False) -> Factors:
    """Read a name.

    Args:
        name: Name of an action. An InputError is raised if it has no word.
        with_modifiers: Whether noun phrases keep all words after their determiner.

    Returns:
        Verb, object, target and tool, None for a slot that the name does not fill.
    """
    words = _tokens(name)
    if not words:
        raise InputError(f"class {name!r}", "no word")
    start, first = _find_verb(words)
    verb = base_form(words[start])
    between = [word for word in words[first:start] if word not in _LIGHT | _ASPECTS]
    following = words[start + 1 :]
    while following and following[0] in ("and", "or"):  # "chop or grate the cucumber"
        following = following[2:]
    if following:
        particle = following[0]
        is_on = particle in ("on", "in") and verb in _TURNS_ON
        if particle in _ALWAYS or is_on:
            verb = f"{verb} {particle}"
            following = following[1:]

    parts = _parts(between, with_modifiers) | _parts(following, with_modifiers)
    if "particle" in parts and " " not in verb:
        verb = f"{verb} {parts['particle']}"
    target = parts.get("target") or parts.get("source")
    return verb, parts.get("object"), target, parts.get("tool")


def _tokens(name: str) -> list[str]:
    """Return the words of the first sentence in small letters, with commas as words."""
    plain = re.sub(r"\([^)]*\)?", " ", name.replace("_", " ").lower())
    first = re.split(r"(?<=[a-z]{3})\.(?:\s|$)|[;!?](?:\s|$)", plain)[0]
    return re.findall(r"[^\W_]+(?:['’./-][^\W_]+)*|,", first)


def _find_verb(words: Sequence[str]) -> tuple[int, int]:
    """Return the positions of the verb and of the first word that belongs to it.

    They differ if a verb is repeated: "then continue to whisk, whisk curd".
    """
    start = 0
    while start < len(words) - 1 and _leads_to_verb(words[start], words[start + 1]):
        start += 1
    before_repetition = {*_LIGHT, *_ASPECTS, ",", words[start]}
    for index in range(len(words) - 2, start, -1):
        is_same = base_form(words[index]) == base_form(words[start])
        previous = words[index - 1]
        if is_same and (previous in before_repetition or _is_manner(previous)):
            return index, start + 1
    return start, start


def _leads_to_verb(word: str, following: str) -> bool:
    if word in _LIGHT or _is_manner(word):
        return True
    return word in _ASPECTS and (following == "to" or following.endswith("ing"))


def _is_manner(word: str) -> bool:
    return word.endswith("ly") and len(word) > 4 and word not in _NO_ADVERBS


def _parts(words: Sequence[str], with_modifiers: bool) -> dict[str, str]:
    """Return the noun phrases after a verb by slot, and a "particle" after the object."""
    parts: dict[str, str] = {}
    phrase: list[str] = []
    slot = "object"
    for word, following in pairwise([*words, ","]):
        next_slot = _next_slot(word, following, slot, phrase)
        if next_slot is None:
            phrase.append(word)
            continue
        if slot == "object" and _is_particle(word, following):
            parts["particle"] = word
        _add_noun(parts, slot, phrase, with_modifiers)
        phrase = []
        slot = next_slot
        if slot == _END:
            break
    _add_noun(parts, slot, phrase, with_modifiers)
    return parts


_END = "end"  # slot of the words that are being read
_DROPPED = ""  # slot for words that are dropped


def _next_slot(word: str, following: str, slot: str, phrase: Sequence[str]) -> str | None:
    """Return the slot that a word opens, or None if it belongs to the phrase before."""
    if slot == "object" and _is_particle(word, following):
        return "source" if following == "of" else _DROPPED
    joins_adjectives = word == "or" and bool(phrase) and _is_modifier(phrase[-1])
    if word in _ENDS and not joins_adjectives:
        return _END
    if word == "to" and following in _PURPOSES:
        return _END
    if word.endswith("ing") and slot == _DROPPED:
        return _END
    if word in _PREPOSITIONS:
        return _PREPOSITIONS[word]
    if word in (",", "and"):
        return _DROPPED
    if word == "of" and slot == "object" and phrase:
        is_portion = singular(phrase[-1]) in _PORTIONS | _UNITS
        return None if is_portion else "target"
    return None


def _is_particle(word: str, following: str) -> bool:
    return word in PARTICLES and following in {"of", ",", "and", *_ENDS, *_TOOLS, *_TARGETS}


def _add_noun(
    parts: dict[str, str], slot: str, phrase: Sequence[str], with_modifiers: bool
) -> None:
    noun = _noun(phrase, slot)
    if with_modifiers and (noun is not None or any(word[0].isnumeric() for word in phrase)):
        noun = " ".join(phrase[1:] if phrase[0] in _OMITTED else phrase)
    if noun is not None and slot != _DROPPED:
        parts.setdefault(slot, noun)


def _noun(words: Sequence[str], slot: str) -> str | None:
    """Return the nouns of a phrase with the last one in the singular, or None if there is none."""
    nouns = _nouns(words)
    while nouns and nouns[0] in _ADJECTIVES:
        del nouns[0]
    while len(nouns) > 1 and nouns[-1] in _ADJECTIVES:  # "pat tofu dry"
        nouns.pop()
    if not nouns or nouns[-1] in _PRONOUNS:
        return None
    last = singular(nouns[-1])
    if slot in ("target", "tool") and last in _NO_TARGETS:
        return None
    return " ".join([*(noun for noun in nouns[:-1] if noun not in _ADJECTIVES), last])


def _nouns(words: Sequence[str]) -> list[str]:
    """Return the words of a phrase without determiners, quantities, participles and adverbs."""
    nouns: list[str] = []
    is_quantity = False
    for word, following in pairwise([*words, ""]):
        unit = singular(word)
        is_unit = is_quantity and unit in _UNITS and (following != "" or unit in _TIMES)
        if word == "of":  # the words before were a measure or a portion
            nouns = []
        elif word[0].isnumeric():  # "measure 1/8 teaspoon of salt": the word before was a verb
            nouns = []
            is_quantity = True
        elif word in _NUMBERS:
            is_quantity = True
        elif word == "a" and following == "":  # "attach part A"
            nouns.append(word)
        elif not (word in _OMITTED or is_unit or _is_manner(word) or _is_modifier(word)):
            nouns.append(word.split("/")[-1])
            is_quantity = False
    return nouns


def _is_modifier(word: str) -> bool:
    """Return whether a word is a participle, or an adjective such as "microwave-safe"."""
    if "-" in word:
        return not re.search(r"-(and|in)-|^t-", word)
    if word.endswith(("'s", "’s")):
        return True
    return word.endswith("ed") and not word.endswith("eed") and len(word) > 4


class Sentences:
    """A reader of names that are sentences, with the interface of `Grammar`.

    Names whose factors would be equal keep all words of their noun phrases, such as "pick left
    hand". The nouns that differ only by these words keep them in all names.

    Args:
        names: Names of actions. `slots` contains the slots that at least one of them fills.
    """

    def __init__(self, names: Iterable[str]) -> None:
        names_of: dict[Factors, set[str]] = {}
        for name in names:
            names_of.setdefault(read_sentence(name), set()).add(name)
        self._equal = set[str]().union(*(names for names in names_of.values() if len(names) > 1))
        phrases: dict[str | None, set[str | None]] = {}  # phrases of each noun in equal names
        for name in self._equal:
            all_words = read_sentence(name, with_modifiers=True)
            for noun, phrase in zip(read_sentence(name)[1:], all_words[1:], strict=True):
                phrases.setdefault(noun, set()).add(phrase)
        self._told_apart = {noun for noun in phrases if noun and len(phrases[noun]) > 1}
        used = {"verb"}
        for name in chain.from_iterable(names_of.values()):
            for slot, factor in zip(SLOTS, self._read(name), strict=True):
                if factor:
                    used.add(slot)
        self.slots = tuple(slot for slot in SLOTS if slot in used)

    def _read(self, name: str) -> Factors:
        all_words = read_sentence(name, with_modifiers=True)
        if name in self._equal:
            return all_words
        verb, *nouns = read_sentence(name)
        for slot, noun in enumerate(nouns):
            if noun in self._told_apart:
                nouns[slot] = all_words[slot + 1]
        return (verb, *nouns)

    def __call__(self, name: str) -> Factors:
        """Return one factor per slot, None for a slot that the name does not fill.

        Raises:
            InputError: The name fills a slot that is not in `slots`, so a part of it would be lost.
        """
        factors = dict(zip(SLOTS, self._read(name), strict=True))
        for slot, factor in factors.items():
            if factor and slot not in self.slots:
                problem = f"{factor!r} is a {slot}, which no class has"
                raise InputError(f"name {name!r}", problem)
        return tuple(factors[slot] for slot in self.slots)


def are_sentences(names: Iterable[str]) -> bool:
    """Return whether a name has a determiner after its verb, such as "the" in "add the salt"."""
    return any(_DETERMINERS & set(_tokens(name)[1:]) for name in names)
