"""What is remembered of hosts: between processes by the store, and in this one while there is room.

A crawl may see millions of hosts, so what is known of one that has nothing left to do is
forgotten in the end; all that matters of it is in the store, and is read again with its next
request.
"""

import time
from collections import OrderedDict

from crawler.rulebook import Rulebook
from crawler.throttle import MAX_COOL_DOWN, HostGate, Throttle
from storage import Store
from storage.records import HostRecord, Run, Want

# Hosts without work that are kept in memory: the latest ones.
_IDLE_HOSTS = 1000
# Of those that are too many, so many are looked at with each host that has become idle: some may
# have to be kept for a while.
_TRIES = 3


class HostMemory:
    """The gates and the robots.txt of the hosts of one run."""

    def __init__(self, store: Store, run: Run, throttle: Throttle, rulebook: Rulebook) -> None:
        self._store = store
        self._run = run
        self._throttle = throttle
        self._rulebook = rulebook
        rulebook.recall = self._stored_robots
        self._idle: OrderedDict[str, None] = OrderedDict()

    def take_news(self) -> list[HostRecord]:
        """Return what the store should keep of hosts, since the last call."""
        gates, robots = self._throttle.take_news(), self._rulebook.take_news()
        monotonic, wall = time.monotonic(), time.time()
        for host in robots:
            gates.setdefault(host, self._throttle.gate(host))
        return [
            HostRecord(
                host,
                wall + gate.next_at - monotonic if gate.next_at > monotonic else None,
                robots.get(host),
                gate.breaker.failures if gate.breaker.open else 0,
            )
            for host, gate in gates.items()
        ]

    async def recall(self, gate: HostGate) -> None:
        """Take up what the store has of a host of which it was not asked for requests."""
        self.remember(gate, await self._stored(gate.host), time.monotonic())

    async def _stored(self, host: str) -> HostRecord | None:
        want = Want(host, 0, frozenset(), first=True)
        (work,) = await self._store.ready(self._run, [want])
        return work.remembered

    async def _stored_robots(self, host: str) -> str | None:
        record = await self._stored(host)
        return None if record is None else record.robots

    def remember(self, gate: HostGate, record: HostRecord | None, now: float) -> None:
        """Take up what the store has of a host, once; `now` is monotonic."""
        if gate.remembered:
            return
        gate.remembered = True
        if record is not None and record.robots:
            for verdict in self._rulebook.remember(record.robots):
                gate.slow_down(self._rulebook.delay(verdict))
        if record is not None and record.next_at is not None:
            wait = record.next_at - time.time()
            if wait <= MAX_COOL_DOWN:  # nobody asked for more: the clock was wrong
                gate.cool_down(wait, now)
        if record is not None and record.resting:
            self._throttle.changed(gate)  # it is given another chance, and rests no more
        if self._run.resumed and gate.delay:
            # The contact just before a crash may not have been written down.
            gate.cool_down(gate.delay, now)

    def has_work(self, host: str) -> None:
        """Keep a host in memory."""
        self._idle.pop(host, None)

    def is_idle(self, host: str) -> None:
        """Note that a host has nothing left to do; forget whichever has had none for longest."""
        self._idle[host] = None
        self._idle.move_to_end(host)
        for _ in range(min(len(self._idle) - _IDLE_HOSTS, _TRIES)):
            longest, _ = self._idle.popitem(last=False)
            # What is not written down yet must be; and a redirect may be waiting there.
            if self._rulebook.has_news(longest) or not self._throttle.forget(longest):
                self._idle[longest] = None
            else:
                self._rulebook.drop(longest)
