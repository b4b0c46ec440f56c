"""One server on loopback for all sites: nginx, else a process of our own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.compare.sites import Site, find_nginx

_ROOT = Path(__file__).parents[2]
_PATIENCE = 10.0  # seconds until a server listens, or has ended

_CONFIG = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    types {{ text/html html; text/css css; application/javascript js; image/svg+xml svg;
             image/png png; image/gif gif; image/jpeg jpg; text/plain txt py; }}
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    open_file_cache max=20000 inactive=1h;
    open_file_cache_valid 1h;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{servers}
}}
"""


@contextmanager
def serving(sites: Sequence[Site], folder: Path, *, own: bool = False) -> Iterator[dict[str, str]]:
    """Serve the sites, each on a port of its own; gives the start url of each by its key.

    `folder` is for the server's own files; with `own` it is not nginx even where there is one.
    The server is stopped in any case. Raises `RuntimeError` for one that does not start.
    """
    ports = _free_ports(len(sites))
    nginx = None if own else find_nginx()
    command = _own(sites, ports) if nginx is None else _nginx(nginx, sites, ports, folder)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, cwd=_ROOT)
    try:
        for port in ports:
            _wait_for(port, process)
        yield {
            site.key: f"http://127.0.0.1:{port}/index.html"
            for site, port in zip(sites, ports, strict=True)
        }
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _nginx(nginx: str, sites: Sequence[Site], ports: Sequence[int], folder: Path) -> list[str]:
    servers = "\n".join(
        f"    server {{ listen 127.0.0.1:{port}; root {site.folder.resolve()}; }}"
        for site, port in zip(sites, ports, strict=True)
    )
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, servers=servers))
    return [nginx, "-c", str(config), "-e", str(folder / "error.log")]


def _own(sites: Sequence[Site], ports: Sequence[int]) -> list[str]:
    pairs = [f"{port}={site.folder}" for site, port in zip(sites, ports, strict=True)]
    return [sys.executable, "-m", "benchmarks.compare.server", *pairs]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not start") from None
            time.sleep(0.05)
