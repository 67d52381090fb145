"""The lowest versions that pyproject.toml allows, a constraint a line: what `make lowest` installs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def constraints(text: str) -> list[str]:
    """``name==lowest`` for each dependency and each extra of users; tools of developers may be of any version."""
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *(each for name in extras if name != "dev" for each in extras[name])]
    return list(dict.fromkeys(re.sub(r"(?:\[.*\])?\s*>=\s*([\d.]+).*", r"==\1", each) for each in listed))


if __name__ == "__main__":
    print("\n".join(constraints(Path("pyproject.toml").read_text(encoding="utf-8"))))  # noqa: T201
