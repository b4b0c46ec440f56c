"""What the frontier's rows go through: choosing one, fetching by it, committing what came of it."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawler.lanes import Lane, Rota
from crawler.request import from_record
from crawler.robots import RobotsRules
from crawler.throttle import HostGate
from crawler.url import fingerprint
from storage import Store, open_store
from storage.records import Column, ItemRow, NewRequest, QueuedRequest, Run, Table, Visit, Want

HOST = "docs.example"
TABLE = Table("page", (Column("title", "text", "TEXT"),))
GROUP = 64  # visits to a commit
LINKS = 10  # new requests of each


@pytest.mark.parametrize("hosts", [1, 1000])
def test_a_hundred_choices_of_the_next_host(benchmark: Any, hosts: int) -> None:
    rota = Rota()
    for number in range(hosts):
        rota.arm(Lane(HostGate(str(number), 8)), float(number % 2))
    times = itertools.count()

    def choose() -> None:
        for _ in range(100):
            lane = rota.take(0.5)
            assert lane is not None
            rota.arm(lane, next(times) * 1e-9)

    benchmark(choose)


def test_what_many_rules_say_of_a_page(benchmark: Any) -> None:
    lines = [f"Disallow: /private/{n}/\nAllow: /private/{n}/open\n" for n in range(200)]
    lines += [f"Disallow: /*?sort{n}=\nDisallow: /*/print/{n}$\n" for n in range(50)]
    rules = RobotsRules("User-agent: *\n" + "".join(lines))
    assert benchmark(rules.allowed, "crawler", f"http://{HOST}/manual/page-7.html")


@pytest.mark.parametrize("payload", [None, '{"meta": {"page": 3}}'], ids=["plain", "with-meta"])
def test_a_request_from_its_row(benchmark: Any, row: QueuedRequest, payload: str | None) -> None:
    benchmark(from_record, row._replace(payload=payload))


class File:
    """A real file with a run in it, and visits to commit."""

    def __init__(self, runner: asyncio.Runner, store: Store, run: Run) -> None:
        self._runner = runner
        self._store = store
        self._run = run
        self._numbers = itertools.count()

    def seed(self) -> tuple[tuple[list[Visit]], dict[str, Any]]:
        """Return a group of visits to requests that are queued, each with new links and an item."""
        self._call(self._store.seed(self._run, [self._new() for _ in range(GROUP)], last=False))
        want = Want(HOST, GROUP, frozenset(), first=False)
        (work,) = self._call(self._store.ready(self._run, [want]))
        assert len(work.requests) == GROUP
        return ([self._visit(row) for row in work.requests],), {}

    def commit(self, visits: list[Visit]) -> None:
        """Commit a group."""
        committed = self._call(self._store.commit(self._run, visits))
        assert (committed.items, committed.added) == (GROUP, GROUP * LINKS)

    def _new(self) -> NewRequest:
        url = f"http://{HOST}/some/where/page-{next(self._numbers)}.html"
        return NewRequest(fingerprint("GET", url), url, HOST)

    def _visit(self, row: QueuedRequest) -> Visit:
        visit = Visit(row.id, HOST, "done", status=200, attempts=1, size=2000)
        visit.items = [ItemRow(TABLE, ("A title",), row.url)]
        visit.requests = [self._new() for _ in range(LINKS)]
        return visit

    def _call(self, work: Any) -> Any:
        return self._runner.run(work)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    """A crawl file, open."""
    with asyncio.Runner() as runner:
        store = open_store(tmp_path / "crawl.db")
        runner.run(store.__aenter__())
        run = runner.run(store.begin_run("manual", {}, fresh=False, tables=[TABLE]))
        yield File(runner, store, run)
        runner.run(store.__aexit__(None, None, None))


def test_a_group_of_visits_committed(benchmark: Any, file: File) -> None:
    benchmark.pedantic(file.commit, setup=file.seed, rounds=50, warmup_rounds=3)
