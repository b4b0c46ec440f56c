"""Memory that is kept for the next page, and memory that is given back."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from crawler import heap
from crawler.heap import Heap

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep or to return memory"
)

_FAULTS = """
import resource
from crawler.heap import Heap
{prepare}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(20 << 20)
before = faults()
for _ in range(10):
    bytearray(20 << 20)
print(faults() - before)
"""


def resident() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_what_is_free_between_things_that_are_not_is_given_back():
    things = [bytearray(1000) for _ in range(100_000)]
    things[:-1000:] = []  # the last ones hold on to the end of the heap
    full = resident()
    Heap().give_back()
    assert full - resident() > 50_000_000
    assert len(things) == 1000


def test_it_is_looked_for_now_and_then_only(monkeypatch):
    calls = []
    monkeypatch.setattr(heap, "_function", lambda name: lambda *_: calls.append(name))
    one = Heap()
    for _ in range(100):
        one.give_back()
    assert calls == ["malloc_trim"]


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(heap, "_function", lambda _: None)
    Heap().hold_on()
    Heap().give_back()


@pytest.mark.parametrize(("prepare", "kept"), [("", False), ("Heap().hold_on()", True)])
def test_what_a_page_took_is_there_for_the_next_one(prepare, kept):
    code = _FAULTS.format(prepare=prepare)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (int(told.stdout) < 1000) == kept
