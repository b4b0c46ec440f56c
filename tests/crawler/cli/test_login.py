"""A login that survives the death of the process."""

import asyncio
import signal
from typing import Any

from tests.crawler.cli.project import Project, page
from tests.site import serve

PAGES = 12
HELD = 5  # this page and those after it are not answered before the gate opens

SPIDER = '''
from crawler import Item, Request, Spider


class Page(Item):
    title: str


class Members(Spider):
    """What only members see."""

    name = "members"

    async def start(self):
        yield Request("{url}login", self.logged_in, form={{"user": "anna", "password": "secret"}})

    def logged_in(self, response):
        yield response.follow("/")

    def parse(self, response):
        yield Page(title=response.css("title::text").get())
        yield from response.follow_all("a")
'''


async def test_a_login_survives_sigkill(project: Project) -> None:
    gate = asyncio.Event()

    def login(request: Any) -> Any:
        if request.body != b"user=anna&password=secret":
            return (403, {}, "")
        cookie = f"session={site.hits['/login']}; Path=/; HttpOnly; SameSite=Lax"
        return (303, [("Set-Cookie", cookie), ("Location", "/welcome")], "")

    def members_only(number: int, *links: str) -> Any:
        async def answer(request: Any) -> Any:
            if number >= HELD:
                await gate.wait()
            if request.headers.get("cookie") != "session=1":
                return (403, {}, "who are you?")
            return page(number, *links)

        return answer

    paths = [f"/{number}" for number in range(1, PAGES)]
    pages = {"/login": login, "/welcome": "", "/": members_only(0, *paths)}
    pages |= {path: members_only(int(path[1:])) for path in paths}
    command = ("run", "members", "--log-level", "error", "--json")
    async with serve(pages) as site:
        project.write("spiders/members.py", SPIDER.format(url=site.url))
        process = await project.start(*command)
        await project.until_done(1 + HELD, "data/members.db")
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        gate.set()
        second = await project.crawler(*command)
    assert (second.status, second.json["finish"]) == (0, "finished")
    assert (second.json["resumed"], second.json["failed"]) == (True, 0)
    assert second.json["done"] == 1 + PAGES
    assert site.hits["/login"] == 1
    titles = project.rows("SELECT title FROM page ORDER BY title", "data/members.db")
    assert titles == sorted((f"page {number}",) for number in range(PAGES))
