"""What a spider yields: the base class of items."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Item(BaseModel):
    """One record that a spider found; subclass it with the fields that are wanted.

    Each subclass becomes a table of its own, in snake case, with a column per field:

        class BookReview(Item):                 # table `book_review`
            title: str
            price: float                        # "12.50" becomes 12.5, "cheap" is refused
            tags: list[str] = []                # lists and dicts are stored as JSON

        yield BookReview(title="Dune", price="12.50")

    Values are checked when the item is made and when a field is assigned; text is kept as it
    is, whitespace included. A name that is no field is refused: a misspelt optional field
    would otherwise be lost without a word. `__table__ = "books"` in the class names the table;
    subclasses do not inherit it. `item["title"]` reads and writes a field, and `"title" in item`
    says whether it was given one, as in Scrapy.

    Raises pydantic's `ValidationError` for values that do not fit.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    def __getitem__(self, name: str) -> Any:
        """Return the field's value; raises `KeyError` when there is no such field."""
        self._known(name)
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        """Set the field, checked as an assignment is; raises `KeyError` for an unknown one."""
        self._known(name)
        setattr(self, name, value)

    def __contains__(self, name: object) -> bool:
        """Say whether the field was given a value."""
        return name in self.model_fields_set

    def _known(self, name: str) -> None:
        model = type(self)
        if name not in model.model_fields and name not in model.model_computed_fields:
            raise KeyError(f"{model.__name__} has no field {name!r}")
