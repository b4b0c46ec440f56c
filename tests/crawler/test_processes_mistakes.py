"""What is wrong with a crawl in several processes is said before there is a file, or a process."""

from pathlib import Path

import pytest

from crawler import Crawl, UsageError
from tests.crawler.elsewhere import Walker


async def test_a_spider_that_others_cannot_import_is_refused_before_a_file_is_made(
    db: Path,
) -> None:
    class Local(Walker):
        pass

    made = type("Made", (Walker,), {})
    for spider in (Local, made):
        with pytest.raises(UsageError, match="define it at the top of a module"):
            Crawl(spider, db=db, overrides={"processes": 2})
    assert not db.exists()
    Crawl(Local, db=db)


@pytest.mark.parametrize("processes", ["0", "-1", "x", "1000", "1.5"])
def test_an_impossible_number_of_processes_is_one_line(db: Path, processes: str) -> None:
    with pytest.raises(UsageError, match="setting 'processes' in the arguments"):
        Crawl(Walker, db=db, overrides={"processes": processes})
