"""`make bench`: every contestant on every site, round after round.

    python -m benchmarks.compare --sites postgresql,python --contestants crawler,bare --rounds 3

Ends with 1 when a contestant failed, or did not find the pages that the site has.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import click

from benchmarks.compare import sites
from benchmarks.compare.check import differences
from benchmarks.compare.envs import python_of, version_of
from benchmarks.compare.field import CONTESTANTS, Contestant, our_versions
from benchmarks.compare.measuring import Run, RunError, measure
from benchmarks.compare.serving import serving
from benchmarks.compare.sites import Site
from benchmarks.compare.stored import Pages
from benchmarks.compare.table import Result, readme_tables, site_table, write_between

ROOT = Path(__file__).parents[2]
SYNTHETIC = "synthetic"
# Left out unless asked for: the peers take minutes on its ten thousand pages.
USUAL = (sites.POSTGRESQL, sites.PYTHON)

# Processes that run on the machine, on average, without ours: more are in the way.
BUSY = 0.5


class Names(click.ParamType[Sequence[str]]):
    """Some of the given names, with commas between them."""

    name = "names"

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Sequence[str]:
        """Return the names; fails for one that is not known."""
        names = str(value).split(",")
        for name in names:
            if name not in self._known:
                self.fail(f"{name!r} is none of {', '.join(self._known)}", param, ctx)
        return names


class Bench:
    """All runs of one call, with what they found and what was wrong."""

    def __init__(self, contestants: Sequence[Contestant], rounds: int, peer_rounds: int) -> None:
        self.contestants = contestants
        self.wrong: list[str] = []
        self._rounds = rounds
        self._peer_rounds = peer_rounds

    def crawl(self, site: Site, start: str, limit: float) -> dict[Contestant, Result]:
        """Return the results on one site; what was wrong is told at once, and noted."""
        expected = expected_of(site)
        runs: dict[Contestant, list[Run]] = {contestant: [] for contestant in self.contestants}
        for contestant in self._order():
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                try:
                    run = measure(
                        contestant.command(_python(contestant), start, Path(folder)),
                        Path(folder),
                        limit,
                    )
                    faults = differences(expected, contestant.read(Path(folder, contestant.output)))
                except RunError as error:
                    faults = [str(error)]
                except (OSError, ValueError, LookupError, sqlite3.Error) as error:
                    faults = [f"what it stored cannot be read: {error!r}"]
                else:
                    runs[contestant].append(run)
                    tell(f"{site.key:12} {contestant.key:20} {len(expected) / run.crawling:8,.0f}")
            for fault in faults:
                self.wrong.append(f"{site.title}, {contestant.title}: {fault}")
                tell(self.wrong[-1])
        pages = len(expected)  # as many as each has found, if nothing is wrong
        return {one: Result(pages, found) for one, found in runs.items() if found}

    def _order(self) -> Iterator[Contestant]:
        """Yield who is next: the rounds forwards and backwards in turn."""
        for number in range(max(self._rounds, self._peer_rounds)):
            for contestant in self.contestants[:: -1 if number % 2 else 1]:
                if number < (self._peer_rounds if contestant.peer else self._rounds):
                    yield contestant


def expected_of(site: Site) -> Pages:
    """Return the pages of the site, as read from its files."""
    command = [sys.executable, "-m", "benchmarks.compare.walk", str(site.folder)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    pages: Pages = json.loads(done.stdout)
    return pages


def _python(contestant: Contestant) -> Path:
    return python_of(contestant.peer) if contestant.peer else Path(sys.executable)


def tell(line: str) -> None:
    """Say how it goes, beside the tables."""
    print(line, file=sys.stderr, flush=True)


def available(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Return those whose environment is there or can be made; the others are told."""
    found = []
    for contestant in contestants:
        try:
            _python(contestant)
        except OSError as error:
            tell(f"without {contestant.title}: {error}")
        else:
            found.append(contestant)
    return found


def available_docs(names: Sequence[str] | None, *, full: bool) -> tuple[Site, ...]:
    """Return the documentation that is asked for and there; what is not there is told."""
    docs = tuple(
        site for site in sites.DOCS if (site.key in names if names else full or site in USUAL)
    )
    missing = sites.provide(docs) if docs else []
    if missing:
        tell(f"not all is there; what is needed: apt-get install {' '.join(missing)}")
    return tuple(site for site in docs if site.present) if sites.find_nginx() else ()


def about(contestants: Sequence[Contestant], rounds: int, peer_rounds: int) -> list[str]:
    """Return what a reader must know to make sense of the figures."""
    peers = dict.fromkeys(one.peer for one in contestants if one.peer)
    versions = ", ".join([our_versions(), *(version_of(peer) for peer in peers)])
    return [
        f"Measured on {date.today():%Y-%m-%d}, {os.cpu_count()} cores, shared with the server:",
        f"{versions}; medians of {rounds} rounds, of the peers {peer_rounds}.",
    ]


@click.command()
@click.option("--sites", "names", type=Names([*(s.key for s in sites.DOCS), SYNTHETIC]))
@click.option("--contestants", type=Names([one.key for one in CONTESTANTS]))
@click.option("--rounds", default=5, show_default=True, help="Of the crawler and the bare loop.")
@click.option("--peer-rounds", default=1, show_default=True, help="Of the peers, which take long.")
@click.option("--pages", default=5000, show_default=True, help="Of the synthetic site.")
@click.option("--limit", default=1200.0, show_default=True, help="Seconds that a run may take.")
@click.option("--full", is_flag=True, help="Every site, the JDK docs too.")
@click.option("--own-server", is_flag=True, help="Without nginx: the synthetic site only.")
@click.option("--readme", is_flag=True, help="Write the tables into README.md.")
def main(
    names: Sequence[str] | None,
    contestants: Sequence[str] | None,
    rounds: int,
    peer_rounds: int,
    pages: int,
    limit: float,
    full: bool,
    own_server: bool,
    readme: bool,
) -> None:
    """Measure the crawler beside a bare loop and its peers, on sites served on loopback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped
    if (load := os.getloadavg()[0]) > BUSY:
        tell(f"the machine is busy with something else (load {load:.1f}): expect no clear figures")
    asked = [one for one in CONTESTANTS if not contestants or one.key in contestants]
    bench = Bench(available(asked), rounds, peer_rounds)
    docs = () if own_server else available_docs(names, full=full)
    if readme and (len(docs) < len(sites.DOCS) or bench.contestants != list(CONTESTANTS)):
        raise click.ClickException("the README is about everything, and not everything is here")
    results = {}
    with ExitStack() as stack:
        pages_folder, server_folder = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))) for _ in "12"
        )
        made = () if names and SYNTHETIC not in names else (sites.synthetic(pages_folder, pages),)
        crawled = (*docs, *made)
        if not (crawled and bench.contestants):
            raise click.ClickException("there is nothing to measure")
        starts = stack.enter_context(serving(crawled, server_folder, own=own_server))
        for site in crawled:
            found = bench.crawl(site, starts[site.key], limit)
            results[site.title] = found
            print(f"\n{site_table(site.title, found)}\n", flush=True)
    text = readme_tables(results, about(bench.contestants, rounds, peer_rounds))
    print(f"\n{text}\n")
    for line in bench.wrong:
        tell(f"WRONG: {line}")
    if bench.wrong:
        sys.exit(1)
    if readme:
        write_between(ROOT / "README.md", text)


if __name__ == "__main__":
    main()
