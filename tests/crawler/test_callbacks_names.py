"""What the log says of an error: one line, with its type and what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, model_validator

from crawler import Item, Response
from crawler.callbacks import CallbackError, name_of
from tests.crawler.bad_page import Good, run


class Book(Item):
    """What the bad page has no values for."""

    title: str
    price: float


async def test_the_log_names_model_and_field_of_an_item_that_does_not_validate(
    db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(Good):
        def bad(self, response: Response) -> Any:
            yield Book(title="Dune", price=response.css("title::text").get())

    await run(db, Wrong)
    (line,) = [r.getMessage() for r in caplog.records if "spider_error" in r.getMessage()]
    assert "ValidationError: 1 validation error for Book: price: Input should be a valid" in line
    assert "errors.pydantic.dev" not in line


class Basket(BaseModel):
    books: list[Book] = []
    most: int = 1

    @model_validator(mode="after")
    def _few(self) -> "Basket":
        if len(self.books) > self.most:
            raise ValueError("too many books,\nor too small a basket")
        return self


def _raised_by(call: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as raised:  # noqa: PT011 (any: it is what is named)
        call()
    return raised.value


def test_several_fields_are_named_with_their_places() -> None:
    error = _raised_by(lambda: Basket.model_validate({"books": [{"title": None}], "most": []}))
    assert name_of(error) == (
        "ValidationError: 3 validation errors for Basket: "
        "books.0.title: Input should be a valid string (got None); books.0.price: Field required; "
        "most: Input should be a valid integer (got list)"
    )


def test_what_a_field_was_given_is_shown_as_far_as_it_tells() -> None:
    error = _raised_by(lambda: Book.model_validate({"title": Response(""), "price": "£" * 99}))
    assert name_of(error) == (
        "ValidationError: 2 validation errors for Book: title: Input should be a valid string "
        "(got Response); price: Input should be a valid number, unable to parse string as a number "
        f"(got '{'£' * 38}…)"
    )
    more = _raised_by(lambda: Book.model_validate({"title": 1 << 99_999, "price": 1, "pages": 3}))
    assert "title: Input should be a valid string (got int); pages: Extra" in name_of(more)
    assert name_of(more).count("got") == 1


def test_a_model_that_is_wrong_as_a_whole_has_no_field_and_one_line() -> None:
    error = _raised_by(lambda: Basket(most=-1))
    assert name_of(error) == (
        "ValidationError: 1 validation error for Basket: "
        "Value error, too many books, or too small a basket"
    )


def test_what_is_very_long_is_cut() -> None:
    invalid = _raised_by(lambda: Basket.model_validate({"books": [{}] * 100}))
    for error in (invalid, ValueError("x" * 10_000)):
        assert len(name_of(error)) <= 500
        assert name_of(error).endswith("…")


def test_an_error_that_is_the_crawlers_own_is_its_text() -> None:
    assert name_of(CallbackError("item_error", "Book has no columns for x")) == (
        "Book has no columns for x"
    )


class Unspeakable(Exception):
    """An error that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr either")

    __str__ = __repr__


def _with_a_note() -> Exception:
    error = ValueError("no price")
    error.add_note("of a book")
    return error


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("no price"), "ValueError: no price"),
        (ValueError("no price\nin the page\n"), "ValueError: no price"),
        (ValueError("\n no price"), "ValueError: no price"),
        (ValueError("missing:\n  price"), "ValueError: missing: price"),
        (ValueError("\n"), "ValueError:"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "SystemExit: 3"),
        (ValueError("\ud800 is no character"), "ValueError: \\ud800 is no character"),
        (Unspeakable(), f"{__name__}.Unspeakable: <exception str() failed>"),
        (_with_a_note(), "ValueError: no price"),
        (_raised_by(lambda: compile("a b\n", "shop.py", "exec")), "SyntaxError: invalid syntax"),
        (ExceptionGroup("both", [KeyError("b")]), "ExceptionGroup: both (1 sub-exception)"),
        (type("", (Exception,), {"__module__": "builtins"})(), ""),
    ],
    ids=lambda value: repr(value) if isinstance(value, str) else "",
)
def test_the_name_of_an_error_is_its_type_and_the_first_line_of_its_text(
    error: BaseException, name: str
) -> None:
    assert name_of(error) == name
