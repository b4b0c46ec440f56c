"""The sites that are crawled: documentation from Debian's packages, and a synthetic one."""

import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_DOC = Path("/usr/share/doc")


@dataclass(frozen=True, slots=True)
class Site:
    """A folder of pages that all can be reached from `index.html`."""

    key: str
    title: str
    folder: Path
    package: str = ""  # the Debian package that it is from

    @property
    def present(self) -> bool:
        """Whether its pages are there."""
        return (self.folder / "index.html").is_file()


PYTHON = Site("python", "Python docs", _DOC / "python3-doc/html", "python3-doc")
POSTGRESQL = Site(
    "postgresql", "PostgreSQL docs", _DOC / "postgresql-doc-15/html", "postgresql-doc-15"
)
JDK = Site("jdk", "JDK docs", _DOC / "openjdk-17-doc/api", "openjdk-17-doc")
DOCS = (POSTGRESQL, PYTHON, JDK)

# What Debian calls each package that is needed beyond the synthetic site.
_NGINX = "nginx-light"


def find_nginx() -> str | None:
    """Return where nginx is, which is often on the path of root only; None when it is not there."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def provide(sites: tuple[Site, ...]) -> list[str]:
    """Install what the sites need, where root may; return the packages that are still missing."""
    missing = _missing(sites)
    if missing and shutil.which("apt-get") and _is_root():
        print(f"installing {' '.join(missing)}", file=sys.stderr)
        for command in (["update", "-q"], ["install", "-y", "-q", *missing]):
            subprocess.run(["apt-get", *command], capture_output=True, check=False, timeout=600)
    return _missing(sites)


def _missing(sites: tuple[Site, ...]) -> list[str]:
    server = [] if find_nginx() else [_NGINX]
    return server + [site.package for site in sites if not site.present]


def _is_root() -> bool:
    return os.geteuid() == 0


def synthetic(folder: Path, pages: int, size: int = 2048) -> Site:
    """Write a site of so many pages of about `size` bytes, the same at each call.

    A page links to the four below it, the one above it, and two anywhere.
    """
    anywhere = random.Random(5)
    for number in range(pages):
        linked = [n for n in range(4 * number + 1, 4 * number + 5) if n < pages]
        linked += [(number - 1) // 4] if number else []
        linked += [anywhere.randrange(pages) for _ in range(2)]
        path = folder / _name(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_page(number, linked, size))
    return Site("synthetic", f"synthetic, {pages:,} pages of 2 KB", folder)


def _name(number: int) -> str:
    return f"{number // 100}/{number}.html" if number else "index.html"


def _page(number: int, linked: list[int], size: int) -> str:
    links = "".join(f'<li><a href="/{_name(n)}">Page {n}</a></li>\n' for n in linked)
    head = (
        f"<!DOCTYPE html>\n<html><head><title>Page {number}</title></head>\n<body>"
        f'<h1>Page <em>{number}</em></h1>\n<ul class="links">\n{links}</ul>\n'
    )
    sentence = f"<p>Paragraph of page {number}, which says <b>nothing</b> of interest.</p>\n"
    return head + sentence * max(0, (size - len(head)) // len(sentence)) + "</body></html>\n"
