"""Every hostile case ends as its row says, and nothing else is hurt."""

from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.case import Case, play_out
from tests.hostile.cases import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_hostile_server_gets_what_its_row_says(case: Case, tmp_path: Path) -> None:
    outcome = await play_out(case, tmp_path)
    start = outcome.rows["{here}" + case.path]
    assert start.ends == case.ends
    assert start.attempts == case.tries
    assert {url: outcome.rows[url].ends for url in case.others} == dict(case.others)
    assert outcome.summary.queued == 0
    if case.check is not None:
        case.check(outcome)


def test_the_cases_have_names_of_their_own() -> None:
    assert [name for name, times in Counter(c.name for c in CASES).items() if times > 1] == []
