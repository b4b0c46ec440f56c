"""What the package promises to those who import, type-check or build it."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import crawler

ROOT = Path(crawler.__file__).parents[1]
HEAVY = {"aiohttp", "aiosqlite", "click", "pydantic", "rich", "selectolax", "sqlite3", "structlog"}


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_public_name_resolves():
    for name in crawler.__all__:
        assert getattr(crawler, name) is not None


def test_the_public_names_are_those_of_the_lazy_table():
    assert crawler.__all__ == list(crawler._HOME)


def test_every_public_name_is_defined_where_the_table_says():
    for name, home in crawler._HOME.items():
        value = getattr(crawler, name)
        assert value is getattr(importlib.import_module(home), name)
        assert value.__module__ == home


def test_type_checkers_are_shown_the_same_names():
    source = Path(crawler.__file__).read_text(encoding="utf-8")
    shown = source.partition("if TYPE_CHECKING:")[2].partition("\n\n")[0]
    assert all(name in shown for name in crawler.__all__)


def test_an_unknown_name_is_an_attribute_error_as_usual():
    with pytest.raises(AttributeError, match="'crawler' has no attribute 'Spyder'"):
        crawler.Spyder  # noqa: B018


def test_dir_lists_the_public_names():
    assert set(crawler.__all__) <= set(dir(crawler))


def test_every_public_class_and_function_says_what_it_is_for():
    assert [name for name in crawler.__all__ if not getattr(crawler, name).__doc__] == []


def test_importing_the_package_loads_nothing_heavy():
    loaded = python("import sys, crawler; print(*sys.modules)").split()
    assert HEAVY.isdisjoint(loaded)


def test_importing_storage_loads_no_engine():
    loaded = python("import sys, storage; print(*sys.modules)").split()
    assert (HEAVY - {"pydantic"}).isdisjoint(loaded)
    assert not [name for name in loaded if name.split(".")[0] == "crawler"]


def test_writing_a_spider_loads_no_network_and_no_database():
    loaded = python("import sys; from crawler import Item, Request, Spider; print(*sys.modules)")
    assert {"aiohttp", "aiosqlite", "click", "rich", "sqlite3"}.isdisjoint(loaded.split())


@pytest.mark.parametrize("package", ["crawler", "storage"])
def test_the_packages_are_typed(package):
    assert (ROOT / package / "py.typed").is_file()


def test_modules_import_from_lower_floors_only():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if "importlinter" not in config["tool"]:
        pytest.skip("pyproject.toml has no [tool.importlinter] yet")
    pytest.importorskip("importlinter")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as c; c(['--no-cache'])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_license_and_the_readme_are_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (ROOT / project["readme"]).is_file()
    assert all((ROOT / name).is_file() for name in project["license-files"])


def test_no_lock_file_is_tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(
        ["git", "ls-files", "*uv.lock"], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "")
