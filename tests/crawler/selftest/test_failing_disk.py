"""A disk that fails under SQLite itself: libfiu makes the system calls of the real command fail."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from crawler.selftest.site import SiteServer
from crawler.selftest.spec import SiteSpec
from crawler.selftest.verdict import judge
from tests.debian import need

_SPIDER = """from crawler.selftest.victim import Victim

class Disk(Victim):
    name = "disk"
"""
_TRIES = 8
_CONCURRENCY = 8


@pytest.mark.parametrize(
    ("call", "error", "probability"),
    [
        ("posix/io/sync/fdatasync", 5, 0.5),  # EIO
        ("posix/io/rw/pwrite", 5, 0.15),
        ("posix/io/rw/pwrite", 28, 0.15),  # ENOSPC
    ],
)
async def test_a_disk_that_fails_now_and_then_loses_nothing(
    tmp_path: Path, call: str, error: int, probability: float
) -> None:
    need("fiu-utils", lambda: shutil.which("fiu-run") is not None)
    (tmp_path / "disk.py").write_text(_SPIDER)
    fault = f"enable_random name={call},probability={probability},failinfo={error}"
    spec = SiteSpec(seed=11, pages=80)
    failed = 0
    async with SiteServer(spec) as site:
        command = (
            *(sys.executable, "-m", "crawler", "run", "disk.py", "-a", f"url={site.url}"),
            *("--set", "backoff=0.01", "--set", "retries=20", "--db", "disk.db", "--json"),
            *("--set", f"concurrency={_CONCURRENCY}", "--log-level", "error"),
        )
        for wrapped in (True,) * _TRIES + (False,):
            before = ("fiu-run", "-x", "-c", fault) if wrapped else ()
            process = await asyncio.create_subprocess_exec(
                *before,
                *command,
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            _, told = await process.communicate()
            if process.returncode == 0:
                break
            failed += 1
            assert process.returncode == 75, told.decode()
            assert told.decode().splitlines()[-1].startswith("crawler: error: ")
        verdict = judge(
            tmp_path / "disk.db",
            spec,
            site.hits,
            [],
            kills=failed,
            concurrency=_CONCURRENCY,
            delay=0.0,
        )
    assert failed  # or no fault came through to SQLite, and nothing was shown
    assert process.returncode == 0
    assert verdict.right, verdict
