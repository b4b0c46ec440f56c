"""Item models as columns, and items as rows of plain values.

| Python | kind | SQLite |
|---|---|---|
| int · bool · float | integer · boolean · real | INTEGER · INTEGER · REAL |
| str, UUID, Path, URLs, IP addresses | text | TEXT |
| Decimal | decimal | TEXT, exact |
| datetime · date · time · timedelta | datetime · date · time · duration | TEXT, ISO 8601 |
| bytes | bytes | BLOB |
| Enum, Literal | that of their values | |
| anything else: list, dict, set, model, Any | json | TEXT |

`X | None` is X; a union of one kind is that kind, `int | float` is real, other unions are json.
Serializers of a field are not asked; a field with `exclude=True` has no column.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin
from uuid import UUID

import pydantic
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from storage.json_text import json_text
from storage.records import Column, ItemRow, Table

# ── a model's columns ───────────────────────────────────────────────────────────────────────

_SQL_TYPES = {"integer": "INTEGER", "boolean": "INTEGER", "real": "REAL", "bytes": "BLOB"}
_NAMED = (UUID, PurePath, pydantic.AnyUrl, IPv4Address, IPv4Network, IPv6Address, IPv6Network)
_HIDDEN = "hidden"  # no column: pydantic makes stars of it, and who wants it kept says so
# The first that fits counts: bool is an int, and datetime is a date.
_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("boolean", (bool,)),
    ("integer", (int,)),
    ("real", (float,)),
    ("text", (str, *_NAMED, pydantic.EmailStr)),
    ("decimal", (Decimal,)),
    ("datetime", (datetime, pydantic.AwareDatetime, pydantic.NaiveDatetime)),
    ("datetime", (pydantic.PastDatetime, pydantic.FutureDatetime)),
    ("date", (date, pydantic.PastDate, pydantic.FutureDate)),
    ("time", (time,)),
    ("duration", (timedelta,)),
    ("bytes", (bytes, bytearray)),
    (_HIDDEN, (pydantic.SecretStr, pydantic.SecretBytes, pydantic.Secret)),
)
_MOST_FIELDS = 1_996  # of a model: SQLite has 2,000 columns in a table, and four are ours
_RESERVED = ("crawl_", "latest_", "sqlite_", "_")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def table_of(model: type[BaseModel]) -> Table:
    """Return where the items of this model go: a snake-case name and a column per field.

    Computed fields are columns too. A `__table__` in the model's own body is its name.
    Raises `ValueError`, in one line, for a model that cannot be a table.
    """
    return _plan(model).table


class _Plan(NamedTuple):
    """How an item of one model becomes a row."""

    table: Table
    stored: tuple[tuple[str, Callable[[Any], Any]], ...]  # fields, in the instance's __dict__
    computed: tuple[tuple[str, Callable[[Any], Any]], ...]  # read as attributes


@lru_cache(maxsize=1024)
def _plan(model: type[BaseModel]) -> _Plan:
    if not model.__pydantic_complete__ and not model.model_rebuild(raise_errors=False):
        raise ValueError(f"{model.__name__}: a field's annotation names something undefined")
    stored = {
        name: _kind(field.annotation)
        for name, field in model.model_fields.items()
        if not field.exclude
    }
    computed = {
        name: _kind(field.return_type) for name, field in model.model_computed_fields.items()
    }
    kinds = stored | computed
    _check_fields(model, kinds)
    return _Plan(
        Table(
            _table_name(model),
            tuple(Column(name, kind, _SQL_TYPES.get(kind, "TEXT")) for name, kind in kinds.items()),
        ),
        tuple((name, _CONVERTERS[kind]) for name, kind in stored.items()),
        tuple((name, _CONVERTERS[kind]) for name, kind in computed.items()),
    )


def _table_name(model: type[BaseModel]) -> str:
    name = model.__dict__.get("__table__")
    if name is None:
        words = _WORD_START.sub("_", model.__name__)
        name = re.sub(r"\W+", "_", words).rstrip("_").lower()
    if not isinstance(name, str) or not name.isidentifier() or name != name.lower():
        raise ValueError(
            f"{model.__name__}: {name!r} cannot be a table's name: "
            "take lower-case letters, digits and _ for __table__"
        )
    if name.startswith(_RESERVED):
        raise ValueError(
            f"{model.__name__}: the table name {name!r} is reserved (it begins with "
            f"{next(start for start in _RESERVED if name.startswith(start))!r}): "
            "rename the model or set its __table__"
        )
    return name


def _check_fields(model: type[BaseModel], kinds: Mapping[str, str]) -> None:
    if len(kinds) > _MOST_FIELDS:
        raise ValueError(
            f"{model.__name__} has {len(kinds):,} fields, and a table holds {_MOST_FIELDS:,}: "
            "put some of them into a dict"
        )
    seen: dict[str, str] = {}
    for name, kind in kinds.items():
        if kind == _HIDDEN:
            raise ValueError(
                f"{model.__name__}.{name}: a secret is not stored: declare the field as str, or "
                "give it exclude=True"
            )
        if name.startswith("_"):
            raise ValueError(
                f"{model.__name__}.{name}: names with a leading _ are the crawler's: rename it"
            )
        other = seen.setdefault(fold(name), name)
        if other != name:
            raise ValueError(
                f"{model.__name__}: SQLite cannot tell the fields {other!r} and {name!r} apart: "
                "rename one"
            )


def fold(name: str) -> str:
    """Return what SQLite compares names by: ASCII letters lose their case, others keep it."""
    return name.encode().lower().decode()


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin is Union or origin is UnionType:
        return _common(get_args(annotation))
    if origin is Literal:
        return _common(type(value) for value in get_args(annotation))
    if isinstance(annotation, TypeVar):
        return _kind(annotation.__bound__)
    for target in ("__value__", "__supertype__"):  # `type X = int`, NewType("X", int)
        if hasattr(annotation, target):
            return _kind(getattr(annotation, target))
    if isinstance(origin, type) and issubclass(origin, pydantic.Secret):
        return _HIDDEN
    if not isinstance(annotation, type) or origin is not None:
        return "json"
    if issubclass(annotation, Enum):
        return _common(type(member.value) for member in annotation)
    return next((kind for kind, types in _KINDS if issubclass(annotation, types)), "json")


def _common(alternatives: Iterable[Any]) -> str:
    kinds = {_kind(each) for each in alternatives if each is not type(None)}
    if kinds == {"integer", "real"}:
        return "real"
    return kinds.pop() if len(kinds) == 1 else "json"


# ── an item's row ───────────────────────────────────────────────────────────────────────────

DICT_TABLE = Table("item", (Column("data", "json", "TEXT"),))


def row_of(item: BaseModel | dict[str, Any], url: str) -> ItemRow:
    """Return the item as plain values: what happens to the item later changes nothing.

    Raises `ValueError`, one line with model, field and reason, for a value that cannot be
    stored as what the field declares: another type, an integer of more than 64 bits, text
    with a lone surrogate, and a number that is not finite, also within JSON, which has none
    (use None for "unknown"). Bytes within JSON become base64url (RFC 4648).
    """
    if isinstance(item, dict):
        return ItemRow(DICT_TABLE, (_dict_json(item),), url)
    if not isinstance(item, BaseModel):
        raise ValueError(f"{type(item).__name__} is no item: yield a pydantic model or a dict")
    model = type(item)
    plan = _plan(model)
    get = item.__dict__.get
    name = ""
    try:
        # Checked a value at a time, without model_dump: 2 us for ten scalar fields, 1 us
        # more for each that becomes JSON.
        values = [
            None if (value := get(stored)) is None else convert(value)
            for stored, convert in plan.stored
        ]
        for name, convert in plan.computed:
            value = getattr(item, name)
            values.append(None if value is None else convert(value))
    except (ValueError, OverflowError) as error:
        name = name or _wrong_one(plan, item.__dict__)
        raise ValueError(f"{model.__name__}.{name}: {_one_line(error)}") from error
    if item.__pydantic_extra__:
        extra = ", ".join(item.__pydantic_extra__)
        raise ValueError(f"{model.__name__} has no columns for {extra}: declare the fields")
    return ItemRow(plan.table, tuple(values), url)


def _wrong_one(plan: _Plan, fields: Mapping[str, Any]) -> str:
    """Return the name of the first field that cannot be converted."""
    for name, convert in plan.stored:
        try:
            if (value := fields.get(name)) is not None:
                convert(value)
        except (ValueError, OverflowError):
            return name
    raise AssertionError("all fields can be converted")


def _dict_json(item: dict[str, Any]) -> str:
    try:
        return json_text(item)
    except ValueError as error:
        for key, value in item.items():
            try:
                json_text({key: value})
            except ValueError as reason:
                raise ValueError(f"dict item, key {key!r}: {_one_line(reason)}") from error
        raise ValueError(f"dict item: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _expect(value: Any, *types: type) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if not isinstance(value, types) or (type(value) is bool and bool not in types):
        raise ValueError(f"{types[0].__name__} expected, not {type(value).__name__}")
    return value


def _integer(value: Any) -> int:
    number: int = value if type(value) is int else int(_expect(value, int))
    if not -(2**63) <= number < 2**63:
        raise ValueError("an integer of more than 64 bits: declare the field as str")
    return number


def _real(value: Any) -> float:
    number: float = value if type(value) is float else float(_expect(value, float, int))
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number: use None")
    return number


def _text(value: Any) -> str:
    text: str = value
    if type(value) is not str:
        value = _expect(value, str, *_NAMED)
        # Not str() for what is text already: a subclass may print as something else.
        text = str.__str__(value) if isinstance(value, str) else str(value)
    if not text.isascii():
        text.encode()  # UnicodeEncodeError for a lone surrogate, which SQLite cannot hold
    return text


def _decimal(value: Any) -> str:
    value = _expect(value, Decimal)
    if not value.is_finite():
        raise ValueError(f"{value} is not a finite number: use None")
    return str(value)


def _moment(value: Any) -> str:
    moment: datetime = value if type(value) is datetime else _expect(value, datetime)
    text = moment.isoformat()
    # As pydantic writes it within JSON, and as `_at` is written.
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def _date(value: Any) -> str:
    value = _expect(value, date)
    if isinstance(value, datetime):
        raise ValueError("date expected, not datetime")
    return str(value.isoformat())


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "integer": _integer,
    "boolean": lambda value: int(_expect(value, bool)),
    "real": _real,
    "text": _text,
    "decimal": _decimal,
    "datetime": _moment,
    "date": _date,
    "time": lambda value: _expect(value, time).isoformat(),
    "duration": lambda value: to_jsonable_python(_expect(value, timedelta)),
    "bytes": lambda value: bytes(_expect(value, bytes, bytearray)),
    "json": json_text,
}
