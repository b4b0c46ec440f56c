"""The tasks of a run in which the user's code is called: the workers, and that of `start()`."""

import asyncio
from collections.abc import Collection, Coroutine
from types import TracebackType
from typing import Any, Self

from crawler.ending import end
from crawler.errors import CrawlerError

# What they get to end when they are cancelled (seconds): a worker gives its callback half of it.
_LAST_WORDS = 2.0


class Staff:
    """Tasks that are watched, and left behind when they do not end; entered while the run lasts.

    They are in no task group, which would wait for ever for code that swallows its cancellation.
    And which takes one that was cancelled by that very code for a task that has come to its end:
    but a worker that has gone without a word leaves its page undone.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.dismiss(self._tasks)

    def hire(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Begin a task."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        return task

    async def dismiss(self, tasks: Collection[asyncio.Task[None]]) -> None:
        """End tasks from outside, whatever they make of it."""
        leaving = [task for task in tasks if not task.done()]
        self._tasks = self._tasks.difference(leaving)
        await end(leaving, within=_LAST_WORDS)

    async def watch(self) -> None:
        """Return when all have ended by themselves; raise as soon as one of them has failed.

        Raises what it raised, or `CrawlerError` when it was cancelled from within.
        """
        while self._tasks:
            gone, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in gone & self._tasks:
                self._tasks.remove(task)
                if task.cancelled():
                    raise CrawlerError(
                        f"{task.get_name()} was cancelled from within: a middleware, a callback "
                        "or start() cancels the task that it runs in"
                    )
                task.result()
