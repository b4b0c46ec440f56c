"""Looking names up: every answer a name server can give, and none. No query leaves the machine."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from crawler.resolver import NO_SUCH_NAME, Resolver
from tests.names import BROKEN, NO_DATA, NXDOMAIN, SERVFAIL, Answer, Answers, name_server

NAME = "name.test"


@asynccontextmanager
async def resolving(deadline: float = 30) -> AsyncIterator[Resolver]:
    resolver = Resolver(deadline)
    try:
        yield resolver
    finally:
        await resolver.close()


async def resolved(answers: Answers, name: str = NAME, deadline: float = 30) -> list[str]:
    with name_server({name: answers}):
        async with resolving(deadline) as resolver:
            return [one["host"] for one in await resolver.resolve(name, 80)]


async def errno_of(answers: Answers, deadline: float = 30) -> int | None:
    try:
        await resolved(answers, deadline=deadline)
    except OSError as error:
        return error.errno
    pytest.fail("there was an answer")


def threads() -> list[threading.Thread]:
    """Those that look names up."""
    return [thread for thread in threading.enumerate() if thread.name == "dns"]


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_resolver() -> Iterator[None]:
    yield
    for thread in threads():
        thread.join(20)
    assert threads() == []


@pytest.fixture
def silence() -> Iterator[threading.Event]:
    """Set at the end, so that no thread outlives its test."""
    over = threading.Event()
    yield over
    over.set()


async def test_an_answer_has_all_that_a_connection_needs() -> None:
    with name_server({NAME: ["127.0.0.1", "::1"]}):
        async with resolving() as resolver:
            v4, v6 = await resolver.resolve(NAME, 8080)
    assert (v4["hostname"], v4["host"], v4["port"], v4["family"]) == (
        *(NAME, "127.0.0.1", 8080),
        socket.AF_INET,
    )
    assert (v6["host"], v6["port"], v6["family"]) == ("::1", 8080, socket.AF_INET6)


async def test_at_most_four_addresses_of_each_family_are_used_in_their_order() -> None:
    fours = [f"127.0.1.{n}" for n in range(1, 200)]
    sixes = [f"fd00::{n}" for n in range(1, 200)]
    assert await resolved([*sixes, *fours]) == [*fours[:4], *sixes[:4]]


async def test_an_address_given_twice_is_used_once() -> None:
    assert await resolved(["127.0.0.1"] * 9 + ["127.0.0.2"]) == ["127.0.0.1", "127.0.0.2"]


async def test_what_is_no_address_is_passed_over() -> None:
    assert await resolved(["", "x", "127.0.0.1", "1.2.3"]) == ["127.0.0.1"]


async def test_a_link_local_address_keeps_its_interface() -> None:
    assert await resolved(["fe80::1%3"]) == ["fe80::1%3"]


async def test_answers_of_another_family_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [entry])
    async with resolving() as resolver:
        with pytest.raises(socket.gaierror):
            await resolver.resolve(NAME, 80)


# ── no address ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "answer", [NXDOMAIN, NO_DATA, [], ["rubbish"], UnicodeError("label too long")], ids=repr
)
async def test_a_name_without_addresses_is_not_worth_asking_again(answer: Answer) -> None:
    assert await errno_of(answer) in NO_SUCH_NAME


@pytest.mark.parametrize("answer", [SERVFAIL, BROKEN, OSError(101, "unreachable")], ids=repr)
async def test_a_name_server_that_fails_may_do_better_next_time(answer: Answer) -> None:
    assert await errno_of(answer) not in NO_SUCH_NAME


async def test_no_answer_within_the_deadline_is_an_error(silence: threading.Event) -> None:
    def wait() -> Answer:
        silence.wait()
        return []

    assert await errno_of(wait, deadline=0.05) == socket.EAI_AGAIN


async def test_a_fault_within_the_look_up_is_an_error_too_and_the_next_one_works() -> None:
    answers = iter([ZeroDivisionError(), ["127.0.0.1"]])
    with name_server({NAME: lambda: next(answers)}):
        async with resolving() as resolver:
            with pytest.raises(socket.gaierror, match="ZeroDivisionError"):
                await resolver.resolve(NAME, 80)
            assert await resolver.resolve(NAME, 80)
            assert len(threads()) == 1


async def test_a_process_without_threads_to_spare_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with name_server({NAME: ["127.0.0.1"]}):
        async with resolving() as resolver:
            with monkeypatch.context() as short:
                short.setattr(threading.Thread, "start", start)
                for _ in range(300):  # more than there may be: each gives its place back
                    with pytest.raises(socket.gaierror, match="can't start new thread"):
                        await resolver.resolve(NAME, 80)
            assert await resolver.resolve(NAME, 80)


# ── localhost ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["localhost", "localhost.", "shop.localhost", "a.b.localhost."])
async def test_localhost_is_this_machine_and_nobody_is_asked(name: str) -> None:
    with name_server({name: ["8.8.8.8"]}) as asked:
        found = [one["host"] for one in await Resolver(30).resolve(name, 80)]
    assert (found, asked) == (["127.0.0.1", "::1"], [])


@pytest.mark.parametrize("name", ["notlocalhost", "localhost.test", "localhosts"])
async def test_a_name_that_only_looks_like_localhost_is_looked_up(name: str) -> None:
    assert await resolved(["127.0.0.9"], name) == ["127.0.0.9"]


# ── many at once ────────────────────────────────────────────────────────────────────────────


async def test_a_hundred_silent_names_do_not_hold_up_another(silence: threading.Event) -> None:
    def wait() -> Answer:
        silence.wait()
        return []

    silent = [f"silent{n}.test" for n in range(100)]
    with name_server({**dict.fromkeys(silent, wait), NAME: ["127.0.0.1"]}) as asked:
        async with resolving() as resolver, asyncio.timeout(20):
            waiting = [asyncio.create_task(resolver.resolve(name, 80)) for name in silent]
            while len(asked) < len(silent):
                await asyncio.sleep(0.01)
            assert await resolver.resolve(NAME, 80)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


async def test_look_ups_beyond_the_bound_wait_for_a_thread(silence: threading.Event) -> None:
    def wait() -> Answer:
        silence.wait()
        return ["127.0.0.1"]

    names = [f"name{n}.test" for n in range(200)]
    with name_server(dict.fromkeys(names, wait)) as asked:
        async with resolving() as resolver, asyncio.timeout(20):
            tasks = [asyncio.create_task(resolver.resolve(name, 80)) for name in names]
            while len(asked) < 128:
                await asyncio.sleep(0.01)
            for task in tasks[:64]:
                task.cancel()
            await asyncio.sleep(0.05)
            # Whoever gave up has left the thread behind: it cannot be interrupted.
            assert len(asked) == 128
            silence.set()
            found = await asyncio.gather(*tasks[64:])
    assert all(found)
    assert len(asked) == 200


# ── the end of it ───────────────────────────────────────────────────────────────────────────


def test_an_answer_after_the_loop_has_closed_is_nobodys(silence: threading.Event) -> None:
    def wait() -> Answer:
        silence.wait()
        return ["127.0.0.1"]

    async def ask() -> None:
        async with resolving(0.05) as resolver:
            with pytest.raises(socket.gaierror):
                await resolver.resolve(NAME, 80)

    faults: list[object] = []
    before, threading.excepthook = threading.excepthook, faults.append
    try:
        with name_server({NAME: wait}):
            asyncio.run(ask())
            (late,) = threads()
            silence.set()
            late.join(20)
            assert not late.is_alive()
    finally:
        threading.excepthook = before
    assert faults == []


def test_a_silent_name_server_does_not_keep_a_process_from_exiting() -> None:
    program = """
import asyncio, socket, threading
from crawler.resolver import Resolver
socket.getaddrinfo = lambda *a, **k: threading.Event().wait()
async def ask():
    try:
        await Resolver(0.05).resolve("name.test", 80)
    except socket.gaierror as error:
        print(error)
asyncio.run(ask())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert "no answer in 0.05 s" in done.stdout
    assert done.stderr == ""


async def test_a_thread_serves_one_name_after_the_other_until_the_end() -> None:
    with name_server({NAME: ["127.0.0.1"]}):
        async with resolving() as resolver:
            for _ in range(20):
                await resolver.resolve(NAME, 80)
            (thread,) = threads()
    thread.join(20)
    assert not thread.is_alive()
