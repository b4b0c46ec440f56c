"""The pages that all steps are measured on."""

from collections.abc import Callable

import pytest

from crawler import Request, Response
from storage.records import QueuedRequest

URL = "http://docs.example/manual/page-7.html"

# A page of a manual as such pages are: a table of contents, a navigation that is the same on every
# page, and text with references and highlighted code. 41 KB, 380 links to 260 pages.
_NAVIGATION = "".join(
    f'<li><a class="nav" href="page-{n}.html">Chapter {n}</a></li>\n' for n in range(80)
)
_SECTION = """
<section id="s{n}"><h2>Section {n}<a class="headerlink" href="#s{n}" title="Permalink">¶</a></h2>
<p>As said in <a class="reference internal" href="page-{a}.html#s{n}"><em>another place</em></a>
and in <a class="reference" href="../guide/topic-{n}.html">the guide</a>, nothing is <b>ever</b>
lost: see <a href="page-{b}.html">there</a>, <a href="https://other.example/{n}">elsewhere</a>
&amp; here.</p>
<div class="highlight"><pre><span class="kn">import</span> <span class="nn">module_{n}</span>
<span class="n">value</span> <span class="o">=</span> <span class="s2">"text {n}"</span></pre></div>
</section>"""


def page(number: int) -> bytes:
    """Return one page of a manual; each has its own text, and links that no other has."""
    sections = "".join(_SECTION.format(n=n, a=n % 80, b=100 + n + 60 * number) for n in range(60))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>Page {number}</title>\n"
        f'<link rel="stylesheet" href="style.css"><link rel="canonical" href="page-{number}.html">'
        f"</head><body><nav><ul>{_NAVIGATION}</ul></nav>\n<main><h1>Page {number}</h1>"
        f"{sections}</main></body></html>"
    ).encode()


@pytest.fixture(scope="session")
def body() -> bytes:
    """The page's bytes."""
    return page(7)


@pytest.fixture
def respond(body: bytes) -> Callable[[], Response]:
    """Make a response that nothing was asked of yet."""
    headers = {"Content-Type": "text/html; charset=utf-8"}
    return lambda: Response(URL, headers=headers, body=body, request=Request(URL))


@pytest.fixture(scope="session")
def row() -> QueuedRequest:
    """The page's request, as the frontier holds it."""
    return QueuedRequest(7, 7, URL, "docs.example", "GET", None, None, None, 0, 2, 0)
