"""A value as JSON text: the same text in every process.

The order of a set differs from process to process, and a page that is parsed again, after a crash,
should leave what it would have left. So each set becomes a list in the order of its elements.
"""

import json
from collections import deque
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic_core import from_json, to_json

_SETS = (set, frozenset)
_LISTS = (list, tuple, deque)
# What most values are, and what no set is in.
_PLAIN = frozenset({str, int, float, bool, type(None)})


def json_text(value: Any) -> str:
    """Return a value as JSON, with models as objects of their fields, and bytes as base64url.

    Raises `ValueError` for what cannot be JSON, which numbers that are not finite cannot be.
    """
    if isinstance(value, Enum):
        value = value.value
    encoded = _encoded(value)
    if b"NaN" in encoded or b"Infinity" in encoded:
        json.loads(encoded, parse_constant=_no_constant)
    if b"[" in encoded and _holds_set(value):  # which would be a list by now
        encoded = _encoded(_ordered(value, from_json(encoded)))
    return encoded.decode()


def _encoded(value: Any) -> bytes:
    return to_json(value, by_alias=False, bytes_mode="base64", inf_nan_mode="constants")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a finite number: use None")


def _holds_set(value: Any) -> bool:
    """Tell whether a value is a set, or has one within it."""
    kind = type(value)
    if kind in _PLAIN:
        return False
    if kind is dict:
        within: Collection[Any] = value.values()
    elif kind is list:
        within = value
    elif isinstance(value, _SETS):
        return True
    else:
        within = _within(value)
    if _PLAIN.issuperset(map(type, within)):
        return False
    return any(map(_holds_set, within))


def _within(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, _LISTS) else _members(value).values()


def _members(value: Any) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        computed = type(value).model_computed_fields
        return value.__dict__ | {name: getattr(value, name) for name in computed}
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return {}


def _ordered(value: Any, made: Any) -> Any:
    """Return what was `made` of a value for JSON, with what is of a set in order.

    Whatever was made in a way of its own, by a serializer, is left as it is.
    """
    if isinstance(made, list) and isinstance(value, (*_SETS, *_LISTS)):
        if len(value) != len(made):
            return made
        parts = [_ordered(*pair) for pair in zip(value, made, strict=True)]
        return sorted(parts, key=repr) if isinstance(value, _SETS) else parts
    if isinstance(made, dict):
        if isinstance(value, dict):
            if len(value) != len(made):
                return made
            pairs = zip(made, value.values(), strict=True)
            return {name: _ordered(one, made[name]) for name, one in pairs}
        members = _members(value)
        return {name: _ordered(members.get(name), one) for name, one in made.items()}
    return made
