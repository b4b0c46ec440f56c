"""The public `retry`."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tenacity
from aiohttp import web

from crawler import FetchError, retry
from crawler.retrying import is_transient

SOON = 0.001  # seconds of backoff


class Flaky:
    """Fails with each of the given errors in turn, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


# ── retry ───────────────────────────────────────────────────────────────────────────────


async def test_a_coroutine_that_recovers_gives_its_answer() -> None:
    flaky = Flaky(OSError("reset"), TimeoutError())

    @retry(backoff=SOON)
    async def ask() -> str:
        return flaky()

    assert await ask() == "answer"
    assert flaky.calls == 3


def test_a_plain_function_is_retried_too() -> None:
    flaky = Flaky(ConnectionResetError())

    @retry(backoff=SOON)
    def ask(question: str, *, loud: bool = False) -> str:
        """Ask."""
        return f"{question} {flaky()} {loud}"

    assert ask("why", loud=True) == "why answer True"
    assert flaky.calls == 2
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")


def test_without_parentheses_it_works_the_same() -> None:
    flaky = Flaky(OSError())
    ask = retry(lambda: flaky())
    ask.retry.wait = tenacity.wait_none()  # or the first wait would be a second
    assert ask() == "answer"
    assert flaky.calls == 2


async def test_the_last_failure_is_raised_as_it_is() -> None:
    errors = [OSError(str(number)) for number in range(9)]
    flaky = Flaky(*errors)

    @retry(attempts=3, backoff=SOON)
    async def ask() -> str:
        return flaky()

    with pytest.raises(OSError, match="2") as caught:
        await ask()
    assert caught.value is errors[2]
    assert flaky.calls == 3


async def test_each_call_has_its_own_attempts() -> None:
    flaky = Flaky(*[OSError() for _ in range(4)])

    @retry(attempts=3, backoff=SOON)
    async def ask() -> str:
        return flaky()

    with pytest.raises(OSError):  # noqa: PT011 - any of them
        await ask()
    assert await ask() == "answer"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (aiohttp.ServerTimeoutError(), True),
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.ClientConnectionError(), True),
        (aiohttp.ClientPayloadError(), True),
        (FetchError("truncated", retryable=True), True),
        (FetchError("http_404"), False),
        (aiohttp.InvalidURL("x"), False),
        (ValueError(), False),
        (KeyError(), False),
    ],
)
async def test_by_default_only_accidents_are_retried(error: Exception, again: bool) -> None:
    flaky = Flaky(error)

    @retry(backoff=SOON)
    async def ask() -> str:
        return flaky()

    assert is_transient(error) is again
    if again:
        assert await ask() == "answer"
    else:
        with pytest.raises(type(error)):
            await ask()
        assert flaky.calls == 1


@pytest.mark.parametrize("on", [KeyError, (KeyError, OSError), lambda e: e.args == ("busy",)])
async def test_on_says_which_failures_are_retried(on: object) -> None:
    flaky = Flaky(KeyError("busy"), ValueError("no"))

    @retry(on=on, backoff=SOON)  # type: ignore[call-overload, untyped-decorator]
    async def ask() -> str:
        return flaky()

    with pytest.raises(ValueError, match="no"):
        await ask()
    assert flaky.calls == 2


@pytest.mark.parametrize("on", [BaseException, (asyncio.CancelledError,), lambda e: True])
async def test_cancellation_is_never_retried(on: object) -> None:
    calls = 0

    @retry(on=on, backoff=SOON)  # type: ignore[call-overload, untyped-decorator]
    async def forever() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()

    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == 1


async def test_cancellation_ends_the_wait_for_the_next_try() -> None:
    flaky = Flaky(OSError(), OSError())

    @retry(backoff=3600, max_delay=3600)
    async def ask() -> str:
        return flaky()

    task = asyncio.create_task(ask())
    while not flaky.calls:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert flaky.calls == 1


def test_the_wait_grows_up_to_the_longest_delay() -> None:
    waits: list[float] = []

    @retry(attempts=6, backoff=SOON, max_delay=5 * SOON)
    def ask() -> None:
        raise OSError

    ask.retry.before_sleep = lambda state: waits.append(state.upcoming_sleep)
    with pytest.raises(OSError):  # noqa: PT011 - any of them
        ask()
    assert len(waits) == 5
    for wait, most in zip(waits, (1, 2, 4, 5, 5), strict=True):
        assert most * SOON / 2 <= wait + 1e-9
        assert wait - 1e-9 <= most * SOON


async def test_no_try_begins_after_the_timeout() -> None:
    flaky = Flaky(*[OSError() for _ in range(10_000)])

    @retry(attempts=10_000, backoff=SOON, max_delay=SOON, timeout=0.05)
    async def ask() -> str:
        return flaky()

    with pytest.raises(OSError):  # noqa: PT011 - any of them
        await ask()
    assert 1 <= flaky.calls < 1000


@pytest.mark.parametrize(
    "wrong",
    [
        *({"attempts": 0}, {"backoff": -1.0}, {"max_delay": -1.0}, {"timeout": 0.0}),
        *({"backoff": float("nan")}, {"max_delay": float("nan")}, {"timeout": float("nan")}),
    ],
)
def test_impossible_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="attempts >= 1"):
        retry(**wrong)  # type: ignore[call-overload]


def test_a_generator_is_refused() -> None:
    async def pages() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match=r"pages.*twice"):
        retry(pages)


async def _is_busy(_: Exception) -> bool:
    return True


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"on": 5}, r"retry\(on=\.\.\.\) takes exception types, .* not 5"),
        ({"on": None}, r"retry\(on=\.\.\.\) .* not None"),
        ({"on": [OSError]}, r"retry\(on=\.\.\.\) .* not \["),
        ({"on": int}, r"retry\(on=\.\.\.\) .* <class 'int'> is not only that"),
        ({"on": (OSError, 503)}, r"retry\(on=\.\.\.\) .*, 503\) is not only that"),
        ({"on": OSError("x")}, r"retry\(on=\.\.\.\) .* not OSError\('x'\)"),
        ({"on": _is_busy}, r"retry\(on=\.\.\.\) .* a plain function of one, not .*_is_busy"),
        ({"attempts": "3"}, r"retry\(attempts=\.\.\.\) takes a whole number, not '3'"),
        ({"attempts": 2.5}, r"retry\(attempts=\.\.\.\) takes a whole number, not 2.5"),
        ({"backoff": "1"}, r"retry\(backoff=\.\.\.\) takes seconds, not '1'"),
        ({"max_delay": None}, r"retry\(max_delay=\.\.\.\) takes seconds, not None"),
        ({"timeout": "1"}, r"retry\(timeout=\.\.\.\) takes seconds, not '1'"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused_before_anything_fails(
    wrong: dict[str, object], said: str
) -> None:
    with pytest.raises(TypeError, match=f"^{said}"):
        retry(**wrong)  # type: ignore[call-overload]


@pytest.mark.parametrize("wrong", [3, OSError])
def test_what_is_no_function_is_refused_in_its_place(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"^retry takes a function, not .*: write retry\(on=...\)"):
        retry(wrong)  # type: ignore[call-overload]


def test_a_retry_is_logged_without_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    flaky = Flaky(OSError("reset"))

    @retry(backoff=SOON)
    def log_in(password: str) -> str:
        return flaky()

    with caplog.at_level("DEBUG", "crawler.retrying"):
        log_in("hunter2")
    assert "log_in failed (OSError('reset')), try 1" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.fixture
async def moody_server() -> AsyncIterator[tuple[str, list[str]]]:
    """A server's url, and what it was asked; it hangs up twice before it answers."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if len(asked) < 3:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/", asked
    await runner.cleanup()


async def test_a_server_that_hangs_up_twice_is_asked_three_times(
    moody_server: tuple[str, list[str]],
) -> None:
    url, asked = moody_server

    @retry(backoff=SOON)
    async def page() -> str:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text()

    assert await page() == "hello"
    assert len(asked) == 3


def test_importing_it_does_not_load_aiohttp_and_retrying_works_without() -> None:
    program = f"""
import sys
from crawler import retry
calls = []
@retry(backoff={SOON})
def ask():
    calls.append(1)
    if len(calls) < 3:
        raise OSError
ask()
print(len(calls), "aiohttp" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "3 False"


# ── the page about it ───────────────────────────────────────────────────────────────────

DOCS = Path(__file__).parents[2] / "docs" / "helpers.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(), re.M | re.S)


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_of_the_page_run_and_print_what_they_say(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    example = EXAMPLES[number]
    exec(compile(example, f"{DOCS.name}, example {number + 1}", "exec"), {"__name__": "example"})
    promised = re.findall(r"#> (.*)", example)
    assert capsys.readouterr().out.splitlines() == promised
