"""Loggers for the crawler and its spiders: structlog on top of the standard library.

A library stays silent until the program that uses it configures `logging`; the command line
does so in `crawler.cli.logs`.
"""

import logging
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any


class Logger:
    """Takes an event and keyword values: `log.info("done", pages=3)`; `%s` arguments work too.

    structlog is loaded when the first line is logged: it brings rich and pygments with it,
    60 ms of the 400 that a crawl may take to its first request.
    """

    def __init__(self, name: str, **values: Any) -> None:
        self._name = name
        self._values = values

    def bind(self, **values: Any) -> "Logger":
        """Return a logger whose lines carry these values."""
        return Logger(self._name, **self._values, **values)

    def exception(self, event: str, *arguments: Any, **values: Any) -> None:
        """Log an error, and the exception that is being handled."""
        # Not structlog's, from which `logging` learns of the exception a second time.
        self._structlog.error(event, *arguments, **{"exc_info": True, **values})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._structlog, name)

    @cached_property
    def _structlog(self) -> Any:
        structlog = import_module("structlog")
        return structlog.wrap_logger(
            logging.getLogger(self._name),
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                _lenient(structlog.stdlib.PositionalArgumentsFormatter()),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                _readable,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        ).bind(**self._values)


def _lenient(formatter: Callable[..., Any]) -> Callable[..., Any]:
    """Return a formatter that shows what it cannot put into a line, as `logging` raises nothing."""

    def formatted(logger: Any, name: str, event: dict[str, Any]) -> Any:
        try:
            return formatter(logger, name, event)
        except (TypeError, ValueError, LookupError):
            event["event"] = f"{event['event']} {event.pop('positional_args')!r}"
            return event

    return formatted


class LogEvent(dict[str, Any]):
    """A log line's values; as text it reads well under plain `logging` handlers too."""

    def __str__(self) -> str:
        shown = [str(self.get("event", ""))]
        shown += [f"{key}={v}" for key, v in self.items() if key not in _TOLD_OTHERWISE]
        if trace := self.get("exception"):
            shown.append(f"\n{trace}")
        return " ".join(shown)


# What a handler's own format says already, or what comes at the end.
_TOLD_OTHERWISE = frozenset({"event", "logger", "level", "timestamp", "exception"})


def _readable(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    return LogEvent(event)


def get_logger(name: str) -> Logger:
    """Return a logger of that name."""
    return Logger(name)
