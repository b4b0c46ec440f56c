"""What each origin's robots.txt allows: asked once, remembered, and given up in the end."""

import asyncio
import json
import time
from typing import Any

import pytest

from crawler.errors import DropRequest, FetchError, RetryLater
from crawler.request import Request
from crawler.response import Response
from crawler.robots import MAX_AGE
from crawler.rulebook import Rulebook, Verdict
from tests.turns import counted

ORIGIN = "http://a.example"
CLOSED = b"User-agent: *\nDisallow: /private\nCrawl-delay: 3\n"


class Host:
    """Answers for robots.txt as it is told to, and counts who asked."""

    def __init__(self, *answers: int | bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self, request: Request, **limits: Any) -> Response:
        self.asked.append(request.url)
        await self.open.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, bytes):
            return Response(request.url, body=answer)
        return Response(request.url, status=answer)

    async def was_asked(self, times: int) -> None:
        async with asyncio.timeout(20):
            while len(self.asked) < times:
                await asyncio.sleep(0)

    def book(self, *, retries: int = 3, backoff: float = 0.0) -> Rulebook:
        return Rulebook(self.fetch, "crawler/0.1", retries=retries, backoff=backoff)


async def test_a_robots_txt_is_asked_for_once() -> None:
    host = Host(CLOSED)
    book = host.book()
    assert book.known(ORIGIN) is None
    verdict = await book.learn(ORIGIN)
    assert await book.learn(ORIGIN) is verdict
    assert book.known(ORIGIN) is verdict
    assert host.asked == [f"{ORIGIN}/robots.txt"]
    assert not book.allows(verdict, f"{ORIGIN}/private/x")
    assert book.allows(verdict, f"{ORIGIN}/public")
    assert book.delay(verdict) == 3.0


async def test_origins_have_their_own_rules() -> None:
    host = Host(CLOSED, 404)
    book = host.book()
    first, second = await book.learn(ORIGIN), await book.learn("https://a.example")
    assert not book.allows(first, f"{ORIGIN}/private")
    assert book.allows(second, "https://a.example/private")
    assert book.delay(second) == 0.0


async def test_many_askers_at_once_cause_one_fetch() -> None:
    host = Host(CLOSED)
    host.open.clear()
    book = host.book()
    askers = [asyncio.create_task(book.learn(ORIGIN)) for _ in range(20)]
    await host.was_asked(1)
    host.open.set()
    verdicts = await asyncio.gather(*askers)
    assert len(host.asked) == 1
    assert all(verdict is verdicts[0] for verdict in verdicts)


async def test_when_the_asker_is_cancelled_the_next_one_asks() -> None:
    host = Host(CLOSED)
    host.open.clear()
    book = host.book()
    askers = [asyncio.create_task(book.learn(ORIGIN)) for _ in range(3)]
    await host.was_asked(1)
    askers[0].cancel()
    await host.was_asked(2)
    host.open.set()
    assert (await askers[1]) is (await askers[2])
    with pytest.raises(asyncio.CancelledError):
        await askers[0]
    assert len(host.asked) == 2


async def test_an_origin_that_does_not_answer_waits_for_no_other() -> None:
    slow, quick = Host(CLOSED), Host(404)
    slow.open.clear()

    async def fetch(request: Request, **limits: Any) -> Response:
        host = slow if request.url.startswith(ORIGIN) else quick
        return await host.fetch(request, **limits)

    book = Rulebook(fetch, "crawler", retries=0, backoff=0)
    waiting = asyncio.create_task(book.learn(ORIGIN))
    verdict = await book.learn("http://b.example")
    assert verdict.rules is not None
    assert not waiting.done()
    slow.open.set()
    await waiting


# ── answers that are no rules ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 301])
async def test_no_file_means_that_everything_is_allowed(status: int) -> None:
    book = Host(status).book()
    assert book.allows(await book.learn(ORIGIN), f"{ORIGIN}/private")


@pytest.mark.parametrize("answer", [500, 503, 429, FetchError("timeout", retryable=True)])
async def test_a_host_that_fails_is_asked_again_later(answer: int | Exception) -> None:
    host = Host(answer)
    book = host.book(backoff=1000.0)
    before = time.time()
    verdict = await book.learn(ORIGIN)
    assert (verdict.again, verdict.failed, verdict.rules) == (True, True, None)
    assert before + 100 < verdict.until < time.time() + 1001
    assert book.known(ORIGIN) is None
    assert not book.allows(verdict, f"{ORIGIN}/")


async def test_a_robots_txt_that_is_to_be_asked_for_later_is_asked_for_then() -> None:
    async def fetch(request: Request, **limits: Any) -> Response:
        return Response(request.url, status=503, headers={"Retry-After": "120"})

    book = Rulebook(fetch, "crawler", retries=3, backoff=0.0)
    verdict = await book.learn(ORIGIN)
    assert verdict.again
    assert 119 < verdict.until - time.time() <= 120


async def test_each_try_waits_longer_until_the_tries_are_used_up() -> None:
    host = Host(500)
    book = host.book(retries=2, backoff=10.0)
    verdicts = [await book.learn(ORIGIN) for _ in range(3)]
    assert [verdict.again for verdict in verdicts] == [True, True, False]
    assert [verdict.tries for verdict in verdicts[:2]] == [1, 2]
    assert verdicts[2].failed
    assert verdicts[2].reason == "robots_unavailable"
    assert book.known(ORIGIN) is verdicts[2]
    await book.learn(ORIGIN)
    assert len(host.asked) == 3  # it is left alone now


async def test_to_find_that_the_host_rests_is_no_try() -> None:
    rests = FetchError("host_resting", retryable=True, after=100.0)
    host = Host(rests, RetryLater(100.0, "host_busy", counts=False), CLOSED)
    book = host.book(retries=0)
    for reason in ("host_resting", "host_busy"):
        verdict = await book.learn(ORIGIN)
        assert (verdict.again, verdict.tries, verdict.reason) == (True, 0, reason)
        assert 99 < verdict.until - time.time() <= 100
    assert (await book.learn(ORIGIN)).rules is not None


async def test_a_host_that_recovers_is_believed() -> None:
    book = Host(500, CLOSED).book()
    assert (await book.learn(ORIGIN)).again
    verdict = await book.learn(ORIGIN)
    assert not verdict.failed
    assert not book.allows(verdict, f"{ORIGIN}/private")


async def test_a_failure_that_no_try_mends_is_final_at_once() -> None:
    book = Host(FetchError("tls", "certificate")).book()
    verdict = await book.learn(ORIGIN)
    assert (verdict.failed, verdict.again, verdict.reason) == (True, False, "tls")


async def test_the_reason_of_a_failed_fetch_becomes_that_of_its_pages() -> None:
    book = Host(FetchError("dns", retryable=True)).book(retries=0)
    verdict = await book.learn(ORIGIN)
    assert (verdict.failed, verdict.reason) == (True, "dns")


async def test_an_origin_that_is_off_limits_skips_its_pages() -> None:
    book = Host(DropRequest("private_address")).book()
    verdict = await book.learn(ORIGIN)
    assert (verdict.failed, verdict.again, verdict.reason) == (False, False, "private_address")
    assert not book.allows(verdict, f"{ORIGIN}/")


async def test_an_origin_that_was_given_up_is_asked_again_after_a_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host(500, CLOSED)
    book = host.book(retries=0)
    verdict = await book.learn(ORIGIN)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 301)
    assert verdict.until < time.time() + 301
    assert book.known(ORIGIN) is None
    assert (await book.learn(ORIGIN)).rules is not None


async def test_rules_are_asked_for_again_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(CLOSED)
    book = host.book()
    await book.learn(ORIGIN)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + MAX_AGE - 60)
    assert book.known(ORIGIN) is not None
    monkeypatch.setattr(time, "monotonic", lambda: now + MAX_AGE + 1)
    assert book.known(ORIGIN) is None


# ── between processes ───────────────────────────────────────────────────────────────────────


async def test_what_was_learned_goes_through_the_store_and_back() -> None:
    book = Host(CLOSED).book()
    await book.learn(ORIGIN)
    await book.learn("https://a.example:8443")
    news = book.take_news()
    assert set(news) == {"a.example", "a.example:8443"}

    later = Host(500)
    taken_up = later.book()
    (verdict,) = taken_up.remember(news["a.example"])
    assert taken_up.known(ORIGIN) is verdict
    assert not taken_up.allows(verdict, f"{ORIGIN}/private")
    assert taken_up.delay(verdict) == 3.0
    await taken_up.learn(ORIGIN)
    assert later.asked == []


async def test_both_schemes_of_a_host_are_kept_together() -> None:
    """`host_of` has no scheme, and a default port is not shown."""
    book = Host(CLOSED, 404).book()
    await book.learn(ORIGIN)
    await book.learn("https://a.example")
    assert set(json.loads(book.take_news()["a.example"])) == {ORIGIN, "https://a.example"}


async def test_news_are_told_once() -> None:
    book = Host(CLOSED).book()
    await book.learn(ORIGIN)
    assert book.take_news()
    assert book.take_news() == {}


async def test_a_failure_is_not_remembered_by_the_next_process() -> None:
    book = Host(500).book(retries=0)
    await book.learn(ORIGIN)
    news = book.take_news()
    taken_up = Host(CLOSED).book()
    assert taken_up.remember(news["a.example"]) == []
    assert taken_up.known(ORIGIN) is None


def test_a_time_from_a_clock_that_was_wrong_is_clamped() -> None:
    book = Host(404).book()
    stored = json.dumps({ORIGIN: {"until": time.time() + 1e9, "text": ""}})
    (verdict,) = book.remember(stored)
    assert verdict.until <= time.time() + MAX_AGE


def test_rules_that_are_too_old_are_asked_for_again() -> None:
    book = Host(404).book()
    book.remember(json.dumps({ORIGIN: {"until": time.time() - 1, "text": ""}}))
    assert book.known(ORIGIN) is None


def test_no_rules_allow_nothing() -> None:
    book = Host(404).book()
    unknown = Verdict(None, 0.0)
    assert not book.allows(unknown, f"{ORIGIN}/")
    assert book.delay(unknown) == 0.0


# ── files as large as they may be ───────────────────────────────────────────────────────────


def large(host: str) -> bytes:
    lines = "".join(f"Disallow: /{number}*{host}\n" for number in range(3000))
    return f"User-agent: *\n{lines}".encode()


class Hosts(Host):
    """Any number of hosts, each with a large robots.txt of its own; what they say can be stored."""

    def __init__(self) -> None:
        super().__init__(404)
        self.stored: dict[str, str] = {}

    async def fetch(self, request: Request, **limits: Any) -> Response:
        self.asked.append(request.url)
        return Response(request.url, body=large(request.url.split("/")[2]))

    async def recall(self, host: str) -> str | None:
        return self.stored.get(host)


def held(book: Rulebook) -> tuple[int, int]:
    """Return how much a book has in memory: of text, and of what is ready to be matched."""
    rules = {id(v.rules): v.rules for v in book._verdicts.values() if v.rules is not None}
    rules |= book._ready
    return sum(len(one.text) for one in rules.values()), sum(one.weight for one in rules.values())


async def test_of_any_number_of_large_files_few_are_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crawler.rulebook._TEXTS", 300_000)
    monkeypatch.setattr("crawler.rulebook._READY", 5_000_000)
    hosts = Hosts()
    book = hosts.book()
    book.recall = hosts.recall
    for number in range(50):
        verdict = await book.learn(f"http://h{number}")
        assert not book.allows(verdict, f"http://h{number}/7/h{number}")
        hosts.stored |= book.take_news()
        text, ready = held(book)
        assert text < 400_000
        assert ready < 6_500_000
    assert len(hosts.asked) == 50
    assert book.known("http://h0") is None
    verdict = await book.learn("http://h0")  # from the store
    assert not book.allows(verdict, "http://h0/7/h0")
    assert len(hosts.asked) == 50


async def five_hosts(*, saved: bool) -> tuple[Hosts, Rulebook]:
    """Five hosts whose robots.txt are learned, each before the next one, and perhaps saved."""
    hosts = Hosts()
    book = hosts.book()
    book.recall = hosts.recall
    for number in range(5):
        await book.learn(f"http://h{number}")
        if saved:
            book.take_news()
    return hosts, book


async def test_what_is_not_in_the_store_yet_is_not_put_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crawler.rulebook._TEXTS", 100_000)
    _, book = await five_hosts(saved=False)
    assert all(book.known(f"http://h{number}") for number in range(5))


async def test_a_file_that_is_put_away_and_lost_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crawler.rulebook._TEXTS", 100_000)
    hosts, book = await five_hosts(saved=True)
    verdict = await book.learn("http://h0")
    assert not book.allows(verdict, "http://h0/7/h0")
    assert hosts.asked[-1] == "http://h0/robots.txt"


async def test_others_go_on_while_a_large_file_is_made_ready() -> None:
    host = Host(b"User-agent: *\n" + b"Disallow: /a*b\n" + large("x") * 10)
    async with counted() as turns:
        verdict = await host.book().learn(ORIGIN)
    assert verdict.rules is not None
    assert turns.count > 20
