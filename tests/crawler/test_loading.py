"""Finding spiders by reading, and loading one by importing."""

import ast
import gc
import queue
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from crawler import SpiderError
from crawler.loading import config_for, find_spiders, load_spider, source_of
from crawler.models import item_models

SPIDER = '''
from crawler import Item, Spider

class Book(Item):
    name: str = "an item's field, not a spider's name"

class {class_name}(Spider):
    """Does {name}.

    And more.
    """

    name = "{name}"
'''


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty project is the current directory; the path and modules are put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: str, text: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def spider(name: str, path: str | None = None) -> Path:
    text = SPIDER.format(name=name, class_name=name.capitalize())
    return write(path or f"spiders/{name}.py", text)


# ── finding ─────────────────────────────────────────────────────────────────────────────────


def test_spiders_are_found_in_order_with_their_file_and_docstring() -> None:
    spider("quotes")
    spider("books", "spiders/shops/bookshop.py")
    found, broken, nameless = find_spiders()
    assert [(s.name, str(s.path), s.class_name, s.summary) for s in found] == [
        ("books", "spiders/shops/bookshop.py", "Books", "Does books."),
        ("quotes", "spiders/quotes.py", "Quotes", "Does quotes."),
    ]
    assert (broken, nameless) == ([], [])


def test_finding_runs_nobodys_code() -> None:
    write("spiders/loud.py", SPIDER.format(name="loud", class_name="Loud") + "\nraise SystemExit\n")
    assert [source.name for source in find_spiders().spiders] == ["loud"]


def test_a_file_that_cannot_be_read_is_one_line_beside_the_others() -> None:
    spider("books")
    write("spiders/broken.py", "def f(:\n")
    Path("spiders/binary.py").write_bytes(b"x = '\xff'\n")
    found, broken, _ = find_spiders()
    assert [source.name for source in found] == ["books"]
    assert len(broken) == 2
    assert broken[1] == "spiders/broken.py:1: invalid syntax"
    assert not any("\n" in line for line in broken)


def test_no_directory_has_no_spiders() -> None:
    assert find_spiders() == ([], [], [])


NAMELESS = """
from crawler import Spider

class Books(Spider):
    start_urls = ["http://books.example/"]
"""


def test_a_spider_without_a_name_is_told_by_its_class() -> None:
    write("spiders/shop.py", NAMELESS)
    said = "Books in spiders/shop.py has no name: give it one (name = 'books')"
    assert find_spiders() == ([], [], [said])
    assert complaint("spiders/shop.py") == said
    assert complaint("spiders/shop.py:Books") == said
    for path in ("spiders/shop.py", "spiders/shop.py:Books"):
        with pytest.raises(SpiderError) as caught:
            source_of(path)
        assert str(caught.value) == said
    assert complaint("shop") == f"no spider 'shop' in spiders/: there are none; {said}"
    more = write("more.py", NAMELESS + "class More(Books):\n    name: str\n")
    assert complaint("more.py").startswith(f"Books and More in {more} have no name: give one to ")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("shop.py", "class Shop(Books): name = 'shop'"),
        ("shop.py", "class Shop(Books): name = PREFIX + 'shop'"),
        ("base.py", "class Shop(Spider): name = f'{1}'"),
        ("base.py", "class Thing(Item): pass"),
        ("base.py", "class Shop(Books, Mixin): pass"),
    ],
)
def test_what_is_only_a_base_or_has_a_name_somehow_is_not_told_of(path: str, text: str) -> None:
    write("spiders/base.py", NAMELESS + "class Other(Books): name = 'other'\n")
    with Path("spiders", path).open("a") as file:
        file.write(text + "\n")
    assert find_spiders().nameless == []


def test_a_path_names_a_source_too() -> None:
    path = spider("books", "elsewhere/shop.py")
    assert source_of("elsewhere/shop.py").name == "books"
    assert source_of(f"{path.resolve()}:Books").name == "books"


# ── loading ─────────────────────────────────────────────────────────────────────────────────


def test_a_spider_is_loaded_by_its_name_whatever_its_file_is_called() -> None:
    spider("books", "spiders/shops/bookshop.py")
    loaded = load_spider("books")
    assert (loaded.__name__, loaded.name) == ("Books", "books")
    assert set(item_models(loaded)) == {"Book"}


def test_a_spider_is_loaded_by_its_path_and_class() -> None:
    both = SPIDER.format(name="a", class_name="A") + SPIDER.format(name="b", class_name="B")
    path = write("two.py", both)
    assert load_spider("two.py:B").name == "b"
    assert load_spider(f"{path.resolve()}:A").name == "a"
    assert load_spider("./two.py:A").name == "a"


def test_of_imported_spiders_only_the_files_own_counts() -> None:
    spider("books")
    write(
        "spiders/poetry.py",
        "from spiders.books import Books\n\nclass Poetry(Books):\n    name = 'poetry'\n",
    )
    assert load_spider("spiders/poetry.py").name == "poetry"


def test_a_spider_imports_what_lies_beside_it_absolutely_or_relatively() -> None:
    write("project_helper.py", "A = 1")
    write("spiders/helper_beside.py", "B = 2")
    imports = (
        "import project_helper\nfrom helper_beside import B\nfrom .helper_beside import B as C\n"
        "from spiders.helper_beside import B as D\nassert B == C == D == 2\n"
    )
    write("spiders/books.py", imports + SPIDER.format(name="books", class_name="Books"))
    assert load_spider("books").name == "books"


def test_a_spider_does_not_replace_a_module_of_python_that_has_its_files_name() -> None:
    spider("queue")
    assert load_spider("queue").name == "queue"
    spec = PathFinder.find_spec("queue")
    assert spec is not None
    assert spec.origin == queue.__file__


def test_two_files_of_one_name_do_not_get_in_each_others_way() -> None:
    spider("one", "first/spider.py")
    spider("two", "second/spider.py")
    one, two = load_spider("first/spider.py"), load_spider("second/spider.py")
    assert (one.name, two.name) == ("one", "two")
    assert sys.modules[one.__module__] is not sys.modules[two.__module__]


# ── what can be wrong ───────────────────────────────────────────────────────────────────────


def complaint(name: str) -> str:
    with pytest.raises(SpiderError) as caught:
        load_spider(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_name_is_told_what_comes_close_and_what_there_is() -> None:
    spider("books")
    spider("quotes")
    assert complaint("boks") == (
        "no spider 'boks' in spiders/: did you mean 'books'? there are books, quotes"
    )


def test_an_unknown_name_is_told_of_the_file_that_may_hold_it() -> None:
    write("spiders/books.py", "class Books(Spider:\n")
    assert "not read: spiders/books.py:1: " in complaint("books")


def test_without_a_directory_of_spiders_the_way_out_is_told() -> None:
    assert "there is no directory spiders/ here" in complaint("books")


def test_two_spiders_of_one_name_are_told_with_their_files() -> None:
    spider("books", "spiders/a.py")
    spider("books", "spiders/b.py")
    said = complaint("books")
    assert said == "two spiders are called 'books', in spiders/a.py and spiders/b.py: rename one"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nif x\n", "spider.py:2: expected ':'"),
        ("import nothing_of_that_name", "spider.py:1: no module named 'nothing_of_that_name'"),
        ("from crawler import Spyder", "spider.py:1: cannot import name 'Spyder'"),
        ("\n1 / 0", "spider.py:2: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "spider.py:1: SystemExit: 3"),
        ("x = 1", "spider.py has no spider with a name"),
        ("from crawler import Spider\nclass A(Spider): pass", "A in spider.py has no name"),
        (
            "from crawler import Spider\nclass A(Spider): name='a'\nclass B(A): name='b'",
            "spider.py has several spiders: choose one, spider.py:A or spider.py:B",
        ),
    ],
)
def test_a_file_without_one_good_spider_is_told_in_one_line(text: str, said: str) -> None:
    write("spider.py", text)
    assert said in complaint("spider.py")


def test_a_class_that_is_not_there_is_told() -> None:
    spider("books", "books.py")
    assert complaint("books.py:Boks") == "books.py has no spider class Boks"
    assert "no spider class Book" in complaint("books.py:Book")
    assert complaint("nowhere.py") == "there is no file nowhere.py"
    assert "is not a Python file" in complaint("some/where.txt")


def test_a_file_that_failed_leaves_no_module_behind() -> None:
    write("spider.py", "1 / 0")
    before = {*sys.modules}
    complaint("spider.py")
    assert not [name for name in {*sys.modules} - before if name.endswith(".spider")]


# ── settings beside it ──────────────────────────────────────────────────────────────────────


def test_the_config_is_beside_the_spiders() -> None:
    spider("books")
    spider("quotes", "elsewhere/spiders/quotes.py")
    spider("plain", "elsewhere/plain.py")
    assert config_for("books") is None
    assert config_for("elsewhere/plain.py") is None
    here = write("config.toml", "")
    assert config_for("books") == here
    assert config_for("elsewhere/spiders/quotes.py:Quotes") == here
    above = write("elsewhere/config.toml", "").resolve()
    for path in ("elsewhere/spiders/quotes.py", "elsewhere/plain.py"):
        found = config_for(path)
        assert found is not None
        assert found.resolve() == above
    beside = write("elsewhere/spiders/config.toml", "")
    assert config_for("elsewhere/spiders/quotes.py") == beside


def test_a_finalizer_that_formats_a_traceback_is_not_in_the_way(tmp_path: Path) -> None:
    talking = True

    class Talker:
        def __init__(self) -> None:
            self.itself = self  # garbage for the collector only

        def __del__(self) -> None:
            if talking:
                self.talk(20)
                Talker()

        def talk(self, depth: int) -> None:
            if depth:
                self.talk(depth - 1)
            else:
                ast.parse("a.b.c")  # as `traceback` does for the marks under a line

    path = tmp_path / "deep.py"
    lists = "x = [{1: (2,)}]\n" * 500
    path.write_text(f"from crawler import Spider\nclass Deep(Spider): name = 'deep'\n{lists}")
    before = gc.get_threshold()
    try:
        gc.set_threshold(200)
        Talker()
        assert load_spider(str(path)).name == "deep"
    finally:
        talking = False
        gc.set_threshold(*before)
