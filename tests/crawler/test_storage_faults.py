"""Disks that are full, files that are not ours, files that broke: one line, and nothing lost."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawler import Request, Response, Spider
from storage.errors import RunMismatch, StoreError
from storage.health import check_filesystem
from storage.lock import FileLock, holder
from storage.sqlite import SqliteStore
from tests.crawler.cli.project import Project, Result, page, shop_pages
from tests.site import SiteServer, SiteSpec, serve

TEMPFAIL = 75
USAGE = 2

# Keeps a text that no compression makes small; 64 kB a page.
HEAVY = """
import hashlib
from crawler import Item, Spider


class Heavy(Item):
    path: str
    text: str


class Shop(Spider):
    name = "shop"
    start_urls = [{url!r}]
    settings = {{"concurrency": 4, "backoff": 0.01, "robots": False}}

    def parse(self, response):
        path = "/" + response.url.split("/", 3)[3]
        yield Heavy(path=path, text=hashlib.sha256(path.encode()).hexdigest() * 1000)
        yield from response.follow_all("a")
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A directory to run the command line in."""
    return Project(tmp_path)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory at one place, with these options; again, to change them."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("mounting a small disk takes root on Linux")
    made = []

    def mount(options: str) -> Path:
        how = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        done = subprocess.run(how, capture_output=True, text=True, timeout=10)
        if done.returncode:
            pytest.skip(f"no mount here: {done.stderr.strip()}")
        made.append(place)
        return place

    yield mount
    for _ in made[:1]:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=10)


def refused(result: Result, status: int, *words: str) -> None:
    """The command said so in one line, without a traceback, and with that exit status."""
    assert result.status == status, result.err
    for word in words:
        assert word in result.error


# ── no room, no permission ──────────────────────────────────────────────────────────────────


async def test_a_full_disk_ends_the_run_and_with_room_it_goes_on(
    mounted: Callable[[str], Path], project: Project
) -> None:
    disk = mounted("size=1m")
    db = str(disk / "c.db")
    pages = shop_pages(60)
    async with serve(pages) as site:
        project.write("spiders/shop.py", HEAVY.format(url=site.url))
        first = await project.crawler("run", "shop", "--db", db, "--log-level", "error")
        refused(first, TEMPFAIL, f"the disk of {db} is full", "make room", "run again")
        assert holder(Path(db)) is None
        fetched = sum(site.hits.values())
        done = project.rows("SELECT path FROM heavy", db)
        # Nothing was fetched to be thrown away, beyond what was in flight.
        assert 0 < len(done) <= fetched <= len(done) + 4
        assert fetched < len(pages)

        again = await project.crawler("run", "shop", "--db", db, "--log-level", "error")
        assert again.status == TEMPFAIL
        assert "is full: make room" in again.err.splitlines()[-1]
        assert project.rows("SELECT path FROM heavy", db)[: len(done)] == done

        mounted("remount,size=64m")
        last = await project.crawler("run", "shop", "--db", db, "--json")
    assert (last.status, last.json["done"], last.json["resumed"]) == (0, len(pages), True)
    assert sorted(project.rows("SELECT path FROM heavy", db)) == sorted((p,) for p in pages)
    assert project.rows("PRAGMA integrity_check", db) == [("ok",)]


async def test_a_disk_that_is_full_from_the_start_is_told_too(
    mounted: Callable[[str], Path], project: Project
) -> None:
    disk = mounted("size=64k")
    (disk / "filler").write_bytes(b"x" * 60_000)
    project.shop("http://127.0.0.1:1/")
    quick = ["--set", "retries=0", "--log-level", "error"]
    for _ in range(2):
        result = await project.crawler("run", "shop", "--db", str(disk / "c.db"))
        assert result.status == TEMPFAIL
        assert "full" in result.error or "No space left" in result.error
    (disk / "filler").unlink()
    mounted("remount,size=4m")
    result = await project.crawler("run", "shop", "--db", str(disk / "c.db"), "--json", *quick)
    assert result.json["finish"] == "finished"


def test_a_lock_that_could_not_be_written_keeps_nobody_out(
    mounted: Callable[[str], Path], tmp_path: Path
) -> None:
    disk = mounted("size=64k")
    filler = disk / "filler"
    filler.write_bytes(b"x" * 65_536)
    lock = FileLock(disk / "c.db")
    with pytest.raises(OSError, match="No space left"):
        lock.acquire()
    filler.unlink()
    other = FileLock(disk / "c.db")
    other.acquire()
    other.release()


async def test_a_read_only_disk_is_told_and_what_is_there_stays(
    mounted: Callable[[str], Path], project: Project
) -> None:
    disk = mounted("size=8m")
    async with serve(shop_pages(3)) as site:
        project.shop(site.url)
        db = str(disk / "c.db")
        await project.crawler("run", "shop", "--db", db, "--set", "max_pages=2")
        before = (disk / "c.db").read_bytes()
        mounted("remount,ro")
        for name in ("c.db", "new.db"):
            result = await project.crawler("run", "shop", "--db", str(disk / name))
            refused(result, TEMPFAIL, "cannot write beside", "Read-only file system")
        assert (disk / "c.db").read_bytes() == before
        mounted("remount,rw")
        last = await project.crawler("run", "shop", "--db", db, "--json")
    assert (last.status, last.json["done"]) == (0, 4)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_directory_that_may_not_be_written_is_told(project: Project) -> None:
    project.shop("http://127.0.0.1:1/")
    (project.path / "data").mkdir(mode=0o500)
    refused(await project.crawler("run", "shop"), TEMPFAIL, "cannot write beside data/shop.db")


# ── somebody else's ─────────────────────────────────────────────────────────────────────────


async def test_a_file_that_is_reached_by_another_name_is_in_use_all_the_same(
    project: Project,
) -> None:
    gate = asyncio.Event()

    async def hold(_: Any) -> str:
        await gate.wait()
        return page(1)

    async with serve({"/": page(0, "/1"), "/1": hold}) as site:
        project.shop(site.url)
        first = await project.start("run", "shop", "--db", "real.db", "--log-level", "error")
        await project.until_done(1, "real.db")
        (project.path / "link.db").symlink_to("real.db")
        result = await project.crawler("run", "shop", "--db", "link.db")
        refused(result, TEMPFAIL, f"link.db is in use by another run (process {first.pid})")
        gate.set()
        await first.communicate()
    assert first.returncode == 0


async def test_a_file_that_another_program_writes_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.db"
    connect = sqlite3.connect
    async with SqliteStore(path):
        pass
    monkeypatch.setattr(
        SqliteStore,
        "_connect",
        lambda self: connect(self.path, isolation_level=None, timeout=0.01),
    )
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with SqliteStore(path) as store:
            with pytest.raises(Exception, match="locked by another program: close it"):
                await store.begin_run("books", {}, fresh=False, tables=[])
            other.execute("ROLLBACK")
            assert (await store.begin_run("books", {}, fresh=False, tables=[])).id == 1


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"title,price\n" * 999)


def _another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA application_id = {0x63726177}")
        newer.execute("PRAGMA user_version = 999")
        newer.execute("CREATE TABLE crawl_future (x)")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_not_sqlite, ["is not an SQLite file", "choose another --db"]),
        (_another_program, ["database of another program", "choose another --db"]),
        (_newer, ["written by a newer crawler (schema 999", "upgrade"]),
        (Path.mkdir, ["is a directory"]),
    ],
)
async def test_what_is_no_crawl_is_refused_and_left_alone(
    make: Callable[[Path], None], words: list[str], project: Project
) -> None:
    project.shop("http://127.0.0.1:1/")
    path = project.path / "c.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    refused(await project.crawler("run", "shop", "--db", "c.db"), USAGE, "c.db", *words)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert {file.name for file in project.path.iterdir()} <= {"c.db", "spiders"}


async def test_a_device_is_no_place_for_a_crawl() -> None:
    with pytest.raises(RunMismatch, match="/dev/null is not a file: choose another --db"):
        async with SqliteStore(Path("/dev/null")):
            pass
    assert not Path("/dev/null.lock").exists()


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
nas:/share {share} nfs4 rw,relatime 0 0
/dev/sdb1 {share}/local ext4 rw 0 0
me@host: {share}/my\\040files fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("share/c.db", "nfs4"),
        ("share/deep/er/c.db", "nfs4"),
        ("share/my files/c.db", "fuse.sshfs"),
        ("link.db", "nfs4"),
        ("share/local/c.db", None),
        ("shared/c.db", None),
        ("c.db", None),
    ],
)
def test_a_network_file_system_is_refused(place: str, kind: str | None, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(share=tmp_path.resolve() / "share"))
    (tmp_path / "link.db").symlink_to(tmp_path / "share" / "c.db")
    if kind is None:
        check_filesystem(tmp_path / place, mounts)
        return
    with pytest.raises(RunMismatch, match=f"network file system .{kind}.*local disk") as caught:
        check_filesystem(tmp_path / place, mounts)
    assert "\n" not in str(caught.value)


# ── broken ──────────────────────────────────────────────────────────────────────────────────


def _overwritten_page(content: bytearray) -> bytearray:
    middle = len(content) // 4096 // 2 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    return content


def _cut_short(content: bytearray) -> bytearray:
    return content[: len(content) // 2 + 100]


def _zeroed_tail(content: bytearray) -> bytearray:
    content[-8192:] = bytes(8192)
    return content


@pytest.mark.parametrize("harm", [_overwritten_page, _cut_short, _zeroed_tail])
@pytest.mark.parametrize("finish", ["finished", "limit"])
async def test_a_corrupt_file_is_told_how_to_recover_and_left_as_it_is(
    harm: Callable[[bytearray], bytearray], finish: str, project: Project
) -> None:
    limit = ["--set", "max_pages=30"] if finish == "limit" else []
    async with serve(shop_pages(40)) as site:
        project.write("spiders/shop.py", HEAVY.format(url=site.url))
        first = await project.crawler("run", "shop", "--json", "--log-level", "error", *limit)
        assert first.json["finish"] == finish
        path = project.path / "data/shop.db"
        before = bytes(harm(bytearray(path.read_bytes())))
        path.write_bytes(before)
        result = await project.crawler("run", "shop")
        refused(result, TEMPFAIL, "data/shop.db is damaged", "restore a backup", ".recover")
        assert path.read_bytes() == before
        assert sum(site.hits.values()) == first.json["done"]


# ── signals that no handler sees ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_file_that_is_taken_away_while_the_crawl_runs_is_told(
    how: str, db: Path, crawl: Any
) -> None:
    async with serve(shop_pages(5)) as site:

        class Shop(Spider):
            name = "shop"
            start_urls = (site.url,)

            def parse(self, response: Response) -> Iterator[Request]:
                if how == "removed":
                    db.unlink(missing_ok=True)
                else:
                    db.with_suffix(".other").write_bytes(b"")
                    db.with_suffix(".other").replace(db)
                yield from response.follow_all("a")

        with pytest.raises(StoreError, match=r"crawl\.db was removed or replaced while"):
            await crawl(Shop)
    assert db.exists() == (how == "replaced")
    assert sum(site.hits.values()) - site.hits["/robots.txt"] == 1


async def test_a_process_that_is_suspended_for_a_while_goes_on_where_it_was(
    project: Project,
) -> None:
    spec = SiteSpec(seed=5, pages=120, slow=0.3, missing=0.0, slow_seconds=0.02)
    expected = spec.expected()
    async with SiteServer(spec) as site:
        project.write(
            "spiders/shop.py",
            "from crawler import Item, Spider\n"
            "class Found(Item):\n    key: str\n    hash: str\n"
            f"class Shop(Spider):\n    name = 'shop'\n    start_urls = [{site.url + 'p/0'!r}]\n"
            "    settings = {'backoff': 0.01, 'concurrency': 4, 'robots': False, 'retries': 20}\n"
            "    def parse(self, response):\n"
            "        for li in response.css('li.item'):\n"
            "            yield Found(key=li.attrib['data-key'], hash=li.attrib['data-hash'])\n"
            "        yield from response.follow_all('a')\n",
        )
        process = await project.start("run", "shop", "--json", "--log-level", "error")
        for done in (10, 60):
            await project.until_done(done)
            process.send_signal(signal.SIGSTOP)
            before = sum(site.hits.values())
            await asyncio.sleep(1.5)  # the length of the suspension, not a wait for something
            assert sum(site.hits.values()) <= before + 4
            process.send_signal(signal.SIGCONT)
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert out
    found = Counter(project.rows("SELECT key, hash FROM found"))
    assert found == Counter(expected.items)
    states = {
        "/" + url.split("/", 3)[3]: state
        for url, state in project.rows("SELECT url, state FROM crawl_request")
    }
    assert states == expected.states
