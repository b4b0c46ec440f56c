"""A web of a few hosts, and a spider for it, made up from a number; see test_random_crawls.py."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from crawler import DropRequest, FetchError, Item, Request, Response, RetryLater, Spider
from crawler.middleware import Handler
from crawler.spider import Failure

MEDIUM, LARGE = 4096, 16384  # what counts as large here, in bytes
_ROBOTS = ["none", "none", "rules", "late", "failing", "elsewhere"]
_TROUBLES = ["503", "429", "500", "hangs up", "cut"]
_LAYERS = ["fetches before", "fetches beside", "fetches after", "asks twice"]
_LAYERS += ["gives up", "raises", "drops", "retries"]


class Name(NamedTuple):
    """Which page: the number of its host, and its own."""

    host: int
    number: int


class Got(Item):
    """What a page gives."""

    key: str


@dataclass
class Page:
    """What the server, the callback and the middleware do when it is asked for."""

    to: Name | None = None  # it redirects there
    troubles: list[str] = field(default_factory=list)  # its first answers
    status: int = 200
    size: int = 0
    wait: float = 0.0
    links: list[Name] = field(default_factory=list)
    items: int = 0
    fetches: list[Name] = field(default_factory=list)  # by the spider's own code, all at once
    patience: float | None = None  # of the callback with these (seconds)
    raises: bool = False
    layer: str = ""  # of the middleware


class Web:
    """All that a number says, and the server's side of it."""

    def __init__(self, seed: int) -> None:
        self.seed, self.dice = seed, Random(seed)
        pick, some = self.dice.choice, self._some
        size, self.hosts = pick([3, 6, 12]), self.dice.randint(1, 4)
        self.names = [Name(host, n) for host in range(self.hosts) for n in range(size)]
        shares = [pick([0.0, share]) for share in (0.3, 0.3, 0.6, 0.5, 0.1, 0.3)]
        self.pages = {name: self._page(*shares) for name in self.names}
        self.robots = [pick(_ROBOTS) for _ in range(self.hosts)]
        self.forbidden = {name for name in self.names if some(0.2)}
        self.starts = self.dice.sample(self.names, self.dice.randint(1, len(self.names)))
        self.settings: dict[str, Any] = {
            "concurrency": pick([1, 2, 3, 5, 8]),
            "concurrency_per_host": pick([1, 2, 3]),
            "delay": pick([0, 0, 0.02]),
            "retries": pick([1, 2, 3]),
            "adaptive": some(0.5),
            "backoff": 0.01,
            "breaker": 0,
            "max_redirects": pick([1, 4]),
            "grace": pick([0, 5]),
            "allow_private": ["*"],
        }
        # After so many pages each of the first two runs is stopped, or by a limit.
        self.stops, self.limited = pick([[], [], [1, 4], [3, 10]]), some(0.5)
        self.bases: list[str] = []
        self.asked: Counter[Name] = Counter()
        self.inside = self.most_inside = 0

    def _some(self, share: float) -> bool:
        return self.dice.random() < share

    def _page(self, redirects: float, troubled: float, large: float, *shares: float) -> Page:
        fetching, broken, layered = shares
        pick, picks, some = self.dice.choice, self.dice.choices, self._some
        page = Page(wait=pick([0, 0.005, 0.03]), layer=pick(_LAYERS) if some(layered) else "")
        if page.layer or some(fetching):
            page.fetches, page.patience = picks(self.names, k=pick([1, 2, 4])), pick([None, 0.02])
        if some(redirects):
            page.to = pick(self.names)
            return page
        page.links, page.items = picks(self.names, k=pick([0, 2, 6])), pick([0, 1, 2])
        page.troubles = picks(_TROUBLES, k=pick([1, 2, 4])) if some(troubled) else []
        page.size = pick([MEDIUM // 2, MEDIUM, LARGE]) + 100 if some(large) else 0
        page.raises, page.status = some(broken), 404 if some(broken) else 200
        return page

    def url(self, name: Name) -> str:
        return f"{self.bases[name.host]}{name.number}"

    def site(self, host: int) -> dict[str, Any]:
        """The pages of a host, as `tests.site.serve` takes them."""
        names = [name for name in self.names if name.host == host]
        pages = {f"/{name.number}": self._counted(name, self._answer) for name in names}
        return {**pages, "/robots.txt": self._counted(Name(host, -1), self._robots)}

    def _counted(self, name: Name, answer: Callable[[Name], Any]) -> Callable[[object], Any]:
        async def counted(_: object) -> Any:
            self.asked[name] += 1
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            try:
                return await answer(name)
            finally:
                self.inside -= 1

        return counted

    async def _robots(self, name: Name) -> Any:
        kind = self.robots[name.host]
        if kind == "failing" or (kind == "late" and self.asked[name] == 1):
            return (503, {"Retry-After": "0"}, "")
        if kind == "elsewhere":
            return (302, {"Location": f"{self.bases[0]}robots.txt"}, "")
        mine = [other for other in self.forbidden if other.host == name.host and kind == "rules"]
        return "User-agent: *\n" + "".join(f"Disallow: /{other.number}$\n" for other in mine)

    async def _answer(self, name: Name) -> Any:
        page = self.pages[name]
        await asyncio.sleep(page.wait)
        if page.to is not None:
            return (302, {"Location": self.url(page.to)}, "")
        trouble = (page.troubles[self.asked[name] - 1 :] or [""])[0]
        if trouble == "hangs up":
            return None
        if trouble == "cut":
            return (200, {"Content-Length": "999"}, "half")
        if trouble:
            return (int(trouble), {"Retry-After": "0"}, "")
        return (page.status, {}, f"{name}".ljust(page.size))

    def fates(self, name: Name, hops: int = 0, lost: int = 0) -> set[str]:
        """The states that a request for a page may end in.

        `lost` are tries that went to the robots.txt, not there yet, of hosts that it was led to.
        """
        page = self.pages[name]
        says = 0 if self.robots[name.host] == "elsewhere" else name.host
        lost += bool(hops) and self.robots[says] == "late"
        if self.robots[says] == "failing":
            return {"failed"}
        if self.robots[says] == "rules" and Name(says, name.number) in self.forbidden:
            return {"skipped"} | ({"failed"} if lost > self.settings["retries"] else set())
        # What the middleware does it does once, where redirects begin.
        if not hops and page.layer in ("raises", "drops"):
            return {"failed" if page.layer == "raises" else "skipped"}
        if page.to is not None:
            too_many = hops == self.settings["max_redirects"]
            return {"done"} | ({"failed"} if too_many else self.fates(page.to, hops + 1, lost))
        ends = {"failed"} if page.raises or page.status != 200 else {"done"}
        # How many of its answers other fetches have is chance.
        return ends | {"failed"} if len(page.troubles) + lost > self.settings["retries"] else ends

    @property
    def is_calm(self) -> bool:
        """Whether no fetch is given up, of which the server would hear too late."""
        given_up = any(p.patience or p.layer == "gives up" for p in self.pages.values())
        return not (given_up or self.stops)


class Wanderer(Spider):
    """Does what the pages say. `seed` says which web, `bases` where its hosts are."""

    name = "wanderer"
    seed = bases = ""
    allowed_domains = ("127.0.0.1",)
    middleware = ("layer",)

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.web = Web(int(self.seed))
        self.web.bases = self.bases.split()
        self.names = {self.web.url(name): name for name in self.web.names}
        self.tried: set[str] = set()

    async def start(self) -> AsyncIterator[Request]:
        for name in self.web.starts:
            yield Request(self.web.url(name), errback=self.failed)
            await asyncio.sleep(0.001)

    async def parse(self, response: Response) -> AsyncIterator[Any]:
        name = self.names[response.url]
        page = self.web.pages[name]
        if not page.layer:
            with suppress(TimeoutError):
                async with asyncio.timeout(page.patience):
                    await self.get(page.fetches)
        for n in range(page.items):
            yield Got(key=f"{name} {n}")
        for request in response.follow_all([self.web.url(to) for to in page.links]):
            yield request
        if page.raises:
            raise ValueError("on purpose")

    async def failed(self, failure: Failure) -> AsyncIterator[Any]:
        await self.get(self.web.starts[:1])
        yield Got(key=f"failed {failure.request.url}")

    async def get(self, names: list[Name]) -> None:
        """Fetch pages, whatever comes of it; no middleware does anything about them."""
        requests = [Request(self.web.url(name), meta={"own": True}) for name in names]
        for end in await asyncio.gather(*map(self.fetch, requests), return_exceptions=True):
            if isinstance(end, BaseException) and not isinstance(end, FetchError | DropRequest):
                raise end

    async def layer(self, request: Request, call_next: Handler) -> Response:
        page = self.web.pages[self.names[request.url]]
        layer = "" if "own" in request.meta else page.layer
        if layer == "raises":
            raise ValueError("on purpose")
        if layer == "drops":
            raise DropRequest("dropped")
        if layer == "retries" and request.url not in self.tried:
            self.tried.add(request.url)
            raise RetryLater(0.01, "again", counts=False)
        if layer == "fetches before":
            await self.get(page.fetches)
        if layer == "asks twice":
            await call_next(request)
        if layer == "gives up":
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    return await call_next(request)
        beside = asyncio.ensure_future(self.get(page.fetches if layer == "fetches beside" else []))
        try:
            response = await call_next(request)
        finally:
            await beside
        if layer == "fetches after":
            await self.get(page.fetches)
        return response
