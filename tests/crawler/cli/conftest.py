"""The project that the tests of the command line work in."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.crawler.cli.project import Project


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands that run within the tests' process configure its logging."""
    root, own = logging.getLogger(), logging.getLogger("crawler")
    handlers, level, own_level = root.handlers[:], root.level, own.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    own.setLevel(own_level)


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    """An empty directory to run the command line in."""
    made = Project(tmp_path)
    yield made
    await made.end()
