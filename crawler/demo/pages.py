"""The bookshop's pages: books in, HTML out."""

from collections.abc import Mapping, Sequence
from html import escape

from crawler.demo.catalogue import CATEGORIES, Book

BOOKS_PER_PAGE = 20
RELATED = 3

_STYLE = """
body { font: 16px/1.5 Georgia, serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
a { color: #0b5563; text-decoration: none } a:hover { text-decoration: underline }
.categories, .tags { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1rem }
.tags li { background: #eef3f3; padding: 0 .6rem; border-radius: 1rem; font-size: .9rem }
.shelf { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem }
.shelf .book { border: 1px solid #dde; border-radius: .4rem; padding: .5rem 1rem }
.book h3 { margin: .2rem 0; font-size: 1rem } .price { font-weight: bold }
.subtitle { font-style: italic } .rating { color: #b58900 } .pager a { margin-right: 1rem }
footer { border-top: 1px solid #dde; margin-top: 2rem; font-size: .9rem }
""".strip()


def shop_pages(books: Sequence[Book], extra: Mapping[int, tuple[str, str]]) -> dict[str, str]:
    """Return every page of the shop by its path.

    `extra` is one more link (text, href) among the related ones of the book with that number.
    """
    pages = _listing("/", "All books", books)
    for category in CATEGORIES:
        shelf = [book for book in books if book.category == category]
        pages |= _listing(category_path(category), category, shelf)
        for place, book in enumerate(shelf):
            others = [shelf[(place + step) % len(shelf)] for step in range(1, RELATED + 1)]
            links = [(other.title, book_path(other)) for other in others]
            if book.number in extra:
                links.append(extra[book.number])
            pages[book_path(book)] = _book_page(book, links)
    return pages


def private_page(title: str) -> str:
    """Return a page that robots.txt asks crawlers to leave alone."""
    return _page(title, f"<h1>{escape(title)}</h1>\n<p>For those who work here.</p>")


def error_page(status: int, title: str) -> str:
    """Return what the shop says when it has no such page, or is having trouble."""
    return _page(title, f"<h1>{status}: {escape(title)}</h1>")


def book_path(book: Book) -> str:
    """Return the path of a book's page."""
    return f"/books/{book.number}/"


def category_path(category: str) -> str:
    """Return the path of a category's first listing page."""
    return f"/category/{category.lower()}/"


def _page(title: str, content: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(title)} - The Demo Bookshop</title>
<link rel="icon" href="data:,">
<style>
{_STYLE}
</style>
</head>
<body>
<header><a href="/">The Demo Bookshop</a></header>
{content}
<footer>Every book here is invented. <a href="/private/">Staff</a></footer>
</body>
</html>
"""


def _links(css_class: str, links: Sequence[tuple[str, str]]) -> str:
    lines = "\n".join(f'<li><a href="{escape(href)}">{escape(t)}</a></li>' for t, href in links)
    return f'<ul class="{css_class}">\n{lines}\n</ul>'


def _listing(path: str, title: str, books: Sequence[Book]) -> dict[str, str]:
    """The pages of one list of books: `path`, then `path`page/2/ and so on."""
    shelves = [books[i : i + BOOKS_PER_PAGE] for i in range(0, len(books), BOOKS_PER_PAGE)]
    paths = [path, *(f"{path}page/{n}/" for n in range(2, len(shelves) + 1))]
    categories = _links("categories", [(name, category_path(name)) for name in CATEGORIES])
    pages = {}
    for n, (page_path, shelf) in enumerate(zip(paths, shelves, strict=True)):
        cards = "\n".join(map(_card, shelf))
        pages[page_path] = _page(
            title,
            f"<h1>{escape(title)}</h1>\n<p>{len(books)} books</p>\n<nav>\n{categories}\n</nav>\n"
            f'<section class="shelf">\n{cards}\n</section>\n{_pager(paths, n)}',
        )
    return pages


def _pager(paths: Sequence[str], n: int) -> str:
    previous = f'<a class="previous" href="{paths[n - 1]}">Previous</a>\n' if n else ""
    following = f'<a class="next" href="{paths[n + 1]}">Next</a>\n' if n + 1 < len(paths) else ""
    return f'<nav class="pager">\n{previous}{following}Page {n + 1} of {len(paths)}\n</nav>'


def _card(book: Book) -> str:
    return f"""<article class="book">
<h3><a href="{book_path(book)}">{escape(book.title)}</a></h3>
<p class="price">{_price(book)}</p>
</article>"""


def _book_page(book: Book, related: Sequence[tuple[str, str]]) -> str:
    subtitle = f'<p class="subtitle">{escape(book.subtitle)}</p>\n' if book.subtitle else ""
    stock = f"In stock ({book.stock})" if book.stock else "Out of stock"
    stars = "\u2605" * book.rating + "\u2606" * (5 - book.rating)
    tags = "\n".join(f"<li>{escape(tag)}</li>" for tag in book.tags)
    content = f"""<nav class="breadcrumb">
<a href="/">All books</a> / <a href="{category_path(book.category)}">{escape(book.category)}</a>
</nav>
<article class="book">
<h1>{escape(book.title)}</h1>
{subtitle}<p class="price">{_price(book)}</p>
<p class="rating" data-stars="{book.rating}">{stars}</p>
<p class="stock">{stock}</p>
<p class="description">{escape(book.description)}</p>
<ul class="tags">
{tags}
</ul>
</article>
<section>
<h2>You may also like</h2>
{_links("related", related)}
</section>"""
    return _page(book.title, content)


def _price(book: Book) -> str:
    return f"£{book.pence // 100}.{book.pence % 100:02}"
