"""Which item models a spider has, and the tables that they will need."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard, get_args

from pydantic import BaseModel

from crawler.errors import SpiderError, UsageError
from crawler.item import Item
from crawler.spider import Spider
from storage.columns import table_of
from storage.records import Table


def item_models(spider: type[Spider]) -> dict[str, type[BaseModel]]:
    """Return the pydantic models that a spider may yield, by name.

    Those are its `items`, and what its module and those of its bases define or import. Raises
    `SpiderError` for `items` that are something else: a counter of the user's, say.
    """
    given = spider.items or ()
    if not (isinstance(given, Iterable) and all(map(_is_model, given))):
        raise SpiderError(
            f"items of {spider.name} is a list of models, not {given!r}: "
            "if it is something of your own, give it another name"
        )
    found: dict[str, type[BaseModel]] = {}
    for ancestor in reversed(spider.__mro__):
        module = sys.modules.get(ancestor.__module__)
        if ancestor is not Spider and issubclass(ancestor, Spider) and module is not None:
            for value in vars(module).values():
                if _is_model(value):
                    found[value.__name__] = value
    found.update({model.__name__: model for model in given})
    return {name: model for name, model in found.items() if model not in (BaseModel, Item)}


def _is_model(value: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(value, type) and issubclass(value, BaseModel)


def tables_of(models: Iterable[type[BaseModel]]) -> list[Table]:
    """Return the tables that a spider's models will need, to be held against the file's.

    Raises `UsageError` for an item that cannot be a table.
    """
    tables = []
    for model in models:
        try:
            tables.append(table_of(model))
        except ValueError as error:
            if issubclass(model, Item):
                raise UsageError(str(error)) from error
            # Not every model in a spider's module is there to be stored.
    return tables


def expected_items(models: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    """Return the items that a run is likely to yield: their tables are there from the start.

    So a query on one that was never found answers with no rows, instead of no such table.
    """
    items = [model for model in models if issubclass(model, Item)]
    bases = {base for model in items for base in model.__mro__[1:]}
    parts = {
        part
        for model in items
        for field in model.model_fields.values()
        for part in _types(field.annotation)
    }
    return [model for model in items if model not in bases and model not in parts]


def _types(annotation: Any) -> Iterator[Any]:
    """Yield a type and the types within it: `list[Skill] | None` holds Skill."""
    yield annotation
    for inner in get_args(annotation):
        yield from _types(inner)
