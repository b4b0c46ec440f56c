"""Where an export is to go, looked at before there is anything to write."""

import sys
from pathlib import Path

import pytest

from storage.errors import RunMismatch
from storage.export import check_target


def test_a_target_is_checked_without_a_trace(tmp_path: Path) -> None:
    target = tmp_path / "books.csv"
    check_target(target)
    assert list(tmp_path.iterdir()) == []
    target.write_text("the old file")
    check_target(target)
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_text() == "the old file"


def test_a_target_that_needs_what_is_not_installed_is_told_of_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RunMismatch, match=r"^parquet needs pyarrow"):
        check_target(tmp_path / "books.parquet")
