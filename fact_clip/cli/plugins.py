"""fact-clip plugins."""

from fact_clip.cli.console import print_result, table
from fact_clip.cli.options import AsJson


def plugins(as_json: AsJson = False) -> None:
    """List the parts that installed packages add: encoders, heads, formats and metrics.

    Each is loaded once, to say whether it works. See docs/extending.md.

    \b
    Example:
      fact-clip plugins --json
    """
    from fact_clip.core.plugins import list_plugins
    from fact_clip.encoders import FRAME_ENCODERS, TEXT_ENCODERS
    from fact_clip.formats import FORMATS
    from fact_clip.metrics.report import METRICS
    from fact_clip.models.heads import HEADS

    rows = list_plugins([FRAME_ENCODERS, TEXT_ENCODERS, HEADS, FORMATS, METRICS])
    print_result(rows, table(rows) if rows else "no plug-ins", as_json)
