"""The settings of a crawl: one model, and the four places its values come from.

In rising precedence: `config.toml`, environment variables `CRAWLER_*`, `Spider.settings`, and
what the caller says (`--set`, or keyword arguments of `crawler.run`).
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from crawler.errors import SettingsError, did_you_mean
from crawler.scrapy_settings import our_name
from crawler.url import place_of

PREFIX = "CRAWLER_"
_CALLER, _ENVIRONMENT = "the arguments", "the environment"
USER_AGENT = "crawler/0.1"


_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token, by RFC 9110
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("a header's name is a word such as X-Api-Key")
    return name


def _header_value(value: str) -> str:
    if not _HEADER_VALUE.fullmatch(value):
        raise ValueError("a header's value is one line of text")
    return value


Headers = dict[
    Annotated[str, AfterValidator(_header_name)], Annotated[str, AfterValidator(_header_value)]
]


class HostSettings(BaseModel):
    """Settings for the hosts that match a pattern: a `[[host]]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    match: str = Field(description="Host name, with `*` and `?` as wildcards.")
    concurrency: int | None = Field(None, ge=1, description="Fetches in flight on the host.")
    delay: float | None = Field(None, ge=0, description="Seconds between two contacts.")
    timeout: float | None = Field(None, gt=0, description="Seconds for a whole fetch.")
    robots: bool | None = Field(None, description="Obey the host's robots.txt.")
    headers: Headers = Field({}, description="Sent with every request to the host.")


class Settings(BaseModel):
    """How a crawl behaves. Durations are seconds, sizes are bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(32, ge=1, le=10_000, description="Fetches in flight at once.")
    concurrency_per_host: int = Field(8, ge=1, description="Fetches in flight at once on one host.")
    delay: float = Field(0.0, ge=0, description="Seconds between two contacts with one host.")
    adaptive: bool = Field(
        True,
        description="Fewer fetches at once on a host that slows down, refuses, or times out.",
    )
    breaker: int = Field(
        10, ge=0, description="Connection failures in a row after which a host rests; 0: never."
    )
    robots: bool = Field(True, description="Obey robots.txt, its Crawl-delay included.")
    user_agent: str = Field(
        USER_AGENT,
        min_length=1,
        description="Name of the crawler; its first word is looked up in robots.txt.",
    )
    contact: str | None = Field(
        None, description="URL or e-mail address, added to the User-Agent for site owners."
    )
    headers: Headers = Field({}, description="Sent with every request.")
    timeout: float = Field(60.0, gt=0, description="Seconds for a whole fetch, redirects included.")
    connect_timeout: float = Field(
        10.0, gt=0, description="Seconds to look up a host's name, and to connect to it."
    )
    min_rate: float = Field(
        100.0, ge=0, description="Bytes per second that an answer must come at; 0 for any rate."
    )
    retries: int = Field(3, ge=0, description="Further tries after one that failed.")
    backoff: float = Field(
        1.0, ge=0, description="Seconds before the first retry; doubles with each, with jitter."
    )
    cookies: bool = Field(True, description="Keep the cookies that servers set, and send them.")
    max_redirects: int = Field(10, ge=0, description="Redirects followed for one request.")
    robots_meta: bool = Field(
        False,
        description="Obey nofollow: of X-Robots-Tag, of a page's <meta name=robots>, of a link's "
        "rel.",
    )
    max_depth: int | None = Field(None, ge=0, description="Links to follow from a start URL.")
    max_pages_per_host: int | None = Field(
        None, ge=1, description="Pages of one host; the rest of it is skipped."
    )
    max_url_length: int | None = Field(
        2083, ge=1, description="Characters of a link's URL; longer ones are skipped."
    )
    traps: bool = Field(
        True,
        description="Skip links that go in circles or into an endless calendar, take session "
        "ids out of links, and report pages with the same content.",
    )
    strip_params: list[str] = Field(
        [],
        description="Query parameters taken out of every URL, such as `utm_*`; `*` is a wildcard.",
    )
    max_pages: int | None = Field(None, ge=1, description="End the run after so many pages.")
    max_items: int | None = Field(None, ge=1, description="End the run after so many items.")
    max_seconds: float | None = Field(None, gt=0, description="End the run after so long.")
    max_body: int = Field(
        10 * 1024 * 1024, ge=1, description="Bytes of a page, decoded; larger ones fail."
    )
    max_results: int = Field(
        100_000, ge=1, description="Items and requests of one page; a page with more fails."
    )
    parse_budget: float = Field(
        1.0,
        gt=0,
        description="What a page may cost to parse: a second of CPU, and 128 MiB, for each.",
    )
    callback_timeout: float = Field(
        300.0, gt=0, description="Seconds for a callback; a page that takes longer fails."
    )
    allow_private: list[str] = Field(
        [],
        description="Private or loopback hosts that may be fetched besides the start URLs': "
        '"host:port", "host", or "*".',
    )
    processes: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that run the spider's callbacks; 1: the crawl's own does.",
    )
    hang_timeout: float = Field(
        30.0,
        gt=0,
        description="Seconds that a process may be without a sign of life, before it is replaced "
        "(with `processes` above 1).",
    )
    grace: float = Field(
        10.0, ge=0, description="Seconds that fetches in flight get when a run is stopped."
    )
    host: list[HostSettings] = Field([], description="Overrides for hosts that match a pattern.")

    @field_validator("user_agent", "contact")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("must be one line of printable text")
        return value

    @field_validator("allow_private")
    @classmethod
    def _places(cls, value: list[str]) -> list[str]:
        for entry in value:
            if entry != "*":
                place_of(entry)
        return value

    @field_validator("strip_params")
    @classmethod
    def _named(cls, value: list[str]) -> list[str]:
        if not all(value):
            raise ValueError("a parameter's name is not empty")
        return value

    @property
    def agent(self) -> str:
        """The User-Agent header: the name, and whom to write to."""
        return f"{self.user_agent} (+{self.contact})" if self.contact else self.user_agent

    def for_host(self, host: str) -> HostSettings | None:
        """Return the overrides for `host` (with or without its port), merged, or None."""
        name = host.rsplit(":", 1)[0]
        found = [
            entry.model_dump(exclude_unset=True)
            for entry in self.host
            if fnmatchcase(host, entry.match) or fnmatchcase(name, entry.match)
        ]
        if not found:
            return None
        merged: dict[str, Any] = {}
        for entry in found:
            headers = {**merged.get("headers", {}), **entry.get("headers", {})}
            merged = {**merged, **entry, "headers": headers}
        return HostSettings(**merged)


def load_settings(
    config: Path | None = None,
    spider: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings of a run; `config` is a TOML file, which must be there when named.

    Values in `overrides` may be text (as `--set` gives them): they are read as TOML values.
    Raises `SettingsError`, one line: which setting, where it was given, what is wrong.
    """
    sources = {
        str(config): _read(config) if config else {},
        _ENVIRONMENT: _environment(),
        "the spider's settings": dict(spider or {}),
        _CALLER: {key: _value(key, v) for key, v in (overrides or {}).items()},
    }
    merged: dict[str, Any] = {}
    for where, values in sources.items():
        _refuse_unknown(values, where)
        merged |= values
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise SettingsError(_first_problem(error, sources)) from error


def _read(config: Path) -> dict[str, Any]:
    try:
        return _toml(config.read_text(encoding="utf-8-sig"))  # editors on Windows
    except OSError as error:
        raise SettingsError(f"cannot read {config}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{config} is not TOML: {error}") from error


def _toml(text: str) -> dict[str, Any]:
    """Return what a text in TOML holds; raises `ValueError` for one that is not."""
    found: dict[str, Any] = import_module("tomllib").loads(text)  # most runs have none to read
    return found


def _environment() -> dict[str, Any]:
    """Return the settings that the environment has: text, but for lists and tables, as JSON."""
    found: dict[str, Any] = {}
    for variable, text in os.environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        found[name] = text
        field = Settings.model_fields.get(name)
        if field is not None and get_origin(field.annotation) in (list, dict):
            try:
                found[name] = json.loads(text)
            except ValueError as error:
                raise SettingsError(
                    f"setting {name!r} in {_ENVIRONMENT}: lists and tables are JSON there, and "
                    f"{text!r} is not: {error}"
                ) from error
    return found


def _value(key: str, value: Any) -> Any:
    """Read text as a TOML value where the setting wants anything but text."""
    field = Settings.model_fields.get(key)
    if not isinstance(value, str) or field is None or field.annotation in (str, str | None):
        return value
    if value.lower() in ("", "none"):
        return None
    with suppress(ValueError):  # raised by text without quotes
        value = _toml(f"value = {value}")["value"]
    if isinstance(value, str) and value.startswith("{"):
        with suppress(ValueError):  # a table in TOML has `=` where JSON has `:`
            value = json.loads(value)
    return [value] if field.annotation == list[str] and isinstance(value, str) else value


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    for name in names:
        if name not in Settings.model_fields:
            near, ours = did_you_mean(name, Settings.model_fields), our_name(name)
            hint = f": it is called {ours!r} here" if ours else f": {near}" if near else ""
            if not hint and where == _CALLER:
                hint = f" (an argument of the spider is -a {name}=…, or arguments={{{name!r}: …}})"
            elif not hint and where == _ENVIRONMENT:
                hint = f": {PREFIX}{name.upper()} is read as one, what is yours has another name"
            raise SettingsError(f"unknown setting {name!r} in {where}{hint}")


def _first_problem(error: ValidationError, sources: Mapping[str, Mapping[str, Any]]) -> str:
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"] if part != "[key]"]
    if problem["type"] == "extra_forbidden":
        near = did_you_mean(path[-1], HostSettings.model_fields)
        hint = f": {near}" if near else ""
        return f"unknown setting {path[-1]!r} in a [[host]] table{hint}"
    where = [where for where, values in sources.items() if path[0] in values][-1]
    said = problem["msg"].removeprefix("Value error, ")
    if path == ["host"] and isinstance(problem["input"], dict):
        said = "it is a list of tables: write [[host]]"
    # What a header holds is nobody's business: often a key.
    got = "" if "headers" in path[:-1] else f" (got {problem['input']!r})"
    return f"setting {'.'.join(path)!r} in {where}: {said}{got}"
