"""The fixtures that the standby service and the web face share."""

from web_tools.fixtures import ann, world

__all__ = ["ann", "world"]
