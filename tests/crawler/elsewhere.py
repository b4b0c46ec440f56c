"""Spiders that run in child processes, which import them from here; see test_processes.py."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from crawler import DropRequest, FetchError, Item, Request, Response, Spider


class Page(Item):
    """A page, and the process that parsed it."""

    path: str
    process: int


def path_of(response: Response) -> str:
    return "/" + response.url.split("/", 3)[3]


class Walker(Spider):
    """Keeps every page and follows every link."""

    name = "walker"
    url = ""
    allowed_domains = ("127.0.0.1",)

    async def start(self) -> AsyncIterator[Request]:
        yield Request(self.url)

    def parse(self, response: Response) -> Any:
        yield Page(path=path_of(response), process=os.getpid())
        yield from response.follow_all("a")


def _loop_for_ever(_: Response) -> None:
    while True:
        pass


def _kill(_: Response) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop(_: Response) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _exit(_: Response) -> None:
    os._exit(3)


def _sleep(_: Response) -> None:
    time.sleep(3600)


DEATHS: dict[str, Callable[[Response], None]] = {
    "kill": _kill,
    "exit": _exit,
    "stop": _stop,
    "loop": _loop_for_ever,
    "sleep": _sleep,
}


class Sociable(Walker):
    """Waits on each page a while for a second process to begin one; `room` is a directory."""

    name = "sociable"
    room = ""

    async def parse(self, response: Response) -> Any:
        room = Path(self.room)
        (room / str(os.getpid())).touch()
        for _ in range(50):
            if path_of(response) != "/" and len(list(room.iterdir())) < 2:
                await asyncio.sleep(0.01)
        return super().parse(response)


class Mortal(Walker):
    """Dies on the pages under `/die/WAY`, the first time only when there is a `marker`."""

    name = "mortal"
    marker = ""

    def parse(self, response: Response) -> Any:
        yield from super().parse(response)
        _, room, *way = path_of(response).split("/")
        if room == "die" and self._shall_die():
            DEATHS[way[0]](response)

    def _shall_die(self) -> bool:
        if not self.marker:
            return True
        try:
            Path(self.marker).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class Cancelling(Walker):
    """Cancels the task that it runs in, on the page `/bad`."""

    name = "cancelling"

    def parse(self, response: Response) -> Any:
        if path_of(response) == "/bad":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            time.sleep(0.02)  # so that the others get their turn, and it its cancellation
        yield from super().parse(response)


class Late(Walker):
    """Names the site `other` last; a page with a link there is parsed until `/wait` answers."""

    name = "late"
    other = ""
    allowed_domains = None

    async def start(self) -> AsyncIterator[Request]:
        for number in range(10):
            yield Request(f"{self.url}{number}")
        await self.before_the_last()
        yield Request(self.other)

    async def before_the_last(self) -> None:
        """Wait for what a test puts here."""

    async def parse(self, response: Response) -> Any:
        links = list(response.follow_all("a"))
        for request in links:
            yield request
        if links:
            await self.fetch(response.urljoin("/wait"))


class Got(Item):
    what: str


class Asking(Walker):
    """Fetches from within its callbacks."""

    name = "asking"

    async def parse(self, response: Response) -> Any:
        for path in ("more", "missing", "forbidden", "cut"):
            request = Request(response.urljoin(path), headers={"X-From": "callback"})
            try:
                answer = await self.fetch(request)
            except FetchError as error:
                yield Got(what=f"{path} {type(error).__name__} {error.reason}")
            except DropRequest as error:
                yield Got(what=f"{path} {type(error).__name__} {error}")
            else:
                same = answer.request is request
                kind = answer.headers["content-type"]
                yield Got(what=f"{path} {answer.status} {answer.text} {same} {kind}")


class Detailed(Walker):
    """Fetches something more for each page but the first."""

    name = "detailed"

    async def parse(self, response: Response) -> Any:
        if path_of(response) != "/":
            details = await self.fetch(response.urljoin("/details"))
            yield Got(what=f"{len(response.body)} {details.text}")
        for request in response.follow_all("a"):
            yield request


class Patient(Walker):
    """Waits longer than a hang may last, and cancels a fetch that nobody answers."""

    name = "patient"

    async def parse(self, response: Response) -> Any:
        try:
            async with asyncio.timeout(1.0):
                await self.fetch(response.urljoin("never"))
        except TimeoutError:
            yield Got(what="waited")


class Various(Walker):
    """Everything that a request carries, and everything that may come of it."""

    name = "various"

    async def start(self) -> AsyncIterator[Request]:
        yield Request(
            self.url,
            self.front,
            meta={"day": (1, {"two"})},
            cb_kwargs={"page": Page(path="x", process=1)},
            headers={"X-One": "1"},
        )

    def front(self, response: Response, page: Page) -> Iterator[Any]:
        yield Got(what=f"{response.meta['day']} {page.path} {response.request.headers['X-One']}")
        yield Got(what=f"{self.category} {self.settings} {response.elapsed > 0}")
        yield {"also": "a dict"}
        yield Request(response.urljoin("missing"), errback=self.lost, meta={"k": 1})
        yield Request(response.urljoin("raises"))
        yield Request(response.urljoin("sys-exit"), self.leaves)
        yield Request(response.urljoin("moved"), self.page)
        yield Request(response.urljoin("canonical"), self.page)
        yield Request(response.urljoin("same"), self.page)
        yield Request(response.urljoin("same"), self.page, dont_filter=True)
        yield Request("http://offsite.example/")
        yield Request("mailto:somebody")
        yield Request("http://:::/")
        yield Request(response.urljoin("endless"), self.endless)
        yield Request(response.urljoin("post"), self.page, form={"a": "b"})
        yield from response.follow_all("a", self.page)

    def lost(self, failure: Any) -> Iterator[Any]:
        assert failure.response is not None
        yield Got(what=f"{failure.reason} {failure.response.text} {failure.request.meta}")

    def page(self, response: Response) -> Iterator[Any]:
        yield Got(what=f"{path_of(response)} {response.text[:20]} {response.redirects != ()}")

    def endless(self, _: Response) -> Iterator[Any]:
        while True:
            yield Got(what="x")

    def leaves(self, _: Response) -> Any:
        raise SystemExit(3)

    def parse(self, response: Response) -> Any:
        raise ValueError("no such page")

    category = "none"


class Talkative(Walker):
    """Logs and prints."""

    name = "talkative"

    def parse(self, response: Response) -> Any:
        self.logger.info("seen", path=path_of(response), thing=object)
        logging.getLogger("somebody").warning("plain %s", "words")
        logging.getLogger("somebody").debug("never heard")
        yield from super().parse(response)


class Weigher(Walker):
    """Says how much there was."""

    name = "weigher"

    def parse(self, response: Response) -> Any:
        yield Got(what=f"{path_of(response)} {len(response.body)} {sum(response.body[::9973])}")
        yield from response.follow_all("a")


class Unsent(Walker):
    """A middleware that leaves in `meta` what cannot be sent to another process."""

    name = "unsent"

    async def leave(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        if request.url.endswith("/1"):
            request.meta["lock"] = asyncio.get_running_loop()
        request.meta["seen"] = True
        return response

    middleware = (leave,)

    def parse(self, response: Response) -> Any:
        assert response.meta["seen"]
        yield from super().parse(response)
