"""Structured logs on standard error: JSON lines for machines, or lines for people."""

from __future__ import annotations

import logging
import sys

import structlog

from everpost.app.config import Log


def configure_logs(settings: Log, process: str) -> None:
    """Set up this process's logs; `process` stands in every event. Libraries' warnings come out as events too."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    for_people = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if for_people else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([] if for_people else [structlog.processors.format_exc_info]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[_ToStructlog()], force=True)


class _ToStructlog(logging.Handler):
    """What libraries log, as an event of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        event = structlog.get_logger().bind(library=record.name)
        event.log(record.levelno, "library", message=record.getMessage(), exc_info=record.exc_info)
