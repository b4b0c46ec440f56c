"""Logs on standard error: for people on a terminal, or one JSON object a line."""

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from functools import cached_property
from importlib import import_module
from typing import Any, TextIO

from crawler.cli.options import LogOptions
from crawler.logs import get_logger

# Control characters but tab and line feed: what a page says must not steer the terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

log = get_logger("crawler.cli")


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is at the time: the live display puts itself in between."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        pass  # set by the parent's constructor


def printable(text: str) -> str:
    """Return `text` with control characters made visible."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


class _Formatter(logging.Formatter):
    """Formats with structlog, which is loaded for the first line: it brings rich with it."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, or as a JSON object."""
        return self._structlog.format(record)

    @cached_property
    def _structlog(self) -> logging.Formatter:
        structlog = import_module("structlog")
        shared: list[Any] = [
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ]
        last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
        if self._form == "json":
            last += [structlog.processors.format_exc_info, _in_order]
            last += [structlog.processors.JSONRenderer(ensure_ascii=False)]
        else:
            renderer = structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                pad_event_to=0,
                exception_formatter=structlog.dev.plain_traceback,
            )
            last += [_harmless, renderer]
        formatter: logging.Formatter = structlog.stdlib.ProcessorFormatter(
            processors=last, foreign_pre_chain=shared
        )
        return formatter


def configure(options: LogOptions) -> None:
    """Send the logs of the crawler, of spiders and of libraries to standard error."""
    handler = _StandardError()
    handler.setFormatter(_Formatter(options.format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    least = options.least.upper()
    # Libraries speak from info on; at debug they would drown what the crawler has to say.
    root.setLevel(max(logging.INFO, logging.getLevelNamesMapping()[least]))
    logging.getLogger("crawler").setLevel(least)


def notice(text: str, options: LogOptions, **values: Any) -> None:
    """Tell the user something whatever the log level is: a line, or a JSON object."""
    if options.format == "json":
        level = logging.getLogger("crawler").level
        logging.getLogger("crawler").setLevel(logging.INFO)
        log.info(text, **values)
        logging.getLogger("crawler").setLevel(level)
    else:
        with suppress(OSError):  # as of a log line: a disk that is full there stops no crawl
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def _in_order(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = {key: event.pop(key) for key in ("timestamp", "level", "logger", "event")}
    return {**first, **event}


def _harmless(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {
        key: printable(value) if isinstance(value, str) else value for key, value in event.items()
    }
