"""fact-clip plugins."""

from fact_clip.cli.console import print_result, table
from fact_clip.cli.options import AsJson


def plugins(as_json: AsJson = False) -> None:
    """List the parts that installed packages add: encoders, heads, formats, ...

    Each is loaded once, to say whether it works. See docs/extending.md.

    \b
    Example:
      fact-clip plugins --json
    """
    from fact_clip.core.plugins import list_plugins

    rows = list_plugins()
    print_result(rows, table(rows) if rows else "no plug-ins", as_json)
