"""The committer: gathers visits while the previous commit runs, then commits them as one group.

That is group commit: under load a transaction, and its fsync, is shared by as many visits as
came in the meantime; without load a visit waits for nobody.
"""

import asyncio
from collections.abc import Callable, Sequence

from crawler.inbox import Inbox
from storage import Store
from storage.records import Committed, CookieRecord, HostRecord, Run, Visit

# A group is bounded in visits and in rows, so that no transaction grows without end.
_MAX_VISITS = 512
_MAX_ROWS = 20_000
# Of all the pages that may be on their way, the part that is worth a commit without waiting.
_PART = 3

Listener = Callable[[Sequence[Visit], Committed], None]
Revision = Callable[[Sequence[Visit]], None]


class Committer:
    """Takes visits from its `inbox` and hands them to the store, a group at a time.

    That is bounded: when the disk is slow, workers wait here, and fetching slows down.
    `revise` is called with each group on its way to the store, and may change it.
    """

    def __init__(
        self,
        store: Store,
        run: Run,
        listener: Listener,
        host_news: Callable[[], Sequence[HostRecord]],
        cookie_news: Callable[[], Sequence[CookieRecord]],
        *,
        size: int,
        revise: Revision | None = None,
    ) -> None:
        self.inbox = Inbox(size)
        self._enough = size // _PART
        self._store = store
        self._run = run
        self._listener = listener
        self._revise = revise
        self._host_news = host_news
        self._cookie_news = cookie_news

    async def run(self) -> None:
        """Commit until a None comes.

        Whoever counts, schedules or reports hears of a visit only after its commit. Raises
        `StoreError` when the store fails; the visits of that group stay undone.
        """
        open_ended = True
        while open_ended:
            group, open_ended = await self._gather()
            if group:
                self._listener(group, await self._commit(group))
            del group  # the next visit may be long in coming
        await self._commit(())

    async def _commit(self, group: Sequence[Visit]) -> Committed:
        hosts, cookies = self._host_news(), self._cookie_news()
        if not (group or hosts or cookies):
            return Committed()
        if self._revise is not None:
            self._revise(group)
        return await self._store.commit(self._run, group, hosts, cookies)

    async def _gather(self) -> tuple[list[Visit], bool]:
        """Return all visits that are waiting, at least one; False after the last."""
        group: list[Visit] = []
        rows = 0
        await self.inbox.wait()
        await self._linger()
        for _ in range(min(len(self.inbox), _MAX_VISITS)):
            visit = self.inbox.take()
            if visit is None:
                return group, False
            group.append(visit)
            rows += len(visit.items) + len(visit.requests)
            if rows >= _MAX_ROWS:
                break
        return group, True

    async def _linger(self) -> None:
        """Wait while every turn of the loop brings further visits, up to a part of them all.

        Where the loop is what bounds the crawl, a commit of twice as many costs half as much.
        """
        seen = -1
        while seen < len(self.inbox) < self._enough:
            seen = len(self.inbox)
            await asyncio.sleep(0)
