"""What a page yields, as plain rows: the items and requests of its visit."""

from collections.abc import Awaitable, Iterator
from dataclasses import is_dataclass
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from crawler.backlog import Backlog, Bringing, weight_of
from crawler.callbacks import CallbackError, Methods
from crawler.links import Discovery, Followed
from crawler.request import Request, stands_for_url
from crawler.selection import Selector, SelectorList
from storage.columns import row_of
from storage.records import ItemRow, NewRequest, QueuedRequest

_ITEM = (BaseModel, dict)
_READ = "write .get() or .getall() after it"
_ONE_BY_ONE = "write yield from"
# Characters of the urls that a page brings. On a page itself there are no more than that, but a
# long <base> makes 200 MB of links out of 500 KB.
_LONGEST = 16 << 20


class Harvest:
    """Takes what the callback of one page yields, in order; entered from its parsing to its end.

    Rows are made at once, so that what the spider does with an item afterwards changes nothing.
    `methods`, when given, says whether the callbacks of requests are there. `nofollow`: the page
    asks that its links be not followed.
    """

    def __init__(
        self,
        discovery: Discovery,
        row: QueuedRequest,
        url: str,
        methods: Methods | None = None,
        backlog: Backlog | None = None,
        *,
        nofollow: bool = False,
    ) -> None:
        self.items: list[ItemRow] = []
        self._discovery = discovery
        self._row = row
        self._url = url
        self._methods = methods
        self._nofollow = nofollow
        self._position = 0
        self._backlog = backlog or Backlog()
        self._bringing: Bringing | None = None  # most callbacks are through in no time
        self._urls = 0  # how long those found are together
        self._requests: dict[int, NewRequest] = {}

    @property
    def requests(self) -> list[NewRequest]:
        """The requests found, each once."""
        return list(self._requests.values())

    def take(self, output: Any) -> None:
        """Take one result.

        Raises `TypeError` for what a callback does not yield, `CallbackError` for an item and
        `ValueError` for a request that cannot be stored, `LookupError` for one whose callback
        is not there.
        """
        self._position += 1
        if isinstance(output, Request):
            if not self._discovery.has(output):
                if self._methods is not None:
                    self._methods.check(output)
                nofollow = self._nofollow or output.nofollow
                self._found(
                    self._discovery.record(output, self._row, self._position, nofollow=nofollow)
                )
        elif isinstance(output, _ITEM):
            try:
                self.items.append(row_of(output, self._url))
            except ValueError as error:
                hint = f": {_READ}" if ".Selector'>" in str(error) else ""  # ours, or parsel's
                raise CallbackError("item_error", f"{error}{hint}") from error
        elif output is not None:
            raise TypeError(
                f"a callback yields items, dicts and Requests, not {_no_result(output)}"
            )

    def take_followed(self, followed: Followed, first: Request) -> int:
        """Take what `followed` has yielded last, and the next few links, but for what is known.

        Returns how many of them it will not yield. Raises as `take` does.
        """
        if not followed.is_bare:
            self.take(first)
            return self._pass_over(followed) if stands_for_url(first) else 0
        pages = [followed.latest, *followed.next_pages()]
        unknown = self._discovery.unknown(pages, followed.links)
        if unknown and self._methods is not None:
            self._methods.check(first)
        for url in unknown:
            self._found(
                self._discovery.link(url, first.callback, self._row, nofollow=self._nofollow)
            )
        self._position += len(pages)
        return len(pages) - 1

    def _pass_over(self, followed: Followed) -> int:
        """Leave out the next few links, but for those that lead to what the store has not."""
        pages = followed.next_pages()
        unknown = self._discovery.unknown(pages, followed.links)
        followed.go_on_with(unknown)
        left_out = len(pages) - len(unknown)
        self._position += left_out
        return left_out

    def slow(self) -> None:
        """Note that the callback, which never waits for anything, will take a while."""
        self._under_way().slow()

    async def turn(self) -> None:
        """Let the other pages go on."""
        await self._under_way().turn(weight_of(len(self._requests), self._urls))

    def _under_way(self) -> Bringing:
        if self._bringing is None:
            self._bringing = self._backlog.page()
        return self._bringing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bringing is not None:
            self._bringing.over()

    def _found(self, record: NewRequest) -> None:
        known = self._requests.setdefault(record.fingerprint, record)
        if known is record:
            self._urls += len(record.url)
            if self._urls > _LONGEST:
                what = f"the urls it yields are longer than {_LONGEST >> 20} MiB together"
                raise CallbackError("too_many_results", what)
        if known.state == "skipped" and record.state == "queued":
            self._requests[record.fingerprint] = record  # one link is enough to follow


def _no_result(output: object) -> str:
    """Return what a callback yields that is no result, and what to write instead."""
    kind, hint = type(output).__name__, ""
    if isinstance(output, Selector | SelectorList):
        hint = f": {_READ}"
    elif isinstance(output, Followed):
        kind, hint = "several requests at once", f": {_ONE_BY_ONE}"
    elif isinstance(output, list | tuple | set | Iterator):
        hint = f": {_ONE_BY_ONE}"
    elif isinstance(output, Awaitable):
        hint = ": write await before it"
    elif is_dataclass(output):
        hint = ": inherit from crawler.Item instead of @dataclass, or yield asdict(…)"
    return kind + hint
