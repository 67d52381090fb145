"""Articles and verb forms of English."""

import re

_VOWEL_LETTER_NOT_SOUND = re.compile(r"(eu|one|once|usb|use|usu|uni(?!n|m)|ute)")
_SILENT_H = re.compile(r"(heir|honest|hour)")
_IRREGULAR = {"be": "is", "have": "has"}
# A single syllable that ends with one vowel and one consonant doubles the consonant: cut,
# cutting. Others do not: screw/screwing, open/opening.
_DOUBLES = re.compile(r"(?:qu|[^aeiou])+[aeiou][^aeiouwxy]|[aeiou][^aeiouwxy]")


def article(noun: str) -> str:
    """Return a noun with "a" or "an", depending on its sound.

    Args:
        noun: Noun such as "rod", "egg" or "USB male".

    Returns:
        The noun with its article, such as "a rod", "an egg" or "a USB male".
    """
    start = noun.lower()
    is_vowel = start[:1] in "aeiou" and not _VOWEL_LETTER_NOT_SOUND.match(start)
    return f"an {noun}" if is_vowel or _SILENT_H.match(start) else f"a {noun}"


def third_person(phrase: str) -> str:
    """Return a phrase in the third person.

    Args:
        phrase: Phrase that starts with a verb, such as "cut ham".

    Returns:
        The phrase in the third person, such as "cuts ham".
    """
    verb, space, remainder = phrase.partition(" ")
    if verb in _IRREGULAR:
        form = _IRREGULAR[verb]
    elif verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        form = f"{verb}es"
    elif re.search(r"[^aeiou]y$", verb):
        form = f"{verb[:-1]}ies"
    else:
        form = f"{verb}s"
    return f"{form}{space}{remainder}"


def gerund(phrase: str) -> str:
    """Return a phrase as a gerund.

    Args:
        phrase: Phrase that starts with a verb, such as "cut ham".

    Returns:
        The phrase as a gerund, such as "cutting ham".
    """
    verb, space, remainder = phrase.partition(" ")
    if verb.endswith("ie"):
        form = f"{verb[:-2]}ying"
    elif verb.endswith("e") and len(verb) > 2 and not verb.endswith(("ee", "oe", "ye")):
        form = f"{verb[:-1]}ing"
    elif _DOUBLES.fullmatch(verb):
        form = f"{verb}{verb[-1]}ing"
    else:
        form = f"{verb}ing"
    return f"{form}{space}{remainder}"
