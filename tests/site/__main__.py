"""Serves a synthetic site from a process of its own, until it is interrupted or terminated.

    python -m tests.site --seed 1 --pages 200 --port 0

The first line on standard output is the site's URL. Every field of `SiteSpec` is an option.
"""

import argparse
import asyncio
import signal
from dataclasses import MISSING, fields

from crawler.selftest.site import SiteServer
from crawler.selftest.spec import SiteSpec


async def _serve(spec: SiteSpec, host: str, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with SiteServer(spec, host=host, port=port) as server:
        print(server.url, flush=True)
        await stopped.wait()


def main() -> None:
    """Serve what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.site")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    for field in fields(SiteSpec):
        option = f"--{field.name.replace('_', '-')}"
        if field.default is MISSING:
            parser.add_argument(option, type=int, required=True)
        else:
            parser.add_argument(option, type=type(field.default), default=field.default)
    arguments = vars(parser.parse_args())
    host, port = arguments.pop("host"), arguments.pop("port")
    asyncio.run(_serve(SiteSpec(**arguments), host, port))


if __name__ == "__main__":
    main()
