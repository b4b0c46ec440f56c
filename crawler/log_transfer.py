"""Log records on their way from a child process to the owner, which logs them as its own."""

import logging
from collections.abc import Mapping
from socket import socket
from typing import Any

from crawler.channel import send_first
from crawler.logs import LogEvent
from crawler.messages import Say

# What cannot be sent, or would be made anew: the text that came of it is.
_LEFT = ("exc_info", "args")
_PLAIN = (str, int, float, bool, type(None), logging.Logger)


def levels() -> dict[str, int]:
    """Return the levels of the loggers that have one of their own; the root's name is empty."""
    root = logging.getLogger()
    found = {
        name: logger.level
        for name, logger in root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and logger.level
    }
    return {"": max(root.level, root.manager.disable + 1), **found}


def take(values: Mapping[str, Any]) -> None:
    """Log what a child has logged."""
    record = logging.makeLogRecord(dict(values))
    logging.getLogger(record.name).handle(record)


class LogSender(logging.Handler):
    """Sends records over a socket, at once, from whichever thread logs.

    So what a child says before it dies is heard, also when its event loop never runs again.
    """

    def __init__(self, end: socket) -> None:
        super().__init__()
        self._end = end

    def install(self, levels: Mapping[str, int]) -> None:
        """Have everything that is logged in this process go this way, from these levels on."""
        logging.getLogger().handlers[:] = [self]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            send_first(self._end, (Say.LOG, _portable(record)))
        except OSError:
            pass  # the owner has gone, and so will this process
        except Exception:  # noqa: BLE001 (as the standard handlers do)
            self.handleError(record)


def _portable(record: logging.LogRecord) -> dict[str, Any]:
    values = dict(record.__dict__)
    if record.exc_info and not record.exc_text:
        values["exc_text"] = logging.Formatter().formatException(record.exc_info)
    if not isinstance(record.msg, dict):  # else it is structlog's, and its handler's to render
        values["msg"] = record.getMessage()
    values.update(dict.fromkeys(_LEFT))
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Return what can be sent to any process: of an object, what a log line shows of it."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, LogEvent):
        return LogEvent({key: _plain(part) for key, part in value.items()})
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return repr(value)
