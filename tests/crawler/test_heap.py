"""Memory that is kept for the next page, and for whatever thread has it."""

import platform
import subprocess
import sys

import pytest

from crawler import heap

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep memory"
)

_FAULTS = """
import resource
from crawler.heap import hold_on
{prepare}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(20 << 20)
before = faults()
for _ in range(10):
    bytearray(20 << 20)
print(faults() - before)
"""

# Eight threads that live at the same time, and need memory one after the other.
_THREADS = """
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from crawler.heap import hold_on
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
def work(number):
    together.wait()
    with turns:
        things = [bytearray(100_000) for _ in range(200)]
        last = bytearray(1000)  # holds on to the end of the heap
        del things
        return last
hold_on()
before = resident()
together, turns = threading.Barrier(8), threading.Lock()
with ThreadPoolExecutor(8) as pool:
    kept = list(pool.map(work, range(8)))
    print(resident() - before)
"""


def printed_by(code: str) -> int:
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(told.stdout)


@pytest.mark.parametrize(("prepare", "kept"), [("", False), ("hold_on()", True)])
def test_what_a_page_took_is_there_for_the_next_one(prepare, kept):
    assert (printed_by(_FAULTS.format(prepare=prepare)) < 1000) == kept


def test_what_a_thread_took_is_there_for_the_next_one():
    assert printed_by(_THREADS) < 60_000_000


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(heap, "_mallopt", lambda: None)
    heap.hold_on()
