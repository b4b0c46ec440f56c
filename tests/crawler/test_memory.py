"""What is remembered of hosts, for how long, and where."""

import time
from typing import Any

import pytest

from crawler.errors import FetchError
from crawler.memory import HostMemory
from crawler.request import Request
from crawler.response import Response
from crawler.rulebook import Rulebook
from crawler.settings import Settings
from crawler.throttle import Throttle
from storage import open_store
from storage.records import HostRecord, Run


async def nothing_forbidden(request: Request, **limits: Any) -> Response:
    return Response(request.url, status=404)


class Hosts:
    """A memory, and what it is a memory of."""

    def __init__(self, *, resumed: bool = False, **settings: float) -> None:
        self.throttle = Throttle(Settings(**settings))
        self.rulebook = Rulebook(nothing_forbidden, "crawler", retries=0, backoff=0.0)
        run = Run(1, "test", {}, resumed=resumed, seeded=True)
        never_asked = open_store("nowhere.db")
        self.memory = HostMemory(never_asked, run, self.throttle, self.rulebook)

    def crawl(self, *hosts: str) -> None:
        """Have work for each of them, and be done with it."""
        for host in hosts:
            self.memory.has_work(host)
            self.throttle.gate(host)
            self.memory.is_idle(host)

    @property
    def known(self) -> int:
        return self.throttle.statistics()["hosts"]


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    monkeypatch.setattr("crawler.memory._IDLE_HOSTS", 2)
    return Hosts()


def test_the_hosts_that_were_idle_for_longest_are_forgotten(hosts: Hosts) -> None:
    a, b = hosts.throttle.gate("a"), hosts.throttle.gate("b")
    hosts.crawl("a", "b", "a", "c")
    assert hosts.known == 2
    assert hosts.throttle.gate("a") is a
    assert hosts.throttle.gate("b") is not b


def test_a_host_that_has_work_again_is_not_forgotten(hosts: Hosts) -> None:
    a = hosts.throttle.gate("a")
    hosts.crawl("a")
    hosts.memory.has_work("a")
    hosts.crawl("b", "c", "d", "e")
    assert hosts.throttle.gate("a") is a


def test_a_host_with_somebody_inside_is_not_forgotten(hosts: Hosts) -> None:
    a = hosts.throttle.gate("a")
    a.enter()
    hosts.crawl("a", "b", "c", "d")
    assert hosts.throttle.gate("a") is a
    a.leave()
    hosts.crawl("e", "f", "g", "h")
    assert hosts.known <= 3
    assert hosts.throttle.gate("a") is not a


def test_hosts_that_had_to_be_kept_for_a_while_are_forgotten_after_all(hosts: Hosts) -> None:
    busy = [hosts.throttle.gate(f"busy-{number}") for number in range(30)]
    for gate in busy:
        gate.enter()
    hosts.crawl(*(gate.host for gate in busy))
    assert hosts.known == 30
    for gate in busy:
        gate.leave()
    hosts.crawl(*(f"idle-{number}" for number in range(30)))
    assert hosts.known == 2


async def test_what_robots_said_is_not_forgotten_before_it_is_saved(hosts: Hosts) -> None:
    await hosts.rulebook.learn("http://a")
    hosts.crawl("a", "b", "c", "d")
    assert hosts.rulebook.known("http://a") is not None
    (record,) = hosts.memory.take_news()
    assert record.robots is not None
    hosts.crawl("e", "f", "g", "h")
    assert hosts.rulebook.known("http://a") is None
    assert not hosts.rulebook._asking


def test_a_rest_is_written_down_and_taken_back(hosts: Hosts) -> None:
    hosts = Hosts(breaker=2)
    gate = hosts.throttle.gate("a")
    for _ in range(2):
        hosts.throttle.failed(gate, FetchError("connection", unreachable=True), 0.1)
    assert hosts.memory.take_news() == [HostRecord("a", None, None, 2)]
    hosts.throttle.answered(gate, 0.1)
    assert hosts.memory.take_news() == [HostRecord("a", None, None, 0)]


def test_what_a_host_has_said_is_not_forgotten_before_it_is_written_down(hosts: Hosts) -> None:
    gate = hosts.throttle.gate("a")
    gate.cool_down(100.0, time.monotonic())
    hosts.throttle.changed(gate)
    hosts.crawl("a", "b", "c", "d")
    assert hosts.throttle.gate("a") is gate
    assert [record.host for record in hosts.memory.take_news()] == ["a"]
    hosts.crawl("e", "f", "g", "h")
    assert hosts.throttle.gate("a") is not gate


def test_a_host_that_rested_in_an_earlier_process_is_given_another_chance() -> None:
    hosts = Hosts()
    gate, now = hosts.throttle.gate("a"), time.monotonic()
    hosts.memory.remember(gate, HostRecord("a", resting=13), now)
    assert gate.opens_at(now) == now
    assert hosts.memory.take_news() == [HostRecord("a")]


def test_what_the_store_has_is_taken_up_once() -> None:
    hosts = Hosts()
    gate, now = hosts.throttle.gate("a"), time.monotonic()
    hosts.memory.remember(gate, None, now)
    hosts.memory.remember(gate, HostRecord("a", time.time() + 100), now)
    assert gate.opens_at(now) == now


def test_a_resumed_run_keeps_the_delay_to_the_contact_that_may_not_be_written_down() -> None:
    hosts = Hosts(resumed=True, delay=5.0)
    gate, now = hosts.throttle.gate("a"), time.monotonic()
    hosts.memory.remember(gate, None, now)
    assert gate.opens_at(now) == now + 5.0
