"""One page at a time, fetched as a spider would: guard, robots.txt, limits, decoding."""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from crawler.cookies import Cookies
from crawler.errors import DropRequest, FetchError, InvalidUrl, UsageError
from crawler.fetcher import Fetcher
from crawler.guard import Guard
from crawler.request import Request
from crawler.response import Response
from crawler.rulebook import Rulebook
from crawler.settings import Settings, load_settings
from crawler.throttle import Throttle
from crawler.url import canonical, has_bad_port, host_of, is_web, origin_of, redact


def page_settings(overrides: dict[str, Any]) -> Settings:
    """Return the settings of this directory's spiders, with `overrides`."""
    config = Path("config.toml")
    return load_settings(config if config.is_file() else None, None, overrides)


class PageFetcher:
    """Fetches pages by hand, without a crawl; nothing is retried."""

    def __init__(self, settings: Settings) -> None:
        self._guard = Guard(settings.allow_private)
        self._throttle = Throttle(settings)
        self._fetcher = Fetcher(settings, self._guard, self._throttle, Cookies(on=settings.cookies))
        self._agent = settings.agent
        self._rulebook = Rulebook(
            self._fetcher.fetch, settings.agent, retries=0, backoff=settings.backoff
        )

    async def __aenter__(self) -> Self:
        await self._fetcher.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._fetcher.__aexit__(kind, error, trace)

    async def fetch(self, request: Request) -> Response:
        """Return the response, whatever its status.

        An address that the user typed may be private; one that it redirects to may not.
        Raises `FetchError` when there is none, `DropRequest` when robots.txt or the guard
        forbids it, `UsageError` for what is no web address.
        """
        request.url = _whole(request.url)
        self._guard.name(request.url)
        await self._ask_robots(request.url)
        return await self._fetcher.fetch(request, self._hop)

    async def _hop(self, url: str, target: str) -> None:
        await self._ask_robots(target)

    async def _ask_robots(self, url: str) -> None:
        if not self._throttle.gate(host_of(url)).robots:
            return
        verdict = await self._rulebook.learn(origin_of(url))
        if verdict.rules is None:
            if not verdict.failed:
                raise DropRequest(f"{verdict.reason}: {url}")
            # Where nobody is there for robots.txt, nobody is there for the page.
            hint = "" if verdict.unreachable else " (--set robots=false goes without)"
            raise FetchError(verdict.reason, f"robots.txt of {origin_of(url)}{hint}")
        if not self._rulebook.allows(verdict, url):
            raise DropRequest(f"robots: {url} is disallowed (--set robots=false ignores that)")


def _whole(url: str) -> str:
    if "://" not in url:
        whole = redact(f"https://{url}")
        raise UsageError(f"not a whole URL: did you mean {whole} ?")
    try:
        address = canonical(url)
    except ValueError as error:
        raise InvalidUrl(str(error)) from error
    if not is_web(address):
        raise UsageError(f"{address!r} is not an http or https URL")
    if has_bad_port(host_of(address)):
        raise UsageError(f"no page is fetched from the port of {host_of(address)} (bad_port)")
    return address
