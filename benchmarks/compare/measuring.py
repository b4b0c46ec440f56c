"""One run of one contestant, measured from outside."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Run:
    """What a run cost."""

    seconds: float  # from starting the process to its end
    crawling: float  # by the contestant's own clock, without starting the interpreter
    cpu: float  # user and system seconds of the process and its children
    megabytes: float  # resident at most, of the largest of these processes


class RunError(Exception):
    """A contestant that did not come to its end; says why."""


def measure(command: Sequence[str], folder: Path, limit: float) -> Run:
    """Run the command in `folder`, for `limit` seconds at most, and return what it cost.

    The last line of its output is a JSON object with the `seconds` of its own clock. Raises
    `RunError` for one that fails.
    """
    said, told = folder / "stdout", folder / "stderr"
    with said.open("wb") as out, told.open("wb") as err:
        began = perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=_environment(),
            start_new_session=True,
        )
        timer = threading.Timer(limit, _end, [process.pid])
        timer.start()
        try:
            # Only the usage of a process that was waited for holds that of its children.
            _, status, usage = os.wait4(process.pid, 0)
            seconds = perf_counter() - began
        except BaseException:
            _end(process.pid)
            raise
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        reason = told.read_text(errors="replace")[-2000:]
        raise RunError(f"ended with {process.returncode} after {seconds:.1f} s:\n{reason}")
    own = json.loads(said.read_text().strip().rpartition("\n")[2])
    return Run(
        seconds=seconds,
        crawling=float(own["seconds"]),
        cpu=usage.ru_utime + usage.ru_stime,
        megabytes=usage.ru_maxrss / (1 << 20 if os.uname().sysname == "Darwin" else 1 << 10),
    )


def _environment() -> dict[str, str]:
    """Return ours, without the settings of any contestant."""
    foreign = ("CRAWLER_", "CRAWLEE_", "SCRAPY_", "APIFY_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):  # it came to its end just now
        os.killpg(pid, signal.SIGKILL)
