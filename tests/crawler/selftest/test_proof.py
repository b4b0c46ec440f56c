"""The headline, proved in small: kills lose nothing and double nothing, and the proof can fail."""

from collections import Counter
from pathlib import Path

import pytest

from crawler.selftest.proof import Round, prove
from storage.sqlite import SqliteStore
from tests.child import sitecustomize
from tests.crawler.selftest.broken import DoneBeforeItems, ItemsApart, LinksAfterDone

pytestmark = pytest.mark.alone


def _told(rounds: list[Round]) -> str:
    return "\n".join(f"{done.number} {dict(done.kills)} {done.verdict}" for done in rounds)


def test_forty_kills_lose_nothing_and_double_nothing() -> None:
    rounds = prove(40, 150, seed=1)
    assert sum(done.kills.total() for done in rounds) >= 40
    assert all(done.verdict.right for done in rounds), _told(rounds)


def test_kills_of_crawls_with_children_and_of_children_do_no_harm_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(sitecustomize.__file__).parent))
    rounds = prove(20, 300, seed=11, processes=2)
    kills: Counter[str] = sum((done.kills for done in rounds), Counter())
    assert kills["child"]
    assert kills.total() > kills["child"]
    assert all(done.verdict.right for done in rounds), _told(rounds)


@pytest.mark.parametrize("store", [DoneBeforeItems, ItemsApart, LinksAfterDone])
def test_the_proof_finds_a_broken_commit_path_out(store: type[SqliteStore]) -> None:
    rounds = prove(30, 100, seed=7, store=store, ways=["before_begin", "before_commit"])
    verdicts = [done.verdict for done in rounds]
    assert any(verdict.lost or verdict.duplicated for verdict in verdicts), _told(rounds)


def test_the_same_kills_find_nothing_wrong_with_the_real_one() -> None:
    rounds = prove(30, 100, seed=7, ways=["before_begin", "before_commit"])
    assert all(done.verdict.right for done in rounds), _told(rounds)
