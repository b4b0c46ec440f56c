"""Requests on their way through the frontier: as they went in, they come out."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, Field, computed_field, create_model

from crawler import Item, Request
from crawler.payload import dump, load
from crawler.request import from_record, to_record
from storage.records import QueuedRequest


class Tag(Item):
    word: str


def through_the_frontier(request: Request) -> Request:
    """What comes out of the file again."""
    record = to_record(request, depth=2, position=1, parent=5)
    row = QueuedRequest(
        7,
        record.fingerprint,
        record.url,
        record.host,
        record.method,
        record.body,
        record.payload,
        record.callback,
        record.priority,
        record.depth,
        3,
    )
    return from_record(row, {"Tag": Tag})


def test_a_request_comes_out_of_the_frontier_as_it_went_in():
    request = Request(
        "http://a.example/?q=ü#part",
        "parse_it",
        method="POST",
        headers={"X": "ü"},
        cookies={"session": "ü"},
        body=b"\x00\xff",
        meta={"tag": Tag(word="w"), "pair": (1, 2)},
        cb_kwargs={"day": date(2024, 2, 29)},
        priority=-3,
        dont_filter=True,
        errback="parse",
        handle_status=[404, 410],
    )
    found = through_the_frontier(request)
    assert found.url == "http://a.example/?q=%C3%BC"
    for name in ("callback", "method", "headers", "cookies", "body", "meta", "cb_kwargs"):
        assert getattr(found, name) == getattr(request, name)
    assert found.priority == -3
    assert (found.dont_filter, found.errback) == (True, "parse")
    assert found.handle_status == {404, 410}
    assert (found.id, found.depth, found.attempts) == (7, 2, 3)


def test_a_plain_request_costs_no_payload():
    assert to_record(Request("http://a.example/"), depth=0, position=1).payload is None


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False)
    | st.frozensets(st.integers())
    | st.builds(Tag, word=st.text()),
    lambda parts: (
        st.lists(parts)
        | st.lists(parts).map(tuple)
        | st.dictionaries(st.text().filter(lambda key: not key.startswith("$")), parts)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_a_payload_reads_back_as_what_was_written(value):
    assert load(dump(value), {"Tag": Tag}) == value


@pytest.mark.parametrize(
    "value", [datetime.now(UTC), date(2024, 1, 1), time(1, 2), Decimal("1.10"), {1}, (1,), b"x"]
)
def test_a_payload_keeps_the_type(value):
    found = load(dump(value))
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("value", [object(), lambda: 0, {"a": {1: 2}}, {"$a": 1}, [Exception()]])
def test_what_cannot_be_kept_is_refused_in_one_line(value):
    with pytest.raises(ValueError, match="meta and cb_kwargs") as caught:
        dump(value)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_not_the_spiders_any_more_or_has_become_another_is_an_error():
    with pytest.raises(LookupError, match="the spider has no model 'Tag' any more"):
        load(dump(Tag(word="w")), {})
    other = create_model("Tag", __base__=Item, word=(str, ...), added=(int, ...))
    with pytest.raises(
        LookupError, match="an item of Tag has become none: added: Field required"
    ) as e:
        load(dump(Tag(word="w")), {"Tag": other})
    assert "\n" not in str(e.value)


class Part(Item):
    size: int = Field(alias="the-size")


class Odd(Item):
    """What pydantic does not read back as it has written it."""

    number: int = Field(alias="order-no")
    word: str = Field(validation_alias=AliasChoices("w", "words"))
    parts: list[Part] = []  # noqa: RUF012
    price: Decimal = Decimal(1)
    much: float = 1.0
    hidden: str = Field(default="", exclude=True)

    @computed_field
    @property
    def twice(self) -> int:
        return 2 * self.number


def test_an_item_reads_back_as_it_was_whatever_its_fields_are_called():
    values = {"order-no": 3, "w": "x", "parts": [{"the-size": 4}], "price": "1.10"}
    item = Odd(**values, much=float("inf"), hidden="h")
    found = load(dump([item]), {"Odd": Odd, "Part": Part})
    assert found == [item]
    assert (found[0].hidden, found[0].twice) == ("h", 6)
