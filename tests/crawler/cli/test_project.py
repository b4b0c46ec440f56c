"""`crawler list`, `new` and `init`."""

import tomllib

import pytest

from crawler.cli.project import COMMON_SETTINGS, config_text
from crawler.settings import Settings, load_settings
from tests.crawler.cli.project import Project, shop_pages
from tests.site import serve


async def test_a_new_spider_works_as_it_is(project: Project) -> None:
    async with serve(shop_pages(3)) as site:
        made = await project.crawler("new", "my-news", site.url)
        assert made.out == "wrote spiders/my_news.py; run it with: crawler run my-news\n"
        result = await project.crawler("run", "my-news", "--json")
    assert (result.status, result.json["done"], result.json["tables"]) == (0, 4, {"page": 4})
    listed = await project.crawler("list")
    assert "my-news   spiders/my_news.py" in listed.out
    assert "Starts at start_urls" in listed.out


@pytest.mark.parametrize(
    ("name", "url", "said"),
    [
        ("../evil", "https://example.com/", "cannot name a spider"),
        ("class", "https://example.com/", "cannot name a spider: it is a keyword of Python"),
        ("My News", "https://example.com/", "cannot name a spider"),
        ("news", "example.com", "did you mean https://example.com ?"),
        ("news", "mailto://x", "is not an http or https URL"),
        ("shop", "https://example.com/", "spider 'shop' is in spiders/shop.py already"),
        ("taken", "https://example.com/", "spiders/taken.py exists, and is left as it is"),
    ],
)
def test_new_refuses_what_cannot_be(project: Project, name: str, url: str, said: str) -> None:
    project.shop("http://127.0.0.1:1/")
    taken = project.write("spiders/taken.py", "# mine\n")
    result = project.here("new", name, url)
    assert said in result.error
    assert result.status == 2
    assert taken.read_text() == "# mine\n"


async def test_init_makes_a_project_whose_spider_is_listed(project: Project) -> None:
    made = await project.crawler("init", "here")
    assert made.status == 0
    inside = Project(project.path / "here")
    assert "example" in (await inside.crawler("list")).out
    assert "data/" in (inside.path / ".gitignore").read_text()


async def test_init_leaves_existing_files_alone(project: Project) -> None:
    mine = project.write("here/config.toml", "delay = 3\n")
    result = await project.crawler("init", "here")
    assert "here/config.toml exists, and is left as it is" in result.error
    assert result.status == 2
    assert mine.read_text() == "delay = 3\n"
    assert not (project.path / "here" / "spiders").exists()


def test_the_config_of_a_new_project_changes_nothing_until_a_line_is_uncommented(
    project: Project,
) -> None:
    as_written = project.write("a.toml", config_text())
    assert load_settings(as_written) == Settings()
    lines = config_text().partition("# For some hosts")[0].splitlines()
    settings = [line[2:] for line in lines if line[2:].partition(" = ")[0] in COMMON_SETTINGS]
    assert set(tomllib.loads("\n".join(settings))) == set(COMMON_SETTINGS)
    load_settings(project.write("b.toml", "\n".join(settings)))


async def test_a_broken_file_does_not_hide_the_others(project: Project) -> None:
    project.shop("http://127.0.0.1:1/")
    project.write("spiders/broken.py", "x = 1\ndef broken(:\n")
    result = await project.crawler("list")
    assert result.status == 0
    assert "shop" in result.out
    assert result.err == "not read: spiders/broken.py:2: invalid syntax\n"


async def test_a_spider_without_a_name_is_told_by_its_class(project: Project) -> None:
    project.write("spiders/shop.py", "from crawler import Spider\nclass Shop(Spider): pass\n")
    result = await project.crawler("list")
    assert (result.status, result.out) == (0, "")
    assert result.err == (
        "not listed: Shop in spiders/shop.py has no name: give it one (name = 'books')\n"
    )
    assert "Shop in spiders/shop.py has no name" in project.here("run", "spiders/shop.py").error


async def test_no_spiders_at_all_says_how_to_make_one(project: Project) -> None:
    result = await project.crawler("list")
    assert (result.status, result.out) == (0, "")
    assert "crawler new NAME URL" in result.err
