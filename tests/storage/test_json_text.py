"""Values as JSON: every process makes the same text of them, whatever order its sets have."""

import json
import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, computed_field, field_serializer

from storage.json_text import json_text

WORDS = frozenset({"one", "two", "three", "four", "five"})
IN_ORDER = ["five", "four", "one", "three", "two"]


class Tagged(BaseModel):
    tags: set[str] = set(WORDS)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def more(self) -> set[str]:
        return set(self.tags)


class Own(BaseModel):
    tags: frozenset[str] = WORDS

    @field_serializer("tags")
    def as_text(self, tags: frozenset[str]) -> str:
        return " ".join(sorted(tags))


class Bag(BaseModel):
    items: list[Tagged]


@dataclass
class Loose:
    tags: set[str] = field(default_factory=lambda: set(WORDS))


@dataclass(slots=True)
class Tight:
    tags: frozenset[str] = WORDS


TAGGED = {"tags": IN_ORDER, "more": IN_ORDER}
VALUES = [
    (set(WORDS), IN_ORDER),
    ([1, WORDS, None], [1, IN_ORDER, None]),
    ((WORDS,), [IN_ORDER]),
    (deque([WORDS]), [IN_ORDER]),
    ({"a": {"b": [WORDS]}, "c": 1}, {"a": {"b": [IN_ORDER]}, "c": 1}),
    ({WORDS, frozenset()}, [IN_ORDER, []]),
    (Tagged(), TAGGED),
    ([Bag(items=[Tagged()])], [{"items": [TAGGED]}]),
    ([Own()], [{"tags": "five four one three two"}]),
    (Loose(), {"tags": IN_ORDER}),
    ([Tight()], [{"tags": IN_ORDER}]),
    ({10, 9, 1}, [1, 10, 9]),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=[repr(v)[:30] for _, v in VALUES])
def test_sets_are_in_order_wherever_they_are(value: Any, expected: Any) -> None:
    assert json.loads(json_text(value)) == expected


def test_every_process_makes_the_same_text() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", f"import {__name__} as it; it.say()"],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(1, 4)
    }
    assert len(said) == 1
    assert said.pop().count("\n") == len(VALUES)


def say() -> None:
    """Print what each of the values becomes."""
    for value, _ in VALUES:
        print(json_text(value))


SIMPLE = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3)
SETS = st.frozensets(SIMPLE | st.frozensets(SIMPLE, max_size=3), max_size=4)


def plain(value: Any) -> Any:
    """Return what the JSON of a value is read as."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(plain, value), key=repr)
    return [plain(one) for one in value] if isinstance(value, list) else value


@given(
    st.recursive(
        SIMPLE | SETS,
        lambda some: (
            st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=3), some, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_nothing_but_the_order_of_sets_changes(value: Any) -> None:
    assert json.loads(json_text(value)) == plain(value)


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": {float("-inf")}}])
def test_what_json_has_no_number_for_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a finite number: use None"):
        json_text(value)
