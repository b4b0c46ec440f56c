"""Crawlee for Python, tuned fairly: no log, no sessions, 64 requests at once.

    python crawlee_site.py START_URL OUTPUT {memory|disk}

With `memory` its queue and its items are in memory, and the items are written to the file OUTPUT
at the end; with `disk` all is kept in the folder OUTPUT, as it does by default.
"""

import asyncio
import json
import logging
import sys
import time
from datetime import timedelta
from pathlib import Path

from crawlee import ConcurrencySettings, service_locator
from crawlee.configuration import Configuration
from crawlee.crawlers import ParselCrawler, ParselCrawlingContext
from crawlee.http_clients import ImpitHttpClient
from crawlee.storage_clients import FileSystemStorageClient, MemoryStorageClient

CONCURRENCY = 64


async def crawl(url: str, path: Path, *, on_disk: bool) -> None:
    """Follow every link of the site, and store what its pages hold."""
    configuration = Configuration(
        storage_dir=str(path if on_disk else path.parent),
        log_level="CRITICAL",
        # What watches over the machine wakes up less often, and never holds the crawl back.
        max_used_cpu_ratio=1.0,
        max_used_memory_ratio=1.0,
        available_memory_ratio=0.9,
    )
    service_locator.set_configuration(configuration)
    crawler = ParselCrawler(
        configuration=configuration,
        storage_client=FileSystemStorageClient() if on_disk else MemoryStorageClient(),
        http_client=ImpitHttpClient(browser=None, persist_cookies_per_session=False),
        concurrency_settings=ConcurrencySettings(
            min_concurrency=CONCURRENCY,
            desired_concurrency=CONCURRENCY,
            max_concurrency=CONCURRENCY,
        ),
        use_session_pool=False,
        respect_robots_txt_file=True,
        configure_logging=False,
        status_message_logging_interval=timedelta(hours=1),
    )

    @crawler.router.default_handler
    async def handle(context: ParselCrawlingContext) -> None:
        kind = context.http_response.headers.get("content-type", "")
        if not kind.startswith("text/html"):
            return
        page = {
            "url": context.request.loaded_url or context.request.url,
            "title": context.selector.css("title::text").get(),
            "h1": context.selector.css("h1::text").get(),
        }
        await context.push_data(page)
        await context.enqueue_links(strategy="same-origin")

    await crawler.run([url])
    if not on_disk:
        dataset = await crawler.get_dataset()
        with path.open("w") as lines:
            async for item in dataset.iterate_items():
                lines.write(json.dumps(item) + "\n")


def main() -> None:
    """Crawl, and print how many seconds it took."""
    logging.disable(logging.CRITICAL)
    url, path, storage = sys.argv[1:]
    began = time.perf_counter()
    asyncio.run(crawl(url, Path(path), on_disk=storage == "disk"))
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
