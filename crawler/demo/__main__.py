"""Serves the demo bookshop until Ctrl-C: `python -m crawler.demo [--port N]`."""

import argparse
import asyncio
import sys

from crawler.demo.site import DemoSite


async def _serve(port: int) -> None:
    async with DemoSite(port=port) as site:
        print(site.url, flush=True)
        await asyncio.Event().wait()


def main() -> int:
    """Serve the shop; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m crawler.demo", description="Serve a small bookshop to try spiders on."
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes any free one (%(default)s)")
    port = parser.parse_args().port
    try:
        asyncio.run(_serve(port))
    except KeyboardInterrupt:
        return 0
    except (OSError, OverflowError) as error:
        print(f"cannot serve on port {port} ({error}); try --port 0", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
