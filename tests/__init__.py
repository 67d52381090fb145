"""Tests. The package sleap-io installs a package of this name, too; this one is found first."""
