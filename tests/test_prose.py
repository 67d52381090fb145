"""The English of documents, docstrings and comments: phrases that CONTRIBUTING.md, 'Prose', excludes.

A source is a function that yields the place and the text of each sentence. To check other texts, write such a function
and add it to SOURCES. `docstring_sentences` covers the subpackages in FINISHED.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_WORDS = 45
MOST_MARKS = 2
"""Most colons and semicolons in a sentence."""

PROGRAM = r"(?:command|page|program|model|run|file|report|option|server|code|script|test|message|table|it)"
AFTER_TRAINING = (
    r"(?:run|video|frame|step|list|split|set|process|loop|label|segment|class|epoch|row|time|data|action|box)"
)
UNIT = r"(?:second|minute|hour|epoch|step|line|row|frame|segment|class|video|file)"
COUNTED = r"(?:rows|frames|files|videos|pictures|times|steps|requests|samples|seconds|kB|MB)"

RULES = {
    "'alone' for 'only'": r"\balone\b",
    "'only' after the word that it limits": r"\bonly[.,;:)]",
    "'that of' for the noun": r"\b(?:that|those) of\b",
    "a program that says, knows, asks or tells": rf"\b{PROGRAM} (?:says?|knows?|asks?|tells?)\b",
    "'a training'": rf"\b(?:[Aa]|[Ee]ach|[Ee]very|[Oo]ne) training\b(?! {AFTER_TRAINING})|\btrainings\b",
    "videos that train or validate": r"\bvideos (?:train|validate)\b",
    "'where' for 'if'": r"^Where\b(?! to\b)|\b(?:only|except|not) where\b",
    "'beside'": r"\bbesides?\b",
    "'another' for 'a different'": r"\b(?<!one )[Aa]nother\b",
    "'no' for 'not'": r"\b(?:in no|changes? no|(?<![Tt]here )(?:is|are) no)\b",
    "a final 'too'": r", too\b|\btoo[.;)]",
    "'as' for 'such as'": r"(?:, |\()as (?:code\b|\")",
    "'a second' for 'per second'": rf"\b{COUNTED} an? {UNIT}\b|\ba {UNIT} (?:each|a {UNIT})\b",
    "'of your own' for 'your own'": r"\bof (?:yours|ours|one's own|your own|its own|their own)\b",
    "'is said'": r"\b(?:is|are) said\b",
    "history": r"\b(?:[Ff]ormer(?:ly)?|no longer|any more|used to be|[Ee]arlier version|in the past)\b",
    "words of the house": r"\b(?:films?|rooms?|shelf|workbench|laws?|ticks?|ticked)\b(?! of the)",
}
"""A regular expression for each pattern. `plain` has replaced inline code by the word 'code'."""

ALLOWED = {
    'instead of "': "CONTRIBUTING.md names what it excludes",
    'use "alone"': "CONTRIBUTING.md",
    "tests/shelf": "a folder",
    "read-only": "an adjective",
    "training-free": "an adjective",
    "training batch": "a batch",
    "as code writes": "a comparison",
    "as code built": "a comparison",
    "as code does": "a comparison",
    "as code lists": "a comparison",
    "as code of": "a comparison",
    "as code requires": "a comparison",
}
"""Parts of sentences that may break a rule, with the reason."""


def plain(text: str) -> str:
    """Return Markdown without code, addresses of links, comments and emphasis."""
    text = re.sub(r"<!--.*?-->|<[^>]+>", "", text)
    text = re.sub(r"`[^`]+`", "code", text)
    text = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", text)
    return re.sub(r"(?<!\w)[*_]{1,2}(?=\S)|(?<=\S)[*_]{1,2}(?!\w)", "", text).strip()


def markdown_lines() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each line of the Markdown files that is not code."""
    command = ["git", "ls-files", "*.md"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        is_code = False
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if line.lstrip().startswith("```"):
                is_code = not is_code
            elif not is_code and not line.startswith(":::"):
                yield f"{name}:{number}", line


def markdown_sentences() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each sentence, and of each phrase in a cell of a table.

    `make format` writes one sentence per line.
    """
    for place, line in markdown_lines():
        parts = [re.sub(r"^\s*(?:[-*>]|\d+\.|#+)\s+", "", line)]
        if line.startswith("|"):
            parts = re.split(r"(?<!\\)\||;\s", line)
        for part in parts:
            if text := plain(part):
                yield place, text


FINISHED = (
    "advice",
    "cli",
    "config",
    "core",
    "datasets",
    "decoding",
    "devices",
    "encoders",
    "evaluation",
    "formats",
    "inference",
    "integrations",
    "losses",
    "metrics",
    "models",
    "report",
    "runs",
    "text",
    "training",
    "unseen",
    "video",
)
"""Subpackages of fact_clip whose docstrings and comments are checked."""

ENTRY = re.compile(r"^\s+([\w*]+): (.*)")
"""A line of a docstring that starts the text of an argument, an attribute or an error."""

NO_NOUN = re.compile(r"(?:of|for (?!each)|in|to|from|with|at|by|on|as|which|called|what|where|how)\b", re.IGNORECASE)
"""Words with which the text of an argument must not begin."""


def documented(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring, including docstrings of constants."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                if isinstance(child.value.value, str):
                    yield child.lineno, child.value.value


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each comment. Adjacent lines that are only comments are one text."""
    lines: list[str] = []
    last_line = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or re.match(r"# (?:type|fmt|noqa)\b", token.string):
            continue
        text = token.string.lstrip("# ")
        line = token.start[0]
        is_alone = not token.line[: token.start[1]].strip()
        if lines and not (is_alone and line == last_line + 1):
            yield last_line, "\n".join(lines)
            lines = []
        if is_alone:
            lines.append(text)
            last_line = line
        else:
            yield line, text
    if lines:
        yield last_line, "\n".join(lines)


def sources_of_package() -> list[Path]:
    """Return the files of the finished subpackages."""
    return [path for name in FINISHED for path in sorted((ROOT / "fact_clip" / name).rglob("*.py"))]


def texts_of_package() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each docstring and comment of the finished subpackages."""
    for path in sources_of_package():
        source = path.read_text(encoding="utf-8")
        for line, text in [*documented(ast.parse(source)), *comments(source)]:
            yield f"{path.relative_to(ROOT)}:{line}", text


def paragraphs(text: str) -> list[str]:
    """Divide a docstring into paragraphs, each on one line. The text of an argument is a paragraph.

    Tables and diagrams, which have columns, and the examples of commands are left out.
    """
    parts: list[list[str]] = [[]]
    for line in text.splitlines():
        entry = ENTRY.match(line)
        if not line.strip() or line.strip() in ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:"):
            parts.append([])
        elif entry:
            parts.append([entry[2]])
        else:
            parts[-1].append(line.strip())
    is_skipped = [any("  " in line for line in part) or part[:1] == ["\b"] for part in parts]
    return [" ".join(part) for part, skipped in zip(parts, is_skipped, strict=True) if part and not skipped]


def docstring_sentences() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each sentence in docstrings and comments."""
    for place, text in texts_of_package():
        for paragraph in paragraphs(text):
            for sentence in re.split(r"(?<=[a-z)`][.]) +(?=[A-Z`\"(])", paragraph):
                yield place, plain(sentence.replace("``", "`"))


SOURCES = (markdown_sentences, docstring_sentences)


@pytest.fixture(scope="module")
def sentences() -> list[tuple[str, str]]:
    return [pair for source in SOURCES for pair in source()]


def faults(rule: str, pairs: list[tuple[str, str]]) -> list[str]:
    """The sentences that break a rule, with their places."""
    pattern = re.compile(RULES[rule])
    found = [f"{place}: {text}" for place, text in pairs if pattern.search(text)]
    return [line for line in found if not any(part in line for part in ALLOWED)]


@pytest.mark.parametrize("rule", RULES)
def test_no_sentence_has(rule, sentences):
    assert faults(rule, sentences) == []


def test_sentences_are_short(sentences):
    assert [f"{place}: {text}" for place, text in sentences if len(text.split()) > MOST_WORDS] == []


def test_sentences_are_not_packed(sentences):
    marks = re.compile(r"[;:](?= )")
    assert [f"{place}: {text}" for place, text in sentences if len(marks.findall(text)) > MOST_MARKS] == []


def test_the_text_of_an_argument_begins_with_a_noun():
    wrong = []
    for place, text in texts_of_package():
        is_list = False
        for line in text.splitlines():
            is_list = (is_list and bool(line.strip())) or line.strip() in ("Args:", "Attributes:")
            entry = ENTRY.match(line)
            if is_list and entry and (NO_NOUN.match(entry[2]) or re.match("[a-z]+ ", entry[2])):
                wrong.append(f"{place}: {line.strip()}")
    assert wrong == []


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("'alone' for 'only'", "It reads files alone."),
        ("'only' after the word that it limits", "It reads files only."),
        ("'that of' for the noun", "The rate is that of the video."),
        ("a program that says, knows, asks or tells", "The command says so."),
        ("'a training'", "After a training it stops."),
        ("'where' for 'if'", "Where a file is missing, it stops."),
        ("'as' for 'such as'", 'Give a name, as "stir".'),
        ("'a second' for 'per second'", "Use five rows a second."),
    ],
)
def test_a_rule_finds_what_it_names(rule, sentence):
    assert faults(rule, [("page", sentence)]) == [f"page: {sentence}"]


def test_plain_text_has_no_marks():
    assert plain("See [the *page*](CONTRIBUTING.md#a) and `x`, **not** <b>y</b>.") == "See the page and code, not y."
