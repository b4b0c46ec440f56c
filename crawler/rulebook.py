"""What each origin's robots.txt allows: fetched once, remembered for a day, also in the store."""

import asyncio
import json
import sys
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from crawler.backoff import backoff_delay, parse_retry_after
from crawler.errors import DropRequest, FetchError, RetryLater
from crawler.request import Request
from crawler.response import Response
from crawler.robots import ALLOW_ALL, MAX_AGE, MAX_BYTES, RobotsRules, rules_for_status
from crawler.url import host_of


class Fetch(Protocol):
    """`Fetcher.fetch`."""

    def __call__(
        self, request: Request, /, *, first: int | None, max_redirects: int | None
    ) -> Awaitable[Response]: ...


# RFC 9309, 2.3.1.2: at least five are followed, whatever the pages' limit is. Where more of them
# or a bad one lead is nowhere, so there is no file.
_REDIRECTS = 5
_NO_FILE = frozenset({"too_many_redirects", "bad_redirect"})
# After the last try for a robots.txt, its origin is left alone for this long (seconds).
_REST = 300.0
# Of all files together, so many bytes are in memory as text, and so many ready to be matched: any
# number of hosts may have 500 KiB each. Ordinary ones are 3 KB, and 20.
_TEXTS = _READY = 32 << 20
_LARGE = 32 * 1024  # characters that are made ready in steps: at once, it takes 5 ms
# Of the files that are too many, so many are looked at with each new one: some may have to be kept.
_TRIES = 3
# The rules are for everybody alike, and who asks for them is nobody yet.
_WITHOUT_COOKIES = {"dont_merge_cookies": True}


class Verdict(NamedTuple):
    """What is known of one origin.

    Either its rules, or the reason why they could not be had; then `again` says that it is
    to be asked once more at `until`, and otherwise its pages fail with that reason.
    """

    rules: RobotsRules | None
    until: float  # seconds since the epoch
    reason: str = ""
    failed: bool = False  # no rules because the host failed; False: because it is off limits
    again: bool = False
    tries: int = 0
    unreachable: bool = False  # no connection with the host could be had


class Rulebook:
    """The robots.txt of every origin that a crawl touches, for one user agent."""

    def __init__(self, fetch: Fetch, agent: str, *, retries: int, backoff: float) -> None:
        self._fetch = fetch
        self._agent = agent
        self._retries = retries
        self._backoff = backoff
        self._verdicts: dict[str, Verdict] = {}
        self._expires: dict[str, float] = {}  # monotonic, so that no change of the clock matters
        self._origins: dict[str, set[str]] = {}  # host -> its origins, http and https
        self._asking: dict[str, asyncio.Lock] = {}
        self._news: set[str] = set()  # hosts to be saved with the next commit
        # Rules that are ready, and hosts with the size of their files; what was used last is last.
        self._ready: OrderedDict[int, RobotsRules] = OrderedDict()
        self._ready_bytes = 0
        self._texts: OrderedDict[str, int] = OrderedDict()
        self._text_bytes = 0
        self._preparing = asyncio.Lock()
        self._put_away: set[str] = set()  # hosts whose files are in the store alone
        # Returns what the store has of a host.
        self.recall: Callable[[str], Awaitable[str | None]] | None = None

    def known(self, origin: str) -> Verdict | None:
        """Return what is known of an origin, or None when its robots.txt is to be fetched."""
        verdict = self._verdicts.get(origin)
        if verdict is None or verdict.again or self._expires[origin] <= time.monotonic():
            return None
        return verdict

    def forget(self, origin: str) -> None:
        """Forget that an origin was off limits: a start request names it now."""
        verdict = self._verdicts.get(origin)
        if verdict is not None and verdict.rules is None:
            del self._verdicts[origin]
            self._origins[host_of(f"{origin}/")].discard(origin)

    def has_news(self, host: str) -> bool:
        """Say whether something of the host is still to be saved."""
        return host in self._news

    def drop(self, host: str) -> None:
        """Forget a host altogether; what was saved of it can be taken up again."""
        self._put_away.discard(host)
        self._text_bytes -= self._texts.pop(host, 0)
        for origin in self._origins.pop(host, ()):
            self._verdicts.pop(origin, None)
            self._expires.pop(origin, None)
            if (asking := self._asking.get(origin)) is not None and not asking.locked():
                del self._asking[origin]

    async def learn(self, origin: str) -> Verdict:
        """Return the verdict on an origin, asking for its robots.txt (once) if need be.

        Several callers at once cause one fetch; when one is cancelled, the next one asks.
        """
        async with self._asking.setdefault(origin, asyncio.Lock()):
            host = host_of(f"{origin}/")
            if host in self._put_away:
                await self._take_back(host)
            verdict = self.known(origin)
            if verdict is None:
                verdict = await self._ask(origin)
                self._news.add(host)
                self._keep(origin, verdict)
            if verdict.rules is not None and len(verdict.rules.text) > _LARGE:
                await self._prepare(verdict.rules)
        return verdict

    async def _prepare(self, rules: RobotsRules) -> None:
        """Make rules ready, one file after the other: 500 KiB of them take 100 ms."""
        async with self._preparing:
            for _ in rules.prepare(self._agent):
                await asyncio.sleep(0)
        self._used(rules)

    async def _take_back(self, host: str) -> None:
        stored = await self.recall(host) if self.recall is not None else None
        self._put_away.discard(host)
        if stored:
            self.remember(stored)

    async def _ask(self, origin: str) -> Verdict:
        """Ask once. RFC 9309, 2.3.1: 4xx allows everything, 5xx and no answer nothing yet."""
        reason, retryable, unreachable, asked = "robots_unavailable", True, False, 0.0
        before = self._verdicts.get(origin)
        tried = before.tries if before is not None and before.again else 0
        try:
            # One byte more than counts, which tells where the last line of a larger one is cut.
            response = await self._fetch(
                Request(f"{origin}/robots.txt", meta=_WITHOUT_COOKIES),
                first=MAX_BYTES + 1,
                max_redirects=_REDIRECTS,
            )
        except DropRequest as error:
            return Verdict(None, time.time() + _REST, error.reason)
        except RetryLater as later:  # it was not asked: that is no try
            until = time.time() + later.delay
            return Verdict(None, until, later.reason, True, again=True, tries=tried)
        except FetchError as error:
            if error.reason in _NO_FILE:
                return Verdict(ALLOW_ALL, time.time() + MAX_AGE)
            if error.after:  # it rests, and was not asked either
                until = time.time() + error.after
                return Verdict(None, until, error.reason, True, again=True, tries=tried)
            reason, retryable, unreachable = error.reason, error.retryable, error.unreachable
        else:
            rules = rules_for_status(response.status, response.body)
            if rules is not None:
                return Verdict(rules, time.time() + MAX_AGE)
            asked = parse_retry_after(response.headers.get("Retry-After"), time.time()) or 0.0
        tries = 1 + tried
        if retryable and tries <= self._retries:
            wait = max(backoff_delay(tries, base=self._backoff), asked)
            return Verdict(None, time.time() + wait, reason, True, again=True, tries=tries)
        return Verdict(None, time.time() + _REST, reason, True, unreachable=unreachable)

    def allows(self, verdict: Verdict, url: str) -> bool:
        """Say whether our agent may fetch `url`."""
        if verdict.rules is None:
            return False
        allowed = verdict.rules.allowed(self._agent, url)
        self._used(verdict.rules)
        return allowed

    def delay(self, verdict: Verdict) -> float:
        """Return the Crawl-delay that is asked of our agent, in seconds; 0.0 for none."""
        if verdict.rules is None:
            return 0.0
        delay = verdict.rules.crawl_delay(self._agent)
        self._used(verdict.rules)
        return delay or 0.0

    # ── within a bound ──────────────────────────────────────────────────────────────────

    def _used(self, rules: RobotsRules) -> None:
        """Note that rules are ready; let go of those that were not used for longest."""
        if id(rules) in self._ready:
            self._ready.move_to_end(id(rules))
        elif rules.text:
            self._ready[id(rules)] = rules
            self._ready_bytes += rules.weight
            while self._ready_bytes > _READY and len(self._ready) > 1:
                _, oldest = self._ready.popitem(last=False)
                self._ready_bytes -= oldest.weight
                oldest.let_go()

    def _hold(self, host: str) -> None:
        """Note how much text there is of a host; put away what was not used for longest."""
        found = [self._verdicts[origin].rules for origin in self._origins[host]]
        size = sum(sys.getsizeof(rules.text) for rules in found if rules is not None and rules.text)
        self._text_bytes += size - self._texts.pop(host, 0)
        self._texts[host] = size
        for _ in range(_TRIES):
            if self._text_bytes <= _TEXTS or len(self._texts) == 1:
                return
            oldest = next(iter(self._texts))
            if oldest in self._news or self.recall is None:
                self._texts.move_to_end(oldest)
            else:
                self._put(oldest)

    def _put(self, host: str) -> None:
        self._text_bytes -= self._texts.pop(host)
        self._put_away.add(host)
        for origin in list(self._origins.get(host, ())):
            if self._verdicts[origin].rules is not None:
                del self._verdicts[origin], self._expires[origin]
                self._origins[host].discard(origin)

    # ── between processes ───────────────────────────────────────────────────────────────

    def take_news(self) -> dict[str, str]:
        """Return host -> JSON for the store, of the hosts with news since the last call."""
        hosts, self._news = self._news, set()
        return {host: self._dump(host) for host in hosts}

    def _dump(self, host: str) -> str:
        verdicts = {origin: self._verdicts[origin] for origin in self._origins[host]}
        return json.dumps(
            {
                origin: {"until": verdict.until, "text": verdict.rules.text}
                for origin, verdict in verdicts.items()
                if verdict.rules is not None
            }
        )

    def _keep(self, origin: str, verdict: Verdict) -> None:
        self._verdicts[origin] = verdict
        self._expires[origin] = time.monotonic() + verdict.until - time.time()
        host = host_of(f"{origin}/")
        self._origins.setdefault(host, set()).add(origin)
        self._hold(host)

    def remember(self, stored: str) -> list[Verdict]:
        """Take up what an earlier process learned of a host, and return it."""
        latest = time.time() + MAX_AGE
        found = []
        for origin, entry in json.loads(stored).items():
            verdict = Verdict(RobotsRules(entry["text"]), min(entry["until"], latest))
            self._keep(origin, verdict)
            found.append(verdict)
        return found
