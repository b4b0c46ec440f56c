"""A server for where there is no nginx: every page from memory.

python -m benchmarks.compare.server PORT=FOLDER ...
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web


async def serve(places: list[tuple[int, Path]]) -> None:
    """Serve each folder on its port, until cancelled."""
    for port, folder in places:
        pages = {
            f"/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*.html")
        }
        runner = web.ServerRunner(web.Server(_handler(pages)))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def _handler(pages: dict[str, bytes]) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    async def answer(request: web.BaseRequest) -> web.Response:
        body = pages.get(request.path)
        if body is None:
            return web.Response(status=404)
        return web.Response(body=body, content_type="text/html")

    return answer


if __name__ == "__main__":
    pairs = (argument.split("=", 1) for argument in sys.argv[1:])
    asyncio.run(serve([(int(port), Path(folder)) for port, folder in pairs]))
