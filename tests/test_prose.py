"""The English of the documents: phrases that CONTRIBUTING.md, 'Prose', excludes.

A source of sentences is a function that yields the place and the text of each sentence. To check other texts,
such as docstrings, write such a function and add it to SOURCES.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MOST_WORDS = 45
MOST_MARKS = 2  # colons and semicolons of a sentence

UNIT = r"(?:second|minute|hour|line|row|frame|segment|class|video|file)"
PROGRAM = r"(?:command|page|program|model|run|file|report|option|server|code|script|test|message|table|line|it)"
NOUNS_OF_TRAINING = (
    r"(?:run|video|frame|step|list|split|set|process|loop|label|segment|class|epoch|row|time|example|data|action|box|"
    r"command|criterion)"
)

RULES = {
    "'alone' for 'only'": r"\balone\b",
    "'only' after the word that it limits": r"\bonly[.,;:)]",
    "'that of' for the noun": r"\b(?:that|those) of\b",
    "a program that says, knows, asks or tells": rf"\b{PROGRAM} (?:says?|knows?|asks?|tells?)\b",
    "'a training'": rf"\b(?:[Aa]|[Ee]ach|[Ee]very|[Aa]nother|[Oo]ne) trainings?\b(?! {NOUNS_OF_TRAINING})|\btrainings\b",
    "videos that train or validate": r"\bvideos (?:train|validate)\b",
    "'where' for 'if'": r"^Where\b(?! to\b)|\b(?:only|except|not|and|or) where\b",
    "'beside'": r"\bbesides?\b",
    "'another' for 'a different'": r"\b(?<!one )[Aa]nother\b",
    "'no' for 'not'": r"\b(?:in no|changes? no|asks? no|(?<!There )(?<!there )(?:is|are) no)\b",
    "a final 'too'": r", too\b|\btoo[.;)]",
    "'as' for 'such as'": r"(?:, |\()as (?:code\b|\")",
    "'a second' for 'per second'": rf"\b\w+s a {UNIT}\b|\b(?:a|one) {UNIT} each\b|\ba {UNIT} a {UNIT}\b",
    "'of your own' for 'your own'": r"\bof (?:yours|ours|one's own|your own|its own|their own|ours)\b",
    "'is said', 'are refused'": r"\b(?:is|are) said\b",
    "history": r"\b(?:[Ff]ormer(?:ly)?|no longer|any more|used to be|[Ee]arlier version|in the past)\b",
    "house words": r"\b(?:films?|rooms?|shelf|shelves|workbench|laws?|ticks?|ticked|untick)\b",
}
"""A regular expression for each pattern. Inline code is the word 'code'."""

ALLOWED = {
    "a training example": "not a training run",
}
"""Parts of sentences that may have these phrases, with a reason."""


def plain(text: str) -> str:
    """Return Markdown without code, addresses of links, comments and marks."""
    text = re.sub(r"<!--.*?-->|<[^>]+>", "", text)
    text = re.sub(r"`[^`]+`", "code", text)
    text = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", text)
    return re.sub(r"[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}", "", text).strip()


def markdown_sentences() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each sentence of the Markdown files."""
    command = ["git", "ls-files", "*.md", ":!fact_clip_app/README.md"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        is_code = False
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), start=1):
            if line.lstrip().startswith("```"):
                is_code = not is_code
            if is_code or line.lstrip().startswith((":::", "```", "![", "    name")):
                continue
            cells = re.split(r"(?<!\\)\|", line) if line.startswith("|") else [line]
            for cell in cells:
                text = plain(re.sub(r"^\s*(?:[-*>]|\d+\.|#+)\s+", "", cell))
                if text:
                    yield f"{name}:{number}", text


SOURCES = (markdown_sentences,)


@pytest.fixture(scope="module")
def sentences() -> list[tuple[str, str]]:
    return [pair for source in SOURCES for pair in source()]


def faults(rule: str, pairs: list[tuple[str, str]]) -> list[str]:
    pattern = re.compile(RULES[rule])
    found = [f"{place}: {text}" for place, text in pairs if pattern.search(text)]
    return [line for line in found if not any(part in line for part in ALLOWED)]


@pytest.mark.parametrize("rule", RULES)
def test_no_sentence_has(rule, sentences):
    assert faults(rule, sentences) == []


def test_sentences_are_short(sentences):
    long = [f"{place}: {text}" for place, text in sentences if len(text.split()) > MOST_WORDS]
    assert long == []


def test_sentences_are_not_packed(sentences):
    packed = [f"{place}: {text}" for place, text in sentences if len(re.findall(r"[;:](?= )", text)) > MOST_MARKS]
    assert packed == []


def test_the_rules_find_what_they_name():
    examples = {
        "'alone' for 'only'": "It reads files alone.",
        "'that of' for the noun": "The rate is that of the video.",
        "'a training'": "After a training it stops.",
        "'where' for 'if'": "Where a file is missing, it stops.",
        "'a second' for 'per second'": "Use five rows a second.",
        "'as' for 'such as'": 'Give a name, as "stir".',
    }
    for rule, text in examples.items():
        assert faults(rule, [("example", text)]) == [f"example: {text}"]
    assert plain("See [the *page*](page.md#a) and `x`.") == "See the page and code."
