"""One `crawler run` meets every hostile server at once: it ends, with every page accounted for."""

import asyncio
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[2]
# First the module that keeps the crawl on this machine, whatever the pages lead to.
_PATH = f"{ROOT / 'tests' / 'child'}{os.pathsep}{ROOT}"
# The whole process may take so much memory, whatever it is served (bytes).
_MOST_MEMORY = 300 * 1024 * 1024

_SPIDER = """
from tests.hostile.case import Reader

class Everything(Reader):
    name = "everything"
    start_urls = {urls!r}
    settings = {{
        "timeout": 3, "retries": 1, "backoff": 0.01, "max_pages": 3000, "concurrency": 32,
    }}
"""


async def test_all_of_them_at_once_cost_little_memory_and_no_page_is_lost(tmp_path: Path) -> None:
    servers = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=1 << 20,
    )
    assert servers.stdin is not None
    assert servers.stdout is not None
    try:
        urls = json.loads(await servers.stdout.readline())
        (tmp_path / "everything.py").write_text(_SPIDER.format(urls=urls))
        crawl = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "crawler", "run", "everything.py", "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": _PATH},
        )
        async with asyncio.timeout(240):
            most = asyncio.create_task(_memory_of(crawl.pid))
            out, errors = await crawl.communicate()
    finally:
        servers.stdin.close()
        await servers.wait()
    assert crawl.returncode in (0, 1), errors.decode()
    summary = json.loads(out.splitlines()[-1])
    assert (summary["finish"], summary["queued"]) == ("finished", 0)
    assert b"Traceback" not in errors
    with closing(sqlite3.connect(tmp_path / "data" / "everything.db")) as file:
        ends = file.execute("SELECT count(*), count(reason) FROM crawl_request").fetchone()
    assert ends[0] >= len(set(urls))
    assert await most < _MOST_MEMORY


async def _memory_of(pid: int) -> int:
    """Return the most memory (bytes, resident) that a process ever had, once it has ended."""
    most = 0
    status = Path(f"/proc/{pid}/status")
    while True:
        try:
            text = status.read_text()
        except OSError:
            return most
        peak = [line.split() for line in text.splitlines() if line.startswith("VmHWM:")]
        if not peak:  # a process that has ended, and that nobody has waited for yet
            return most
        most = max(most, int(peak[0][1]) * 1024)
        await asyncio.sleep(0.05)
