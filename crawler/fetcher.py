"""The one guarded door to the network: seeds, links, redirects, robots.txt and user calls."""

import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from crawler.body import Bodies, off_the_clock
from crawler.connector import OUT_OF_FILES, WireConnector
from crawler.cookies import Cookies
from crawler.deadline import Deadline, Deadlines
from crawler.decoding import ACCEPT_ENCODING
from crawler.errors import DropRequest, FetchError
from crawler.exchange import Answer, Exchange
from crawler.guard import AddressRefused, Guard
from crawler.head import fault_in, headers_as_text
from crawler.request import Request
from crawler.resolver import NO_SUCH_NAME, Resolver
from crawler.response import Response
from crawler.settings import Settings
from crawler.throttle import Throttle
from crawler.url import canonical, host_of, is_web, origin_of
from crawler.wire import MAX_HEADERS, MAX_LINE

# Called before each redirect hop with the url left and the url to come: waits for the next
# host's turn, and raises `DropRequest` when the page must not be fetched.
HopPolicy = Callable[[str, str], Awaitable[None]]

# How answers are read: decoding is ours, and limits, too. A page of 126 KB fits into the buffer,
# or reading it would be paused, and taken up again, twice.
_OF_ANSWERS: dict[str, Any] = {
    "auto_decompress": False,
    "read_bufsize": 1 << 18,
    "max_line_size": MAX_LINE,
    "max_field_size": MAX_LINE,
    "max_headers": MAX_HEADERS,
}
_WITHOUT_BODY = ("GET", "HEAD")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# The only headers that follow a redirect to another origin; any other may hold a secret. The
# type of a body is there as long as the body is.
_HARMLESS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "user-agent"}
)
_ABOUT_BODY = frozenset(
    {
        "content-type",
        "content-length",
        "content-encoding",
        "content-language",
        "content-location",
    }
)


class Fetcher:
    """Fetches one request at a time for each of its callers, over shared connections.

    Redirects are followed here, hop by hop. `wire.py` has the connections, `body.py` the bodies.
    """

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        throttle: Throttle,
        cookies: Cookies | None = None,
    ) -> None:
        self._cookies = cookies or Cookies(on=False)
        self._settings = settings
        self._most_redirects = settings.max_redirects
        self._guard = guard
        self._throttle = throttle
        self._headers = {
            "User-Agent": settings.agent,
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language": "en",
            "Accept-Encoding": ACCEPT_ENCODING,
            **settings.headers,
        }
        self._bodies = Bodies(settings.max_body)
        self.places = self._bodies.places
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._resolver = Resolver(self._settings.connect_timeout)
        connector = WireConnector(
            min_rate=self._settings.min_rate,
            limit=0,  # the semaphore and the hosts' gates bound what is in flight
            resolver=self._guard.resolver(self._resolver),
            socket_factory=self._guard.open,
            ttl_dns_cache=60,
            keepalive_timeout=30,
        )
        # The deadline of a fetch is ours, over all its hops; aiohttp sees to connecting.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout)
        self._session = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),  # ours is kept in the file
            timeout=timeout,
            **_OF_ANSWERS,
        )
        self._exchange = Exchange(connector, self._headers, timeout, **_OF_ANSWERS)
        self._deadlines = Deadlines()
        # aiohttp would send a GET again by itself when the server hangs up: a contact that no
        # delay, no count of attempts and no server's log would agree with. A test pins this.
        self._session._retry_connection = False
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            self._exchange.close()
            try:
                await self._session.close()
            finally:
                self._deadlines.close()
                await self._resolver.close()
                self._session = None

    def hang_up(self) -> None:
        """Close the connections that are kept; who asks again has a new one."""
        self._exchange.close()

    async def fetch(
        self,
        request: Request,
        before_hop: HopPolicy | None = None,
        *,
        url: str | None = None,
        first: int | None = None,
        max_redirects: int | None = None,
    ) -> Response:
        """Return the response to `request`, whatever its status, redirects followed.

        `url` is the request's in canonical form, if the caller has that.

        With `first`, a body of more bytes than that is no failure: its first ones are returned,
        and the rest is not read. `max_redirects` stands in for the setting.

        Raises `FetchError` (with a reason) when no whole response could be had in time, and
        `DropRequest` when the guard or `before_hop` refuses a page.
        """
        if self._session is None:
            raise RuntimeError("the fetcher is not entered")
        url = canonical(request.url) if url is None else url
        method, body = request.method, request.body
        headers = dict(request.headers)
        general, plain = self._headers, False
        if request.cookies:
            self._cookies.give(request, url, headers)
        trail: list[str] = []
        most = self._most_redirects if max_redirects is None else max_redirects
        started = time.perf_counter()
        gate = self._throttle.gate(host_of(url))
        limit = gate.timeout
        try:
            with self._deadlines.within(limit) as deadline:
                while True:
                    own = _harmless(gate.headers) if plain else gate.headers
                    sent = {**general, **own, **headers} if own or headers else general
                    response = await self._hop(request, method, url, sent, body, first, deadline)
                    target = self._redirect_target(response, url)
                    if target is None:
                        break
                    trail.append(url)
                    if len(trail) > most:
                        raise FetchError("too_many_redirects", f"{len(trail)} hops")
                    method, body = _method_after(response.status, method, body, headers)
                    if origin_of(target) != origin_of(url):
                        headers, general = _harmless(headers), _harmless(general)
                        # What a host is to be told over https is not for all between to read.
                        plain = plain or (url.startswith("https:") and target.startswith("http:"))
                    self._guard.check(target)  # first: it says more than "offsite"
                    if before_hop is not None:
                        await off_the_clock(deadline, before_hop(url, target))
                    url, gate = target, self._throttle.gate(host_of(target))
        except TimeoutError as error:
            # Where redirects lead there was less time: that says nothing about who is there.
            silent = request.phases.ttfb is None and not trail
            what = f"no answer in {limit:g} s"
            raise FetchError("timeout", what, retryable=True, silent=silent) from error
        response.redirects = tuple(trail)
        request.phases.elapsed = time.perf_counter() - started
        return response

    async def _hop(
        self,
        request: Request,
        method: str,
        url: str,
        sent: Mapping[str, str],
        body: bytes | None,
        first: int | None,
        deadline: Deadline,
    ) -> Response:
        self._guard.approach(url)
        phases = request.phases
        phases.ttfb = None  # not what an earlier hop has taken
        started = time.perf_counter()
        jar = self._cookies.jar_of(request)
        if jar is not None:
            sent = self._cookies.with_ours(jar, url, sent)
        content = b""
        try:
            async with await self._ask(method, url, sent, body) as answer:
                phases.ttfb = time.perf_counter() - started
                if jar is not None and (lines := answer.headers.getall("Set-Cookie", ())):
                    self._cookies.receive(jar, url, lines)
                if answer.status in _REDIRECTS and "Location" in answer.headers:
                    await self._bodies.skip(answer)
                elif answer.status == 206 and not any(name.lower() == "range" for name in sent):
                    raise FetchError("bad_response", "a part of what was asked for", retryable=True)
                else:
                    whole = self._bodies.at_hand(answer, first)
                    if whole is None:
                        whole = await self._bodies.read(answer, first, deadline, url)
                    content = whole
                phases.body = time.perf_counter() - started - phases.ttfb
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
                raise  # the deadline's, told by `fetch`
            raise _explained(error) from error
        return Response(
            url,
            status=answer.status,
            headers=headers_as_text(answer.headers),
            body=content,
            request=request,
        )

    def _ask(
        self, method: str, url: str, sent: Mapping[str, str], body: bytes | None
    ) -> Awaitable[aiohttp.ClientResponse | Answer]:
        if body is None and method in _WITHOUT_BODY:
            return self._exchange.ask(method, url, sent)
        return self._send(method, url, sent, body)

    async def _send(
        self, method: str, url: str, sent: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        assert self._session is not None
        ask = partial(self._session.request, method, _as_written(url), headers=sent, data=body)
        return await self._exchange.with_room(partial(ask, allow_redirects=False))

    def _redirect_target(self, response: Response, url: str) -> str | None:
        """Return the canonical url that a response redirects to, or None.

        Raises `FetchError("bad_redirect")` for one that leads nowhere.
        """
        if response.status not in _REDIRECTS:
            return None
        location = response.headers.get("Location")
        if location is None:
            return None  # nothing to follow: its status speaks for itself
        try:
            target = canonical(location, url)
        except ValueError as error:
            raise FetchError("bad_redirect", str(error)) from error
        if not is_web(target):
            raise FetchError("bad_redirect", "to something that is not a web page")
        return target


def _as_written(url: str) -> URL:
    """Return a canonical url as what aiohttp takes; it goes over the wire to the letter.

    yarl would change its escapes, and lose a `?` that nothing follows: that goes with the path.
    """
    wire = URL(url, encoded=True)
    if url[-1] == "?" and not wire.raw_query_string:
        return wire.with_path(f"{wire.raw_path}?", encoded=True)
    return wire


def _harmless(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those headers that may follow a redirect to another origin."""
    return {name: value for name, value in headers.items() if name.lower() in _HARMLESS}


def _method_after(
    status: int, method: str, body: bytes | None, headers: dict[str, str]
) -> tuple[str, bytes | None]:
    """Return method and body for the next hop (Fetch standard, HTTP-redirect fetch, step 12)."""
    to_get = (status == 303 and method not in ("GET", "HEAD")) or (
        status in (301, 302) and method == "POST"
    )
    if not to_get:
        return method, body
    for name in [name for name in headers if name.lower() in _ABOUT_BODY]:
        del headers[name]
    return "GET", None


def _explained(error: Exception) -> FetchError | DropRequest:
    """Return the reason code and the text for what went wrong on the wire."""
    text = " ".join(str(error).split()) or type(error).__name__
    match error:
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return DropRequest("private_address")
        case aiohttp.ClientConnectorDNSError():
            again = error.os_error.errno not in NO_SUCH_NAME
            return FetchError("dns", text, retryable=again, unreachable=True)
        case aiohttp.ClientConnectorCertificateError() | ssl.CertificateError():
            return FetchError("tls", text, unreachable=True)
        case aiohttp.ClientSSLError() | ssl.SSLError():
            began = isinstance(error, aiohttp.ClientError)  # else it broke later
            return FetchError("tls", text, retryable=True, unreachable=began)
        case aiohttp.ServerTimeoutError():
            why = text or "no connection in time"
            return FetchError("timeout", why, retryable=True, unreachable=True)
        case aiohttp.ClientConnectorError() if error.errno in OUT_OF_FILES:
            return FetchError("connection", text, retryable=True)  # the shortage is ours
        case aiohttp.ClientConnectorError():
            return FetchError("connection", text, retryable=True, unreachable=True)
        case aiohttp.ClientPayloadError():
            return FetchError("truncated", text, retryable=True)
        case aiohttp.ClientResponseError():
            return FetchError("bad_response", fault_in(error.message), retryable=True)
        case aiohttp.InvalidURL():
            return FetchError("invalid_url", text)
        case aiohttp.ServerDisconnectedError():
            return FetchError("connection", "the server hung up", retryable=True)
        case aiohttp.ClientError() | OSError():
            return FetchError("connection", text, retryable=True)
        case _:
            return FetchError("bad_request", text)
