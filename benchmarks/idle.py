"""What a crawl costs while every host rests: seconds of a core per second.

    make bench-idle

A server answers 503 to everything and asks for ten minutes of patience; each host has requests
that wait. The real command runs until all hosts have answered, and its CPU time is measured from
then on: with one host and with a thousand, and once more on a terminal, where progress is drawn.
Each host is an address of loopback.
"""

import asyncio
import multiprocessing
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import time
from ctypes import c_int64
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any, cast

import uvloop

HOSTS, PAGES = 1000, 5
SETTLE, WINDOW = 5.0, 20.0  # seconds
PATIENCE = 60.0  # seconds until all hosts have answered
ALLOWED = 0.02  # of a core

SPIDER = """
from crawler import Request, Spider

HOSTS = [f"127.1.{{number // 250}}.{{number % 250 + 1}}:{port}" for number in range({hosts})]


class Resting(Spider):
    name = "resting"

    async def start(self):
        for page in range({pages}):
            for host in HOSTS:
                yield Request(f"http://{{host}}/{{page}}")

    def parse(self, response):
        pass
"""

_ANSWER = b"HTTP/1.1 503 Later\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n"
_NO_RULES = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Busy(asyncio.Protocol):
    """Has no time for any page."""

    refused: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Answer the request: heads are small, and none is sent before the last is answered."""
        is_page = not data.startswith(b"GET /robots.txt")
        self._transport.write(_ANSWER if is_page else _NO_RULES)
        self.refused.value += is_page


def serve(pipe: Connection, refused: Any) -> None:
    """Serve all hosts until killed; sends the port, and counts the pages refused."""

    async def run() -> None:
        Busy.refused = refused
        loop, port = asyncio.get_running_loop(), 0
        for number in range(HOSTS):
            address = f"127.1.{number // 250}.{number % 250 + 1}"
            listening = socket.create_server((address, port), backlog=64)
            port = listening.getsockname()[1]
            await loop.create_server(Busy, sock=listening)
        pipe.send(port)
        await asyncio.Event().wait()

    uvloop.run(run())


def cpu_of(pid: int) -> float:
    """Return the seconds of a core that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain(terminal: int) -> None:
    """Read what is drawn on a terminal until it is closed."""
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass


def idle(folder: Path, port: int, refused: Any, hosts: int, *, on_terminal: bool) -> float:
    """Return the share of a core that a crawl takes while all its hosts rest."""
    spider = folder / "resting.py"
    spider.write_text(SPIDER.format(port=port, hosts=hosts, pages=PAGES))
    db = folder / f"{hosts}-{on_terminal}.db"
    command = [sys.executable, "-m", "crawler", "run", str(spider), "--db", str(db)]
    ours, theirs = pty.openpty()
    Thread(target=drain, args=(ours,), daemon=True).start()
    told = theirs if on_terminal else subprocess.DEVNULL
    before = refused.value
    process = subprocess.Popen(
        command if on_terminal else [*command, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=told,
        stderr=told,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    try:
        began = time.perf_counter()
        while refused.value - before < hosts:
            if time.perf_counter() - began > PATIENCE:
                raise TimeoutError("not all hosts were asked")
            time.sleep(0.05)
        time.sleep(SETTLE)
        then, spent = time.perf_counter(), cpu_of(process.pid)
        time.sleep(WINDOW)
        return (cpu_of(process.pid) - spent) / (time.perf_counter() - then)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def main() -> int:
    """Run everything and print the table; 1 when it is over what is allowed."""
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    refused = spawn.Value(c_int64, 0, lock=False)
    server = spawn.Process(target=serve, args=(there, refused), daemon=True)
    server.start()
    most = 0.0
    print("| hosts that rest | progress | of a core |\n|---:|---|---:|")
    try:
        with tempfile.TemporaryDirectory() as folder:
            port = here.recv()
            for hosts, on_terminal in ((1, False), (HOSTS, False), (1, True), (HOSTS, True)):
                share = idle(Path(folder), port, refused, hosts, on_terminal=on_terminal)
                most = max(most, share)
                shown = "drawn on a terminal" if on_terminal else "a line every 10 s"
                print(f"| {hosts:,} | {shown} | {share:.2%} |", flush=True)
    finally:
        server.terminate()
    print(f"\nat most {most:.2%} of a core (at most {ALLOWED:.0%})")
    return 0 if most <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
