"""The child that parses on trial: what it survives, and what becomes of it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crawler.trial import Trial

NESTED = b"<div>" * 100_000


@pytest.fixture
def trial() -> Iterator[Trial]:
    trial = Trial()
    yield trial
    trial.end()


def child_of(trial: Trial) -> int:
    assert trial._child is not None
    return trial._child.pid


def is_there(pid: int) -> bool:
    """Whether a process runs; one that is dead, and that nobody has asked after, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_one_child_answers_for_one_page_after_the_other(trial: Trial) -> None:
    assert trial.survives(b"<p>one", 1.0)
    first = child_of(trial)
    assert trial.survives(b"", 1.0)
    assert trial.survives(b"<p>x" * 500_000, 5.0)
    assert child_of(trial) == first


def test_a_page_that_takes_too_long_kills_the_child_and_another_takes_its_place(
    trial: Trial,
) -> None:
    trial.survives(b"", 1.0)
    first = child_of(trial)
    assert not trial.survives(NESTED, 0.2)
    assert not is_there(first)
    assert trial.survives(b"<p>one", 1.0)


def test_a_page_that_takes_too_much_memory_is_found_out(trial: Trial) -> None:
    bomb = b"<p>" + b"".join(b"<b a=%d>" % n for n in range(2_000)) + b"<p>x" * 20_000
    assert not trial.survives(bomb, 1.0)  # long before the second is over
    assert trial.survives(b"<p>one", 1.0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of a trial")
def test_what_a_page_before_has_left_behind_is_no_room_for_more(trial: Trial) -> None:
    assert trial.survives(b"<p>x" * 400_000, 1.0)
    assert not trial.survives(b"<p>x" * 600_000, 1.0)
    assert trial.survives(b"<p>x" * 400_000, 1.0)


def test_a_child_that_somebody_else_killed_is_no_verdict(trial: Trial) -> None:
    trial.survives(b"", 1.0)
    os.kill(child_of(trial), signal.SIGKILL)
    assert trial.survives(b"<p>one", 1.0)


def test_the_child_is_gone_when_the_trial_is_over(trial: Trial) -> None:
    trial.survives(b"", 1.0)
    child = child_of(trial)
    trial.end()
    assert not is_there(child)
    trial.end()


def test_threads_take_turns(trial: Trial) -> None:
    verdicts: list[bool] = []
    threads = [
        threading.Thread(target=lambda: verdicts.append(trial.survives(b"<p>x" * 1_000, 5.0)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [True] * 8


def test_the_child_ends_with_whoever_asked_even_when_that_is_killed() -> None:
    program = (
        "import sys, time; from crawler.trial import TRIAL; TRIAL.survives(b'', 1.0);"
        "print(TRIAL._child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as asker:
        assert asker.stdout is not None
        child = int(asker.stdout.readline())
        assert is_there(child)
        asker.kill()
    deadline = time.monotonic() + 20
    while is_there(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_ends_the_trial_does_not_wait_for_what_is_being_tried(trial: Trial) -> None:
    trial.survives(b"", 1.0)
    child = child_of(trial)
    with ThreadPoolExecutor() as threads:
        tried = threads.submit(trial.survives, NESTED, 1.0)
        while not trial._lock.locked():
            time.sleep(0.001)
        trial.end()
        assert not tried.done()
    assert not tried.result()
    assert not is_there(child)
    assert trial._child is None


def test_a_forked_process_that_lives_on_keeps_nobody_from_ending_the_trial() -> None:
    program = (
        "import os, signal; from crawler.trial import TRIAL; TRIAL.survives(b'', 1.0);"
        "other = os.fork() or signal.pause();"
        "TRIAL.end(); os.kill(other, signal.SIGKILL); print('over')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20
    )
    assert done.stdout == "over\n", done.stderr


def test_a_forked_process_has_a_child_of_its_own() -> None:
    program = (
        "import os, sys; from crawler.trial import TRIAL; TRIAL.survives(b'', 1.0);"
        "TRIAL._lock.acquire(); mine = TRIAL._child.pid\n"
        "if other := os.fork():\n"
        "    TRIAL._lock.release(); failed = os.waitpid(other, 0)[1]\n"
        "    sys.exit(failed or not TRIAL.survives(b'', 1.0) or TRIAL._child.pid != mine)\n"
        "sys.exit(not TRIAL.survives(b'', 1.0) or TRIAL._child.pid == mine)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=20
    )
    assert (done.returncode, done.stderr) == (0, "")
