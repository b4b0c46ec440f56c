"""The scheduler: moves ready requests from the frontier to the queue.

It is the only place that decides when a host may be contacted. Each host with work has a
*lane*: a few of its requests in memory, best first. A rota of lanes makes the next choice cost
O(log hosts), and hosts take turns, so that neither one with a million requests nor one whose
pages take long can starve the rest. What is in flight is known only here, in memory.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from crawler.inbox import Inbox
from crawler.lanes import NEVER, FetchJob, Job, Lane, RefusedJob, RobotsJob, Rota
from crawler.memory import HostMemory
from crawler.quota import Quota
from crawler.refill import Refiller, seconds_until
from crawler.rulebook import Rulebook
from crawler.throttle import MAX_COOL_DOWN, HostGate, Throttle
from crawler.url import origin_of
from storage import Store
from storage.records import Committed, Run, Visit


class Scheduler:
    """Feeds the queue until the frontier is drained, a limit is reached, or `stop` is called."""

    def __init__(
        self,
        store: Store,
        run: Run,
        queue: "asyncio.Queue[Job | None]",
        throttle: Throttle,
        rulebook: Rulebook,
        *,
        concurrency: int,
        max_pages: int | None = None,
        max_pages_per_host: int | None = None,
    ) -> None:
        self._store = store
        self._run = run
        self._queue = queue
        self._throttle = throttle
        self.memory = HostMemory(store, run, throttle, rulebook)
        self._rulebook = rulebook
        self._concurrency = concurrency
        self._max_pages = max_pages
        self._quota = Quota(max_pages_per_host)
        self._finished = 0  # pages that count against `max_pages`
        self._lanes: dict[str, Lane] = {}
        self._given_up: set[str] = set()  # hosts with work that nothing will be asked of
        self._rota = Rota(concurrency)
        self._outstanding: set[int] = set()  # handed out, not yet committed
        self._asking = 0  # how many robots.txt are being asked for
        self._refiller = Refiller(store, run, self._lanes, self.memory, self._refilled)
        self._touched: dict[str, None] = {}  # hosts whose gate has changed
        self._settled: list[Visit] = []  # requests that need no fetch, for the committer
        self._wake = asyncio.Event()
        self._seeded = run.seeded
        self._stopped = False

    # ── the coroutine ───────────────────────────────────────────────────────────────────

    async def run(self, settle: Inbox, finished: int) -> None:
        """Feed the queue; return when there is nothing more to hand out, ever, or on `stop`.

        `settle` takes the visits of requests that need no fetch. `finished` pages were spent
        against the limit before.
        """
        self._finished = finished
        if self._quota.limited:
            self._quota.remember(await self._store.host_pages(self._run))
        # A new run's hosts are told of as they are added.
        for host in await self._store.queued_hosts(self._run) if self._run.resumed else ():
            self._lane(host).more = True
            self._refiller.want(self._lanes[host])
        async with asyncio.TaskGroup() as group:
            refiller = group.create_task(self._refiller.run())
            # A resumed run may have had all its pages: no commit would come to say so.
            while not (self._stopped or self._exhausted or self.reached_max_pages):
                self._wake.clear()
                self._dispatch()
                while self._settled:
                    await settle.put(self._settled.pop())
                if not self._wake.is_set():
                    await self._sleep()
            refiller.cancel()

    @property
    def drained(self) -> bool:
        """Nothing queued that may run now or later, nothing in flight, nothing uncommitted."""
        return self._exhausted and not self._given_up

    @property
    def _exhausted(self) -> bool:
        """Whether nothing more will ever be handed out: at most hosts that are given up wait."""
        return self._seeded and not self._lanes

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True
        self._wake.set()

    def statistics(self) -> dict[str, int]:
        """Return counts for a dashboard."""
        return {
            "lanes": len(self._lanes),
            "buffered": sum(len(lane.buffer) for lane in self._lanes.values()),
            "outstanding": len(self._outstanding),
        }

    async def _sleep(self) -> None:
        """Sleep until something happens, or the next lane's time comes."""
        opens = self._rota.opens_at()
        if opens == NEVER or self._full:
            await self._wake.wait()
            return
        loop = asyncio.get_running_loop()
        # Never for longer than the longest cool-down: then a look costs nothing.
        wait = min(max(opens - time.monotonic(), 0.0), MAX_COOL_DOWN)
        alarm = loop.call_later(wait, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()

    # ── from the lanes to the queue ─────────────────────────────────────────────────────

    @property
    def _full(self) -> bool:
        """Whether no more may be handed out before something is committed.

        A page counts from the scheduler's hand until its commit: so a crash costs at most
        `concurrency` fetches, and a slow disk slows the fetching down. What is handed out
        must not pass `max_pages` either. With a robots.txt counting as well there is a worker
        for each job at once, so that no slot of a host is held by one which nobody can take, for
        all wait for that slot; and room in the queue.
        """
        handed_out = len(self._outstanding)
        return handed_out + self._asking >= self._concurrency or (
            self._max_pages is not None and self._finished + handed_out >= self._max_pages
        )

    def _dispatch(self) -> None:
        self._look_at_touched()
        while not (self._stopped or self._full):
            now = time.monotonic()
            if (lane := self._rota.take(now)) is None:
                return
            if lane.due <= now:
                lane.due = NEVER
                lane.more = True
            while self._may_go(lane) and lane.gate.opens_at(now) <= now:
                self._serve(lane, now)
                if self._full or not self._rota.is_alone(lane):
                    break
            self._refiller.want(lane)
            self._arm(lane, now)

    def _look_at_touched(self) -> None:
        touched, self._touched, now = self._touched, {}, time.monotonic()
        for host in touched:
            if (lane := self._lanes.get(host)) is not None:
                self._look_at(lane, now)
        if touched and not self._lanes:
            self._wake.set()  # that was all

    def _may_go(self, lane: Lane) -> bool:
        # A redirect or a spider's own fetch that waits for this host goes first.
        held_back = lane.asking or lane.gate.waiting or self._quota.waits(lane.gate.host)
        return bool(lane.buffer) and not held_back

    def _serve(self, lane: Lane, now: float) -> None:
        """Hand out the lane's next request, or settle it if it must not be fetched."""
        lane.ask_another(lane.gate.breaker.silent)
        row = lane.buffer[0]
        if self._quota.spent(row.host):
            lane.buffer.popleft()
            reason = "max_pages_per_host"
            self._settled.append(Visit(row.id, row.host, "skipped", reason, attempts=row.attempts))
            return
        if lane.gate.robots:
            verdict = self._rulebook.known(origin := origin_of(row.url))
            if verdict is not None and verdict.failed and lane.gate.breaker.open:
                self._rulebook.forget(origin)  # whether its rest has helped is what we ask
                verdict = None
            if verdict is None:
                lane.asking = True
                self._asking += 1
                self._queue.put_nowait(RobotsJob(origin, lane))
                return
            if not self._rulebook.allows(verdict, row.url):
                lane.buffer.popleft()
                reason = verdict.reason or "robots"
                if verdict.unreachable:
                    self._throttle.unreachable(lane.gate)
                if verdict.failed:  # a worker has its errback called
                    self._hand_out(RefusedJob(row, reason))
                    return
                self._settled.append(
                    Visit(row.id, row.host, "skipped", reason, attempts=row.attempts)
                )
                return
        lane.buffer.popleft()
        lane.gate.enter()
        self._hand_out(FetchJob(row, lane.gate, now))

    def _hand_out(self, job: FetchJob | RefusedJob) -> None:
        self._outstanding.add(job.row.id)
        self._quota.handed_out(job.row.host)
        self._queue.put_nowait(job)

    def _arm(self, lane: Lane, now: float) -> None:
        """Have the rota look at the lane when it may go on."""
        when = lane.due
        if lane.armed_at > now and self._may_go(lane):  # else it is looked at anyway
            when = min(when, lane.gate.opens_at(now))
        self._rota.arm(lane, when)

    # ── what workers tell ───────────────────────────────────────────────────────────────

    async def meet(self, host: str) -> HostGate:
        """Return a host's gate, which knows what the store does, though it may have no lane.

        Redirects and what spiders fetch themselves lead to such. Raises `storage.StoreError`.
        """
        while not (gate := self._throttle.gate(host)).remembered:
            await self.memory.recall(gate)
            if host not in self._lanes:
                self.memory.is_idle(host)
        return gate

    def begun(self, gate: HostGate, now: float) -> None:
        """Note that a contact is being made, at a monotonic time."""
        held_back = gate.awaited
        gate.begin(now)
        if gate.delay:
            self._throttle.changed(gate)
        if held_back:  # else nothing has changed for anybody
            self._touch(gate)

    def left(self, gate: HostGate, *, begun: bool = True) -> None:
        """Note that a contact is over: the host may be free for another."""
        gate.leave(begun=begun)
        self._touch(gate)

    def changed(self, gate: HostGate) -> None:
        """Note that the host's times changed, and are worth keeping."""
        self._throttle.changed(gate)
        self._touch(gate)

    def robots_learned(self, lane: Lane) -> None:
        """Go on with a host whose robots.txt was asked for."""
        lane.asking, lane.first_of_site = False, True
        self._asking -= 1
        self.changed(lane.gate)

    def _touch(self, gate: HostGate) -> None:
        if gate.freed is not None:
            gate.freed.set()
        if gate.host not in self._lanes:
            self.memory.is_idle(gate.host)
            return
        self._touched[gate.host] = None
        if not self._full:  # else there is nothing to do before a commit has made room
            self._wake.set()

    # ── what the committer tells ────────────────────────────────────────────────────────

    def committed(self, visits: Sequence[Visit], committed: Committed) -> None:
        """Forget what is settled, and look for the new work that a commit has brought."""
        now = time.monotonic()
        lanes: dict[str, Lane] = {}
        limited = self._quota.limited
        for visit in visits:
            if (lane := lanes.get(visit.host)) is None:
                lane = lanes[visit.host] = self._lane(visit.host)
            lane.held.discard(visit.id)
            self._rota.charge(lane, len(visit.requests), now)
            if visit.id in self._outstanding:
                self._outstanding.remove(visit.id)
                counts = visit.state in ("done", "failed") and visit.id not in committed.again
                self._finished += counts
                if limited:
                    self._quota.settled(visit.host, counts=counts)
                    self._arm(lane, now)
            if visit.not_before is not None:
                lane.due = min(lane.due, now + seconds_until(visit.not_before))
                self._arm(lane, now)
        for lane in lanes.values():
            self._rota.advance(lane)
        self.added(committed.hosts)
        for host in lanes:
            if (settled := self._lanes.get(host)) is not None:
                self._drop_if_idle(settled)
        self._wake.set()

    def added(self, hosts: Mapping[str, int]) -> None:
        """Note that hosts have new requests in the frontier, and their highest priority."""
        for host, priority in hosts.items():
            if host in self._given_up:
                continue
            lane = self._lane(host)
            lane.more = True
            if lane.buffer and priority > lane.buffer[-1].priority:
                lane.overtaken = True
            self._refiller.want(lane)
            self._drop_if_idle(lane)
        self._wake.set()

    def seeded(self) -> None:
        """Note that no more start requests will come."""
        self._seeded = True
        self._wake.set()

    @property
    def reached_max_pages(self) -> bool:
        """Whether as many pages as `max_pages` allows are finished and committed."""
        return self._max_pages is not None and self._finished >= self._max_pages

    # ── the lanes ───────────────────────────────────────────────────────────────────────

    def _lane(self, host: str) -> Lane:
        lane = self._lanes.get(host)
        if lane is None:
            lane = self._lanes[host] = self._rota.join(self._throttle.gate(host))
            self.memory.has_work(host)
        return lane

    def _drop_if_idle(self, lane: Lane) -> None:
        # Only work keeps a lane: memory holds the hosts that have some, not all ever seen.
        host, given_up = lane.gate.host, lane.gate.breaker.given_up
        if given_up and not (lane.idle or lane.handed or lane.loading or lane.asking):
            self._given_up.add(host)  # its requests stay queued, in the store
        elif not lane.idle:
            return
        if self._lanes.pop(host, None) is not None:
            self._rota.leave(lane)
            self.memory.is_idle(host)

    def _look_at(self, lane: Lane, now: float) -> None:
        """Have a lane go on when it may, or go, if it has nothing left to do."""
        self._arm(lane, now)
        self._drop_if_idle(lane)

    def _refilled(self, lane: Lane, now: float) -> None:
        self._look_at(lane, now)
        self._wake.set()
