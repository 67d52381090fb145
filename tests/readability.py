"""Measures of how densely code is written, for the rules of the house (CONTRIBUTING.md, 'How code is written')."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield all functions and methods."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            yield node


def docstring_lines(tree: ast.AST) -> set[int]:
    """Return the lines of strings that stand alone."""
    lines = set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def is_nested(node: ast.AST) -> bool:
    """Return whether a comprehension has two loops, or another comprehension inside."""
    if not isinstance(node, COMPREHENSIONS):
        return False
    return len(node.generators) > 1 or any(
        isinstance(child, COMPREHENSIONS) for child in ast.walk(node) if child is not node
    )


def is_tuple_assignment(node: ast.AST) -> bool:
    """Return whether a statement assigns several values at once and is no swap."""
    if not (
        isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)
    ):
        return False
    targets = {ast.dump(part).replace("Store", "Load") for part in node.targets[0].elts}
    return not targets & {ast.dump(part) for part in node.value.elts}


@cache
def counts(path: Path) -> Counter[str]:
    """Count lines of code, tokens and dense constructs of a file; docstrings and comments are no code."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    skipped, lines, result = docstring_lines(tree), set[int](), Counter[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT and token.start[0] not in skipped:
            result["tokens"] += 1
            lines.update(range(token.start[0], token.end[0] + 1))
    result["lines"] = len(lines)
    for node in ast.walk(tree):
        result["nested comprehensions"] += is_nested(node)
        result["conditional expressions"] += isinstance(node, ast.IfExp)
        result["walruses"] += isinstance(node, ast.NamedExpr)
        result["tuple assignments"] += is_tuple_assignment(node)
    return result


def total(paths: Iterable[Path]) -> Counter[str]:
    """Add up the counts of files."""
    result = Counter[str]()
    for path in paths:
        result.update(counts(path))
    return result


def rates(count: Counter[str]) -> dict[str, float]:
    """Return tokens a line, and dense constructs per 1,000 lines of code."""
    lines = max(count["lines"], 1)
    rows = {key: 1000 * value / lines for key, value in count.items() if key not in ("tokens", "lines")}
    return {"tokens a line": count["tokens"] / lines, **rows}
