"""A local copy of quotes.toscrape.com, with its markup, and what spiders found on it."""

import json
from html import escape

import pytest

from tests.site import serve

QUOTES = [
    ("The world as we have created it is a process of our thinking.", "Albert Einstein",
     ["change", "world"]),
    ("It is our choices, Harry, that show what we truly are.", "J.K. Rowling", ["choices"]),
    ("There are only two ways to live your life.", "Albert Einstein", ["life", "world"]),
    ("A person who has not pleasure in a good novel is stupid.", "Jane Austen",
     ["humor", "books"]),
    ("Imperfection is beauty & madness is genius.", "Marilyn Monroe", ["humor"]),
]  # fmt: skip
BORN = {
    "Albert Einstein": "March 14, 1879",
    "J.K. Rowling": "July 31, 1965",
    "Jane Austen": "December 16, 1775",
    "Marilyn Monroe": "June 01, 1926",
}


def slug(author: str) -> str:
    return author.replace(".", "-").replace(" ", "-")


def quote_html(text: str, author: str, tags: list[str]) -> str:
    keywords = "".join(f'<a class="tag" href="/tag/{tag}/page/1/">{tag}</a>\n' for tag in tags)
    return f"""
    <div class="quote" itemscope itemtype="http://schema.org/CreativeWork">
        <span class="text" itemprop="text">“{escape(text)}”</span>
        <span>by <small class="author" itemprop="author">{author}</small>
        <a href="/author/{slug(author)}">(about)</a>
        </span>
        <div class="tags">
            Tags:
            <meta class="keywords" itemprop="keywords" content="{",".join(tags)}">
            {keywords}
        </div>
    </div>"""


def listing(quotes: list[tuple[str, str, list[str]]], before: str = "", after: str = "") -> str:
    previous = f'<li class="previous"><a href="{before}">← Previous</a></li>' if before else ""
    following = f'<li class="next"><a href="{after}">Next →</a></li>' if after else ""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>Quotes to Scrape</title></head>
<body><div class="container"><div class="row"><div class="col-md-8">
    {"".join(quote_html(*quote) for quote in quotes)}
    <nav><ul class="pager">{previous}{following}</ul></nav>
</div></div></div></body></html>"""


def author_html(author: str) -> str:
    return f"""<!DOCTYPE html><html><body><div class="author-details">
    <h3 class="author-title">{author}
    </h3>
    <p><strong>Born:</strong> <span class="author-born-date">{BORN[author]}</span>
    <span class="author-born-location">in Somewhere</span></p>
    <div class="author-description">
        {author} wrote this.
    </div></div></body></html>"""


def login(request):
    if request.method == "POST":
        return f"<p id=who>{escape(request.body.decode())} {request.headers.get('X-Mine', '')}</p>"
    return "<form method=post></form>"


@pytest.fixture
async def toscrape():
    """A local quotes.toscrape.com: three pages of quotes, their authors, one page per tag."""
    pages = {
        "/": listing(QUOTES[:2], after="/page/2/"),
        "/page/1/": listing(QUOTES[:2], after="/page/2/"),
        "/page/2/": listing(QUOTES[2:4], before="/page/1/", after="/page/3/"),
        "/page/3/": listing(QUOTES[4:], before="/page/2/"),
        "/tag/humor": listing([quote for quote in QUOTES if "humor" in quote[2]]),
        "/login": login,
        "/status/500": (500, {}, "<h1>Server Error</h1>"),
        "/hang-up": None,
        **{f"/author/{slug(author)}": author_html(author) for author in BORN},
    }
    async with serve(pages) as site:
        yield site


@pytest.fixture
def items(rows):
    """What is in the table `item`, in the order it was found."""
    return lambda: [json.loads(data) for data in rows("SELECT data FROM item ORDER BY _id")]


def texts(quotes) -> list[str]:
    return sorted(f"“{text}”" for text, _, _ in quotes)
