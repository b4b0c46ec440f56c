"""The turns of the event loop: whether others got theirs while something ran."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """How many there were."""

    count = 0


@asynccontextmanager
async def counted() -> AsyncIterator[Turns]:
    """Count the turns while this is entered."""
    turns = Turns()

    async def count() -> None:
        while True:
            turns.count += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    try:
        yield turns
    finally:
        counting.cancel()
