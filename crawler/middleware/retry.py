"""Retry: which failures are worth another try, and when."""

import time

from crawler.backoff import backoff_delay, parse_retry_after
from crawler.errors import FetchError, RetryLater
from crawler.middleware import Handler, Middleware
from crawler.request import Request
from crawler.response import Response
from crawler.settings import Settings

# Not the client's fault, or not for long: RFC 9110 section 15, RFC 6585, RFC 8470.
_RETRY_STATUS = frozenset({408, 425, 429})


def is_retry_status(status: int) -> bool:
    """Say whether a response with this status may be different the next time."""
    return status in _RETRY_STATUS or 500 <= status <= 599


def retry(settings: Settings) -> Middleware:
    """Return the middleware that puts requests back which may succeed later.

    It never sleeps: it raises `RetryLater`, and the request waits in the frontier, through
    restarts too. After the last try the failure passes through as it is.
    """

    retries = settings.retries

    async def retry_failures(request: Request, call_next: Handler) -> Response:
        last = request.attempts >= retries
        try:
            response = await call_next(request)
        except FetchError as error:
            if last or not error.retryable:
                raise
            delay = backoff_delay(request.attempts + 1, base=settings.backoff)
            raise RetryLater(max(delay, error.after), error.reason) from error
        except RetryLater as later:
            # Of a middleware of the user's, which need not look at the tries; or of a robots.txt
            # that is not to be had where a redirect leads.
            if last and later.counts:
                detail = f"it was put back {retries + 1} times"
                raise FetchError(later.reason, detail) from later
            raise
        if last or not is_retry_status(response.status):
            return response
        delay = backoff_delay(request.attempts + 1, base=settings.backoff)
        asked = parse_retry_after(response.headers.get("Retry-After"), time.time())
        raise RetryLater(
            max(delay, asked or 0.0), f"http_{response.status}", status=response.status
        )

    return retry_failures
