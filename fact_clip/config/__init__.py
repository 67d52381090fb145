"""The configuration: frozen values (`schema`), read from short YAML recipes and ``key=value`` overrides (`recipes`)."""

from fact_clip.config.recipes import *  # noqa: F403
from fact_clip.config.schema import *  # noqa: F403
