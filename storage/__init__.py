"""What a crawl leaves behind: the store, its records, and how to read them again.

The ground floor: it knows nothing of HTTP or spiders.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast

from storage.errors import RunMismatch, StoreError

if TYPE_CHECKING:
    from types import TracebackType

    from storage.records import (
        Committed,
        CookieRecord,
        Finish,
        HostRecord,
        HostWork,
        NewRequest,
        Report,
        Run,
        Table,
        Totals,
        Visit,
        Want,
    )

__all__ = ["RunMismatch", "Store", "StoreError", "open_store"]


class Store(Protocol):
    """Owns a crawl's data while it is entered. Each method is one transaction.

    Only the store decides what is new. Every method raises `StoreError` when the data cannot
    be used; what was committed before stays.
    """

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None: ...
    async def begin_run(
        self,
        spider: str,
        arguments: dict[str, str],
        *,
        fresh: bool,
        tables: "Iterable[Table]",
        make: "Iterable[Table]" = (),
    ) -> "Run": ...
    async def finish_run(self, run: "Run", finish: "Finish") -> None: ...
    async def totals(self, run: "Run") -> "Totals": ...
    async def report(self, run: "Run") -> "Report": ...
    async def cookies(self, run: "Run") -> "list[CookieRecord]": ...
    async def seed(
        self,
        run: "Run",
        requests: "Sequence[NewRequest]",
        *,
        last: bool,
        cookies: "Sequence[CookieRecord]" = (),
        admits: "Callable[[str], bool] | None" = None,
    ) -> "Committed": ...
    async def start_hosts(self, run: "Run") -> set[str]: ...
    async def host_pages(self, run: "Run") -> dict[str, int]: ...
    async def queued_hosts(self, run: "Run") -> list[str]: ...
    async def stands(self, run: "Run", fingerprint: int, other_than: int) -> bool: ...
    async def ready(self, run: "Run", wants: "Sequence[Want]") -> "list[HostWork]": ...
    async def commit(
        self,
        run: "Run",
        visits: "Sequence[Visit]",
        hosts: "Iterable[HostRecord]" = (),
        cookies: "Sequence[CookieRecord]" = (),
    ) -> "Committed": ...


def open_store(url: str | Path) -> Store:
    """Return the store that `url` names, not yet entered: a path, or `sqlite:PATH`.

    The engine behind it is imported only now, so that nobody pays for one that is not used.
    Raises `StoreError` for a kind of store there is none of.
    """
    text = str(url)
    scheme, colon, rest = text.partition("://")
    if colon and scheme != "sqlite":
        raise StoreError(f"no store for {scheme}:// addresses: give the path of a file")
    sqlite = import_module("storage.sqlite")
    return cast(Store, sqlite.SqliteStore(Path(rest if colon else text)))
