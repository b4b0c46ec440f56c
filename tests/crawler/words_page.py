"""A page of words, what spiders keep of it, and what became of their requests."""

from datetime import datetime

from pydantic import BaseModel

from crawler import Item

STATES = "SELECT state, reason FROM crawl_request ORDER BY id"


class Word(Item):
    text: str


class Author(BaseModel):
    name: str


class Quote(Item):
    text: str
    tags: list[str]
    author: Author
    at: datetime
    likes: int | None = None


PAGE = "<b>one</b><b>two</b><a href='/next'>next</a>"
NEXT = "<b>three</b>"
