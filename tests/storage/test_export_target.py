"""Where an export goes."""

import json
import sys
from pathlib import Path

import pytest

from storage.errors import RunMismatch, StoreError
from storage.export import STDOUT, TargetError, check_target, export
from tests.storage.export_file import Book, store, titles
from tests.storage.export_file import database as database
from tests.storage.export_file import out as out


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


@pytest.mark.parametrize("name", ["books.txt", "books", "csv", ".csv"])
def test_a_name_without_a_known_suffix_is_refused(database: Path, out: Path, name: str) -> None:
    with pytest.raises(RunMismatch, match=r"name it \.csv, \.jsonl or \.parquet$"):
        export(database, out / name)


def test_a_given_format_counts_more_than_the_suffix(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    export(database, out / "books.txt", format="jsonl")
    assert titles(out / "books.txt") == ["a"]


def test_standard_output_gets_utf_8_and_stays_open(
    database: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    store(database, Book(title="é"), run=2)
    print("before")
    export(database, STDOUT)
    export(database, STDOUT, format="csv")
    print("after")
    lines = capsysbinary.readouterr().out.split(b"\n")
    assert lines[0] == b"before"
    assert json.loads(lines[1])["title"] == "é"
    assert lines[2].startswith(b"_id,_run")
    assert lines[-2] == b"after"
    with pytest.raises(RunMismatch, match=r"^parquet cannot go to standard output"):
        export(database, STDOUT, format="parquet")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_export_that_fails_leaves_the_old_file_and_no_other(
    database: Path, out: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    store(database, *(Book(title="x" * 100) for _ in range(5_000)), run=2)
    target = out / f"books.{suffix}"
    target.write_text("the old file")

    def full_disk(self: Path, target: Path) -> Path:
        assert self.stat().st_size > 0
        assert target.read_text() == "the old file"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(StoreError, match=r"cannot write .*: No space left on device$"):
        export(database, target)
    assert target.read_text() == "the old file"
    assert list(out.iterdir()) == [target]


def test_a_finished_export_replaces_the_old_file(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    target = out / "books.jsonl"
    target.write_text("the old file, longer than the new one" * 100)
    export(database, target)
    assert titles(target) == ["a"]
    assert list(out.iterdir()) == [target]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_who_may_read_the_old_file_may_read_the_new_one_and_nobody_else(
    database: Path, out: Path, suffix: str
) -> None:
    store(database, Book(title="a"), run=2)
    target = out / f"books.{suffix}"
    for mode in (0o600, 0o664, 0o400):
        target.touch()
        target.chmod(mode)
        export(database, target)
        assert target.stat().st_mode & 0o777 == mode


def test_a_link_stays_a_link_to_the_exported_file(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    (out / "link.jsonl").symlink_to("real.jsonl")
    export(database, out / "link.jsonl")
    assert (out / "link.jsonl").is_symlink()
    assert titles(out / "real.jsonl") == ["a"]


def test_the_crawl_itself_is_never_overwritten(database: Path, out: Path) -> None:
    store(database, Book(title="a"), run=2)
    renamed = database.rename(out / "crawl.csv")
    with pytest.raises(RunMismatch, match="not a file to be replaced"):
        export(renamed, renamed)


@pytest.mark.parametrize(
    ("name", "reason"), [("there.csv", "not a file"), ("no/books.csv", "there is no directory")]
)
def test_an_impossible_target_is_one_clear_line(
    database: Path, out: Path, name: str, reason: str
) -> None:
    store(database, Book(title="a"), run=2)
    (out / "there.csv").mkdir()
    for refused in (lambda: export(database, out / name), lambda: check_target(out / name)):
        with pytest.raises(RunMismatch, match=rf"^cannot export to [^\n]*{reason}[^\n]*$"):
            refused()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_what_the_system_has_against_a_target_is_one_line(
    database: Path, out: Path, suffix: str
) -> None:
    store(database, Book(title="a"), run=2)
    # As long as a name may be: the one of the file beside it, which is longer, cannot be
    # written, and cannot be taken away either.
    target = out / f"{'x' * (254 - len(suffix))}.{suffix}"
    for refused in (lambda: export(database, target), lambda: check_target(target)):
        with pytest.raises(TargetError, match=r"^cannot write [^\n]*: File name too long$"):
            refused()
    assert list(out.iterdir()) == []
