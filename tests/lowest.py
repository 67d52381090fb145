"""The lowest versions that pyproject.toml allows, a constraint a line: what `make lowest` installs."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def constraints(text: str, *, any_torch: bool = False) -> list[str]:
    """``name==lowest`` for each dependency and each extra of users; tools of developers may be of any version.

    With `any_torch` torch and torchvision may be too.
    """
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *(each for name in extras if name != "dev" for each in extras[name])]
    if any_torch:
        listed = [each for each in listed if not each.startswith("torch")]
    listed = [each for each in listed if not each.startswith("fact-clip[")]
    return list(dict.fromkeys(re.sub(r"(?:\[.*\])?\s*>=\s*([\d.]+).*", r"==\1", each) for each in listed))


if __name__ == "__main__":
    text = Path("pyproject.toml").read_text(encoding="utf-8")
    print("\n".join(constraints(text, any_torch="any" in sys.argv)))  # noqa: T201
