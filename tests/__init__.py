"""Tests. The package sleap-io installs a package of this name, too; see pythonpath in pyproject.toml."""
