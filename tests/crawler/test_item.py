"""What a spider author may rely on of `Item`."""

import pytest
from pydantic import ValidationError, computed_field, create_model
from pydantic.errors import PydanticSchemaGenerationError

from crawler.item import Item


class Book(Item):
    title: str
    price: float = 0.0
    note: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def cents(self) -> int:
        return round(self.price * 100)


def test_values_become_what_the_field_declares() -> None:
    assert Book(title="Dune", price="12.50").price == 12.5  # type: ignore[arg-type]


def test_a_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError):
        Book(title="Dune", price="cheap")  # type: ignore[arg-type]


def test_a_misspelt_optional_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="note_"):
        Book(title="Dune", note_="x")  # type: ignore[call-arg]


def test_text_keeps_its_whitespace() -> None:
    assert Book(title="  Dune\n").title == "  Dune\n"


def test_an_assignment_is_checked_like_a_new_item() -> None:
    book = Book(title="Dune")
    book.price = "3"  # type: ignore[assignment]
    assert book.price == 3.0
    with pytest.raises(ValidationError):
        book.price = "cheap"  # type: ignore[assignment]
    assert book.price == 3.0


def test_fields_are_read_and_written_in_brackets_too() -> None:
    book = Book(title="Dune")
    book["price"] = "2.5"
    assert (book["title"], book["price"], book["cents"]) == ("Dune", 2.5, 250)


@pytest.mark.parametrize("name", ["nope", "model_fields", "__class__"])
def test_brackets_reach_nothing_but_fields(name: str) -> None:
    book = Book(title="Dune")
    with pytest.raises(KeyError, match="no field"):
        book[name]
    with pytest.raises(KeyError, match="no field"):
        book[name] = 1


def test_a_class_that_pydantic_cannot_check_is_no_field_type() -> None:
    class Socket:
        pass

    with pytest.raises(PydanticSchemaGenerationError):
        create_model("Odd", __base__=Item, socket=(Socket, ...))
