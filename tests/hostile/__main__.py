"""Serves every hostile case at once, but for the heavy ones, until standard input ends.

    python -m tests.hostile

The first line on standard output is a JSON list of the start URLs.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from tests.hostile.case import stage
from tests.hostile.cases import CASES


async def _serve() -> None:
    async with AsyncExitStack() as stack:
        cases = [case for case in CASES if not case.heavy]
        urls = [(await stage(case, stack))[0] + case.path for case in cases]
        print(json.dumps(urls), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
