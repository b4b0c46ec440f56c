"""`meta` and `cb_kwargs` as JSON text, so that a request can wait in the frontier for months.

JSON and not pickle: opening somebody's crawl file must never run somebody's code. What JSON
has no word for is written as an object with one key that begins with `$`; pydantic models
come back as the spider's own classes, looked up by name among those the spider knows.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

Models = Mapping[str, type[BaseModel]]

_SCALARS = (str, int, float, bool, type(None))
# What most values are, and nothing has to be done for.
_PLAIN = frozenset(_SCALARS)
_TEXT = frozenset({str})
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump(value: object) -> str:
    """Return `value` as JSON text.

    Raises `ValueError` when something in it cannot be written down and read back.
    """
    return _encode(_plain(value))


def models_in(value: object) -> Iterator[type[BaseModel]]:
    """Yield the models of which there are items in what is to be dumped."""
    if isinstance(value, BaseModel):
        yield type(value)
        return
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return
    if not _PLAIN.issuperset(map(type, value)):
        for part in value:
            if type(part) not in _PLAIN:
                yield from models_in(part)


def load(text: str, models: Models | None = None) -> Any:
    """Return what `dump` was given; `models` are the pydantic classes that may appear in it.

    Raises `LookupError` for an item of a model that is not among them, or is another by now.
    """
    if '"$' not in text:
        return json.loads(text)
    known = models or {}
    return json.loads(text, object_hook=lambda found: _rich(found, known))


def _plain(value: object) -> object:
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, list):
        plain = _PLAIN.issuperset(map(type, value))
        return value if plain else [_plain(part) for part in value]
    if isinstance(value, dict):
        if (
            _PLAIN.issuperset(map(type, value.values()))
            and _TEXT.issuperset(map(type, value))
            and "$" not in "".join(value)
        ):
            return value
        return {_key(key): _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | set | frozenset):
        return {f"${type(value).__name__}": [_plain(part) for part in value]}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime | date | time):
        return {f"${type(value).__name__}": value.isoformat()}
    if isinstance(value, Decimal):
        return {"$Decimal": str(value)}
    if isinstance(value, BaseModel):
        return {"$model": type(value).__name__, "data": _fields(value)}
    raise ValueError(
        f"a request's meta and cb_kwargs are kept in the file, and a {type(value).__name__} "
        "cannot be: pass text, numbers, lists, dicts or items"
    )


def _fields(item: BaseModel) -> dict[str, Any]:
    """Return an item's fields by their names, for `_item` to make it of them again."""
    fields = item.model_dump(mode="json", by_alias=False, round_trip=True)
    for name in type(item).model_fields.keys() - fields.keys():  # no column, but a field
        value = getattr(item, name)
        fields[name] = to_jsonable_python(value, by_alias=False, round_trip=True)
    return fields


def _item(model: type[BaseModel], fields: object) -> BaseModel:
    try:
        return model.model_validate(fields, strict=False, by_alias=False, by_name=True)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        name = model.__name__
        raise LookupError(
            f"an item of {name} has become none: {' '.join(problems.split())}"
        ) from error


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError(f"keys of dicts in meta and cb_kwargs are strings, not {key!r}")
    if key.startswith("$"):
        raise ValueError(f"keys in meta and cb_kwargs do not begin with '$', as {key!r} does")
    return key


_READERS: dict[str, Callable[[Any], object]] = {
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$bytes": base64.b64decode,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$time": time.fromisoformat,
    "$Decimal": Decimal,
}


def _rich(found: dict[str, Any], models: Models) -> Any:
    if len(found) == 1:
        key, value = next(iter(found.items()))
        if reader := _READERS.get(key):
            return reader(value)
    elif "$model" in found:
        name = found["$model"]
        if name not in models:
            raise LookupError(f"the spider has no model {name!r} any more")
        return _item(models[name], found["data"])
    return found
