"""Where a page's microseconds go, from its bytes to its rows: each step by itself.

    python -m benchmarks.steps

The pages are those of the manuals that are installed (python3-doc, postgresql-doc-15) and 2,500
made ones of 2 KB. Nothing is fetched and nothing stored; `make bench-micro` has the commit.
"""

import gc
import tempfile
from pathlib import Path
from time import perf_counter

from selectolax.lexbor import LexborHTMLParser

from benchmarks.compare.sites import POSTGRESQL, PYTHON, synthetic
from crawler import Item
from crawler.annotations import canonical_of
from crawler.harvest import Harvest
from crawler.links import Discovery
from crawler.markup import Look
from crawler.request import Request
from crawler.response import Response
from crawler.settings import Settings
from crawler.traps import content_of
from crawler.trial_child import OPTIONS
from crawler.url import Scope
from storage.records import QueuedRequest

HOST = "manual.example"
ROUNDS = 3
STEPS = (
    "encoding, and whether it is markup",
    "whether it may be costly to parse",
    "lexbor",
    "two selections and an item",
    "links",
    "rows of items and new links",
    "rel=canonical",
    "hash of the body",
    "all of it given back",
)


class Page(Item):
    """What the spider of `make bench` stores."""

    title: str | None
    h1: str | None


def take_steps(url: str, body: bytes, discovery: Discovery) -> list[float]:
    """Do with a page what a crawl does; return when each step began, and when the last ended."""
    moments = [perf_counter()]

    def done() -> None:
        moments.append(perf_counter())

    response = Response(url, headers={"Content-Type": "text/html"}, body=body, request=Request(url))
    _ = response.encoding, response.is_markup
    done()
    response._look = Look(body)
    done()
    response.tree = LexborHTMLParser(body, options=OPTIONS)
    done()
    item = Page(title=response.css("title::text").get(), h1=response.css("h1::text").get())
    done()
    links = response.follow_all("a")
    done()
    row = QueuedRequest(1, 1, url, HOST, "GET", None, None, None, 0, 1, 0)
    harvest = Harvest(discovery, row, url)
    harvest.take(item)
    for request in links:
        harvest.take_followed(links, request)
    discovery.stored(discovery.lasting(harvest.requests))
    done()
    canonical_of(response)
    done()
    content_of(body)
    done()
    del response, links, harvest, item
    done()
    return moments


def measure(folder: Path) -> list[float]:
    """Return the microseconds of each step for a page of the site, of the best of the rounds."""
    root = folder.resolve()
    pages = [
        (f"http://{HOST}/{path.relative_to(root)}", path.read_bytes())
        for path in sorted(root.rglob("*.html"))[:2500]
    ]
    discovery = Discovery(Settings())
    discovery.widen(Scope([HOST]))
    best = [float("inf")] * len(STEPS)
    for _ in range(ROUNDS):
        sums = [0.0] * len(STEPS)
        for url, body in pages:
            moments = take_steps(url, body, discovery)
            for step in range(len(STEPS)):
                sums[step] += moments[step + 1] - moments[step]
        best = [min(pair) for pair in zip(best, sums, strict=True)]
    return [seconds / len(pages) * 1e6 for seconds in best]


def main() -> None:
    """Print a table: a row for each step, a column for each site."""
    gc.freeze()  # as the command line does
    gc.set_threshold(50_000, 20, 20)
    with tempfile.TemporaryDirectory() as folder:
        made = synthetic(Path(folder), 2500)
        sites = [site for site in (PYTHON, POSTGRESQL, made) if site.present]
        columns = [measure(site.folder) for site in sites]
    print(f"| µs a page | {' | '.join(site.title for site in sites)} |")
    print(f"|---|{'--:|' * len(sites)}")
    for step, name in enumerate(STEPS):
        print(f"| {name} | {' | '.join(f'{column[step]:.0f}' for column in columns)} |")
    print(f"| together | {' | '.join(f'{sum(column):.0f}' for column in columns)} |")


if __name__ == "__main__":
    main()
