"""The frontier against a model of it: whatever is seeded, committed, broken off and reopened."""

import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage import frontier, runs
from storage.commit import commit
from storage.rarities import UNKNOWN, Rarities
from storage.records import Column, HostRecord, ItemRow, NewRequest, Run, Table, Visit, Want
from storage.schema import prepare
from storage.tables import ItemTables

THING = Table("thing", (Column("number", "integer", "INTEGER"),))
TOO_LARGE = 2**70
HOSTS = ("a", "b", "c")
PAGES = range(1, 25)
TAKEN_UP = ("max_depth", "nofollow", "offsite", "trap", "url_too_long")
# Far enough from the present that no test lives to see them pass.
LONG_AGO, FAR_AHEAD = 1_000.0, 4_000_000_000.0


@dataclass
class Row:
    """What the model knows of a request."""

    host: str
    priority: int
    state: str
    reason: str | None = None
    not_before: float | None = None
    attempts: int = 0
    content: int | None = None


@dataclass
class Model:
    """A frontier in the simplest words."""

    rows: dict[int, Row] = field(default_factory=dict)
    aliases: dict[int, int] = field(default_factory=dict)  # page -> who stands for it
    items: list[int] = field(default_factory=list)
    hosts: dict[str, float] = field(default_factory=dict)
    lifted: int = 0  # requests that were skipped, and are queued after all

    def copy(self) -> "Model":
        rows = {page: Row(**vars(row)) for page, row in self.rows.items()}
        return Model(rows, dict(self.aliases), list(self.items), dict(self.hosts), self.lifted)

    def discover(self, request: NewRequest) -> None:
        known = self.rows.get(request.fingerprint)
        if request.fingerprint in self.aliases:
            self.rows.setdefault(
                request.fingerprint, Row(request.host, request.priority, "done", "alias")
            )
        elif known is None:
            self.rows[request.fingerprint] = Row(
                request.host, request.priority, request.state, request.reason
            )
        elif (known.state, request.state) == ("skipped", "queued") and known.reason in TAKEN_UP:
            known.state, known.reason, known.priority = "queued", None, request.priority
            self.lifted += 1

    def discover_all(self, requests: list[NewRequest]) -> None:
        # Of two that are the same page, the one that is queued counts; of aliases the first.
        def later(one: NewRequest) -> bool:
            return one.fingerprint not in self.aliases and one.state != "queued"

        for request in sorted(requests, key=later):
            self.discover(request)

    def admit(self, hosts: set[str]) -> None:
        for page, row in self.rows.items():
            skipped = row.reason == "offsite" and not row.attempts and page not in self.aliases
            if skipped and row.host in hosts:
                row.state, row.reason = "queued", None
                self.lifted += 1

    def stands(self, page: int, other_than: int) -> bool:
        row = self.rows.get(page) if page != other_than else None
        visited = row is not None and row.state in ("queued", "done") and row.reason != "alias"
        return visited or self.aliases.get(page, other_than) != other_than

    def has(self, visit: Visit, other_than: int) -> bool:
        return any(
            (row.host, row.content) == (visit.host, visit.content)
            for page, row in self.rows.items()
            if page != other_than
        )

    def commit(self, page: int, visit: Visit) -> None:
        row = self.rows[page]
        if row.state != "queued":
            return
        numbers: list[Any] = [item.values[0] for item in visit.items]
        reason, requests = visit.reason, visit.requests
        row.attempts = visit.attempts
        if visit.alias is not None and self.stands(visit.alias, page):
            reason, numbers, requests = "alias", [], []
        elif visit.unread:
            row.reason, row.not_before = None, None
            return  # queued still: it is to follow its redirect
        elif visit.alias is not None and TOO_LARGE not in numbers:
            self.aliases[visit.alias] = page
        if TOO_LARGE in numbers:
            row.state, row.reason, row.not_before = "failed", "item_error", None
            return
        row.state, row.reason, row.not_before = visit.state, reason, visit.not_before
        if reason != "alias" and visit.content is not None:
            row.content = visit.content
            row.reason = "duplicate_content" if self.has(visit, page) else reason
        self.items += numbers
        self.discover_all(requests)


def _new_requests() -> st.SearchStrategy[list[NewRequest]]:
    def build(page: int, priority: int, fate: str | None) -> NewRequest:
        return NewRequest(
            page,
            f"http://x/{page}",
            HOSTS[page % len(HOSTS)],
            priority=priority,
            state="skipped" if fate else "queued",
            reason=fate,
        )

    one = st.builds(
        build,
        st.sampled_from(PAGES),
        st.integers(-1, 1),
        st.sampled_from([None, None, None, None, "scheme", *TAKEN_UP]),
    )
    return st.lists(one, max_size=6)


_OUTCOMES = st.sampled_from(
    ["done", "done", "unread", "failed", "skipped", "retry now", "retry later"]
)
_NUMBERS = st.lists(st.sampled_from([1, 2, 3, TOO_LARGE]), max_size=3)
_VISITS = st.lists(
    st.tuples(
        st.integers(0, 100), _OUTCOMES, _NUMBERS, _new_requests(), st.none() | st.integers(0, 100)
    ),
    min_size=1,
    max_size=5,
)


class FrontierMachine(RuleBasedStateMachine):
    """Does to a real file and to the model the same things, and compares all that shows."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "crawl.db"
        self.model = Model()
        self.clock = 0.0  # makes every `not_before` another
        self.tables = ItemTables()
        self.connection = self.open()

    @initialize()
    def begin(self) -> None:
        self.run: Run = runs.begin_run(self.connection, "books", {}, fresh=False)
        self.rarities = Rarities(new=True)

    def open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None)
        prepare(connection, str(self.path))
        # What is tested here does not depend on the disk's patience.
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    def teardown(self) -> None:
        self.connection.close()
        self.folder.cleanup()

    # ── what happens to a crawl ─────────────────────────────────────────────────────────

    @rule(
        requests=_new_requests(),
        last=st.booleans(),
        admitted=st.none() | st.sets(st.sampled_from(HOSTS)),
    )
    def seed(self, requests: list[NewRequest], last: bool, admitted: set[str] | None) -> None:
        before = self.counts()
        admits = None if admitted is None else admitted.__contains__
        committed = frontier.seed(
            self.connection, self.run.id, requests, last, admits=admits, rarities=self.rarities
        )
        lifted = self.model.lifted
        self.model.discover_all(requests)
        self.model.admit(admitted or set())
        after = self.counts()
        assert committed.added == after["queued"] - before["queued"]
        assert committed.skipped - committed.lifted == after["skipped"] - before["skipped"]
        assert committed.lifted == self.model.lifted - lifted

    @precondition(lambda self: self.model.rows)
    @rule(drawn=_VISITS)
    def commit(self, drawn: list[Any]) -> None:
        group = self.visits(drawn)
        expected = self.model.copy()
        for page, visit in group:
            expected.commit(page, visit)
        visits = [visit for _, visit in group]
        hosts = [HostRecord(visit.host, self.clock) for visit in visits]
        committed = commit(
            self.connection, self.tables, self.run, visits, hosts, rarities=self.rarities
        )
        assert committed.items == len(expected.items) - len(self.model.items)
        assert committed.lifted == expected.lifted - self.model.lifted
        expected.hosts |= {host.host: self.clock for host in hosts}
        self.model = expected

    @precondition(lambda self: self.model.rows)
    @rule(drawn=_VISITS)
    def commit_that_breaks_off(self, drawn: list[Any]) -> None:
        class Broken(Exception):
            pass

        def hosts() -> Any:
            yield HostRecord("a", -1.0)
            raise Broken

        visits = [visit for _, visit in self.visits(drawn)]
        try:
            commit(self.connection, self.tables, self.run, visits, hosts(), rarities=self.rarities)
        except Broken:
            return
        raise AssertionError("the group did not break off")

    @rule()
    def reopen(self) -> None:
        self.connection.close()
        self.connection = self.open()
        self.tables = ItemTables()
        run = runs.begin_run(self.connection, "books", {}, fresh=False)
        assert run.id == self.run.id
        assert run.resumed
        self.rarities = UNKNOWN

    def visits(self, drawn: list[Any]) -> list[tuple[int, Visit]]:
        """Visits of known requests, settled ones among them, as the drawn numbers say."""
        pages = sorted(self.model.rows)
        group = [self.visit(pages[which % len(pages)], *rest) for which, *rest in drawn]
        # What the later visits of a group may be led to depends on the earlier ones.
        for _, visit in group[1:]:
            visit.alias, visit.unread = None, False
        return group

    def visit(
        self,
        page: int,
        outcome: str,
        numbers: list[int],
        requests: list[NewRequest],
        alias: int | None,
    ) -> tuple[int, Visit]:
        row = self.model.rows[page]
        self.clock += 1.0
        (id_,) = self.connection.execute(
            "SELECT id FROM crawl_request WHERE fingerprint = ?", (page,)
        ).fetchone()
        visit = Visit(id_, row.host, "queued", attempts=row.attempts + 1)
        visit.items = [ItemRow(THING, (number,), "http://x/") for number in numbers]
        visit.requests = requests
        match outcome:
            case "retry now":
                visit.not_before = LONG_AGO + self.clock
            case "retry later":
                visit.not_before = FAR_AHEAD + self.clock
            case "unread":
                visit.state, visit.unread, visit.items, visit.requests = "done", True, [], []
            case _:
                visit.state = outcome  # type: ignore[assignment]
                visit.reason = "offsite" if outcome == "skipped" else None
        if visit.state == "queued":
            visit.reason, visit.items, visit.requests = "timeout", [], []
        elif visit.state == "done" and row.state == "queued":
            visit.alias = self.place(page, alias)
        if visit.state == "done" and not visit.unread:
            visit.content = len(numbers) or None  # the same on a few of them
        visit.unread = visit.unread and visit.alias is not None
        return page, visit

    def place(self, page: int, number: int | None) -> int | None:
        """Where a redirect may have led: elsewhere."""
        if number is None:
            return None
        places = sorted({*PAGES} - {page})
        return places[number % len(places)]

    # ── what shows ──────────────────────────────────────────────────────────────────────

    def counts(self) -> Counter[str]:
        return Counter(
            state for (state,) in self.connection.execute("SELECT state FROM crawl_request")
        )

    @invariant()
    def the_rows_are_those_of_the_model(self) -> None:
        rows = self.connection.execute(
            "SELECT fingerprint, host, priority, state, reason, not_before, attempts, content "
            "FROM crawl_request"
        ).fetchall()
        assert {row[0]: Row(*row[1:]) for row in rows} == self.model.rows
        assert len(rows) == len(self.model.rows)

    @invariant()
    def the_items_are_those_of_the_model(self) -> None:
        kept: list[int] = []
        if self.connection.execute("SELECT 1 FROM crawl_table").fetchone():
            kept = [n for (n,) in self.connection.execute("SELECT number FROM thing ORDER BY _id")]
        assert kept == self.model.items

    @invariant()
    def the_hosts_are_those_of_the_model(self) -> None:
        kept = dict(self.connection.execute("SELECT host, next_at FROM crawl_host"))
        assert kept == self.model.hosts

    @invariant()
    def the_totals_are_those_of_the_model(self) -> None:
        if not hasattr(self, "run"):
            return
        totals = runs.count(self.connection, self.run.id)
        for state in ("queued", "done", "failed", "skipped"):
            in_model = sum(row.state == state for row in self.model.rows.values())
            assert getattr(totals, state) == in_model
        assert totals.items == len(self.model.items)

    @rule(host=st.sampled_from(HOSTS), limit=st.integers(1, 6), holding=st.sets(st.integers(0, 20)))
    def ready_gives_the_best_that_is_not_held(
        self, host: str, limit: int, holding: set[int]
    ) -> None:
        now = time.time()
        ids = dict(self.connection.execute("SELECT fingerprint, id FROM crawl_request"))
        queued = [
            (ids[page], row)
            for page, row in self.model.rows.items()
            if row.state == "queued" and row.host == host
        ]
        due = [(r.not_before, i) for i, r in queued if r.not_before and r.not_before <= now]
        fresh = [(-r.priority, i) for i, r in queued if r.not_before is None]
        later = [r.not_before for _, r in queued if r.not_before and r.not_before > now]
        wanted = [i for _, i in sorted(due)] + [i for _, i in sorted(fresh)]
        held = frozenset(wanted[n] for n in holding if n < len(wanted))
        free = [i for i in wanted if i not in held]
        (work,) = frontier.ready(self.connection, self.run.id, [Want(host, limit, held, False)])
        assert [row.id for row in work.requests] == free[:limit]
        assert work.more or len(free) <= limit
        assert work.next_due == min(later, default=None)

    @rule()
    def queued_hosts_are_those_with_something_queued(self) -> None:
        hosts = {row.host for row in self.model.rows.values() if row.state == "queued"}
        assert frontier.queued_hosts(self.connection, self.run.id) == sorted(hosts)


TestFrontierMachine = FrontierMachine.TestCase
TestFrontierMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
