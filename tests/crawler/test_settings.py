"""Where settings come from, what is refused, and that the example file tells the truth."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from crawler.errors import SettingsError
from crawler.settings import HostSettings, Settings, load_settings

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CRAWLER_"):
            monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refusal(*sources: Any) -> str:
    """The one line that settings are refused with."""
    with pytest.raises(SettingsError) as caught:
        load_settings(*sources)
    text = str(caught.value)
    assert "\n" not in text
    return text


# ── where they come from ────────────────────────────────────────────────────────────────────


def test_without_any_source_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert (settings.concurrency, settings.concurrency_per_host, settings.delay) == (32, 8, 0.0)
    assert (settings.adaptive, settings.robots, settings.timeout) == (True, True, 60.0)
    assert (settings.retries, settings.backoff, settings.max_body) == (3, 1.0, 10 * 1024 * 1024)
    assert settings.allow_private == []
    assert settings.max_pages is settings.max_depth is settings.max_items is None


def test_a_byte_order_mark_before_the_first_setting_is_none_of_it(config: Path) -> None:
    config.write_text("delay = 1\n", encoding="utf-8-sig")
    assert load_settings(config).delay == 1.0


def test_each_source_overrides_the_one_below(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("delay = 1\n")
    sources: list[Any] = [config, None, None]
    assert load_settings(*sources).delay == 1.0
    monkeypatch.setenv("CRAWLER_DELAY", "2")
    assert load_settings(*sources).delay == 2.0
    sources[1] = {"delay": 3}
    assert load_settings(*sources).delay == 3.0
    sources[2] = {"delay": 4}
    assert load_settings(*sources).delay == 4.0


def test_sources_add_up_setting_by_setting(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("delay = 1\ntimeout = 5\nretries = 1\nbackoff = 9\n")
    monkeypatch.setenv("CRAWLER_TIMEOUT", "6")
    settings = load_settings(config, {"retries": 7}, {"backoff": "0.5"})
    found = (settings.delay, settings.timeout, settings.retries, settings.backoff)
    assert found == (1.0, 6.0, 7, 0.5)


def test_the_environment_is_read_as_text_and_lists_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWLER_ROBOTS", "false")
    monkeypatch.setenv("CRAWLER_ALLOW_PRIVATE", '["127.0.0.1"]')
    monkeypatch.setenv("CRAWLER_USER_AGENT", "bot/2")
    settings = load_settings()
    assert (settings.robots, settings.allow_private, settings.user_agent) == (
        False,
        ["127.0.0.1"],
        "bot/2",
    )


def test_host_tables_come_from_the_file(config: Path) -> None:
    config.write_text('delay = 1\n[[host]]\nmatch = "a"\ndelay = 2\n[[host]]\nmatch = "b"\n')
    settings = load_settings(config)
    assert [entry.match for entry in settings.host] == ["a", "b"]
    assert settings.delay == 1.0


# ── `--set` ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("concurrency", "16", 16),
        ("delay", "0.5", 0.5),
        ("delay", "2", 2.0),
        ("max_body", "1_000", 1000),
        ("robots", "false", False),
        ("robots", "False", False),
        ("adaptive", "no", False),
        ("max_pages", "none", None),
        ("max_pages", "None", None),
        ("max_pages", "", None),
        ("max_depth", "0", 0),
        ("user_agent", "12", "12"),
        ("user_agent", "true", "true"),
        ("user_agent", '"quoted"', '"quoted"'),
        ("contact", "me@a.example", "me@a.example"),
        ("allow_private", "127.0.0.1", ["127.0.0.1"]),
        ("allow_private", "127.0.0.1:8000", ["127.0.0.1:8000"]),
        ("allow_private", "localhost", ["localhost"]),
        ("allow_private", "*", ["*"]),
        ("allow_private", '["a", "b"]', ["a", "b"]),
        ("allow_private", '"a"', ["a"]),
        ("headers", '{ X-A = "1" }', {"X-A": "1"}),
        ("headers", '{ "X-A" = "1", "X-B" = "2" }', {"X-A": "1", "X-B": "2"}),
    ],
)
def test_text_is_read_as_a_toml_value(key: str, text: str, value: Any) -> None:
    assert getattr(load_settings(None, None, {key: text}), key) == value


def test_a_host_table_may_be_set_as_text() -> None:
    settings = load_settings(None, None, {"host": '[{ match = "a", delay = 2 }]'})
    assert settings.host == [HostSettings(match="a", delay=2.0)]


def test_values_of_a_program_are_taken_as_they_are() -> None:
    settings = load_settings(None, None, {"max_pages": None, "allow_private": ["a"], "delay": 1})
    assert (settings.max_pages, settings.allow_private, settings.delay) == (None, ["a"], 1.0)


# ── what is refused ─────────────────────────────────────────────────────────────────────────


def test_an_unknown_setting_is_refused_with_the_nearest_name(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("concurency = 3\n")
    line = f"unknown setting 'concurency' in {config}: did you mean 'concurrency'?"
    assert refusal(config) == line
    assert refusal(None, {"dealy": 1}) == (
        "unknown setting 'dealy' in the spider's settings: did you mean 'delay'?"
    )
    assert refusal(None, None, {"robot": "1"}) == (
        "unknown setting 'robot' in the arguments: did you mean 'robots'?"
    )
    assert refusal(None, None, {"zzz": "1"}).startswith(
        "unknown setting 'zzz' in the arguments (an argument of the spider is -a zzz="
    )
    assert refusal(None, {"DOWNLOAD_DELAY": 1}) == (
        "unknown setting 'DOWNLOAD_DELAY' in the spider's settings: it is called 'delay' here"
    )
    monkeypatch.setenv("CRAWLER_TIMEOUTS", "1")
    assert refusal() == ("unknown setting 'timeouts' in the environment: did you mean 'timeout'?")
    monkeypatch.delenv("CRAWLER_TIMEOUTS")
    monkeypatch.setenv("CRAWLER_DB", "postgres://")
    assert refusal() == (
        "unknown setting 'db' in the environment: CRAWLER_DB is read as one, what is yours has "
        "another name"
    )


def test_an_unknown_setting_in_a_host_table_is_refused(config: Path) -> None:
    config.write_text('[[host]]\nmatch = "a"\ndeley = 2\n')
    assert refusal(config) == "unknown setting 'deley' in a [[host]] table: did you mean 'delay'?"


def test_a_host_table_with_one_pair_of_brackets_is_told(config: Path) -> None:
    config.write_text('[host]\nmatch = "a"\n')
    assert refusal(config).startswith(
        f"setting 'host' in {config}: it is a list of tables: write [[host]] (got "
    )


def test_a_host_table_says_which_hosts(config: Path) -> None:
    config.write_text("[[host]]\ndelay = 2\n")
    assert "'host.0.match'" in refusal(config)
    assert str(config) in refusal(config)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("concurrency", "0"),
        ("concurrency", "20000"),
        ("concurrency", "many"),
        ("concurrency", "1.5"),
        ("delay", "-1"),
        ("delay", "nan"),
        ("timeout", "0"),
        ("retries", "-1"),
        ("max_pages", "0"),
        ("max_seconds", "0"),
        ("max_body", "0"),
        ("robots", "perhaps"),
        ("user_agent", ""),
        ("user_agent", "two\r\nlines"),
        ("contact", "a\nb"),
        ("headers", "x"),
        ("allow_private", "[1]"),
        ("allow_private", '[""]'),
        ("allow_private", '["a", "10.0.0.0/8"]'),
        ("allow_private", "*.internal"),
        ("allow_private", "localhost:"),
        ("allow_private", "localhost:http"),
        ("allow_private", "localhost:99999"),
        ("allow_private", "ftp://localhost"),
        ("allow_private", "user@localhost"),
        ("allow_private", "two hosts"),
        ("allow_private", "host\n"),
        ("host", "x"),
    ],
)
def test_an_impossible_value_is_refused_by_name_and_source(key: str, value: str) -> None:
    line = refusal(None, None, {key: value})
    assert line.startswith(f"setting '{key}")
    assert " in the arguments: " in line
    assert "(got " in line


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("X-A", "two\r\nlines", "a header's value is one line of text"),
        ("X-A", "nul\0", "a header's value is one line of text"),
        ("X-A", "\ud800", "a header's value is one line of text"),
        ("X-A", 7, "Input should be a valid string"),
        ("X A", "1", "a header's name is a word such as X-Api-Key"),
        ("X-A:", "1", "a header's name is a word such as X-Api-Key"),
        ("X-A\n", "1", "a header's name is a word such as X-Api-Key"),
        ("", "1", "a header's name is a word such as X-Api-Key"),
        ("ä", "1", "a header's name is a word such as X-Api-Key"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(
    name: str, value: Any, said: str
) -> None:
    where = repr(f"headers.{name}")
    assert refusal(None, None, {"headers": {name: value}}) == (
        f"setting {where} in the arguments: {said}"
    )
    where = repr(f"host.0.headers.{name}")
    table = {"match": "*", "headers": {name: value}}
    assert refusal(None, {"host": [table]}) == f"setting {where} in the spider's settings: {said}"


def test_a_header_may_hold_any_line_of_text() -> None:
    headers = {"X-A": "a\tb", "Accept-Language": "", "X-City": "Zürich"}
    assert load_settings(None, None, {"headers": headers}).headers == headers


def test_the_source_that_is_named_is_the_one_that_was_used(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("delay = -1\n")
    assert f"in {config}:" in refusal(config)
    assert "in the spider's settings:" in refusal(config, {"delay": -2})
    assert "in the arguments:" in refusal(config, {"delay": -2}, {"delay": "-3"})
    monkeypatch.setenv("CRAWLER_DELAY", "-4")
    line = refusal(config)
    assert "in the environment:" in line
    assert "-4" in line


def test_a_file_that_is_not_toml_is_refused(config: Path) -> None:
    config.write_text("delay: 1\n")
    assert refusal(config).startswith(f"{config} is not TOML: ")
    config.write_bytes(b"\xff\xfe")
    assert refusal(config).startswith(f"{config} is not TOML: ")


def test_a_file_that_is_not_there_is_refused(config: Path) -> None:
    assert refusal(config) == f"cannot read {config}: No such file or directory"
    assert refusal(config.parent) == f"cannot read {config.parent}: Is a directory"


def test_a_list_in_the_environment_that_is_not_json_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRAWLER_ALLOW_PRIVATE", "127.0.0.1")
    line = refusal()
    assert "allow_private" in line
    assert "JSON" in line


def test_settings_do_not_change_under_way() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().delay = 1.0  # type: ignore[misc]


# ── what is made of them ────────────────────────────────────────────────────────────────────


def test_the_agent_names_whom_to_write_to() -> None:
    assert Settings(user_agent="bot/1").agent == "bot/1"
    assert Settings(user_agent="bot/1", contact="me@a").agent == "bot/1 (+me@a)"


def test_a_host_has_the_overrides_of_the_patterns_that_match() -> None:
    settings = Settings(
        host=[
            {"match": "*.example", "delay": 1, "concurrency": 4, "headers": {"A": "1", "B": "1"}},
            {"match": "slow.example", "delay": 5, "headers": {"B": "2"}},
            {"match": "?.other:8080", "robots": False},
        ]
    )
    assert settings.for_host("elsewhere") is None
    assert settings.for_host("example") is None
    quick = settings.for_host("quick.example")
    assert quick is not None
    assert (quick.delay, quick.concurrency, quick.timeout) == (1.0, 4, None)
    slow = settings.for_host("slow.example")
    assert slow is not None
    assert (slow.delay, slow.concurrency, slow.headers) == (5.0, 4, {"A": "1", "B": "2"})


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("a.example", "a.example:8080", True),
        ("a.example:8080", "a.example:8080", True),
        ("a.example:8080", "a.example", False),
        ("a.example:8080", "a.example:9090", False),
        ("127.*", "127.0.0.1:8000", True),
        ("*", "anything", True),
        ("[[]::1]", "[::1]:8080", True),
    ],
)
def test_a_pattern_may_name_a_port(pattern: str, host: str, fits: bool) -> None:
    settings = Settings(host=[{"match": pattern, "delay": 1}])
    assert (settings.for_host(host) is not None) == fits


def test_a_later_table_may_set_what_is_false_or_zero() -> None:
    settings = Settings(
        host=[{"match": "*", "delay": 2, "robots": True}, {"match": "a", "delay": 0}]
    )
    found = settings.for_host("a")
    assert found is not None
    assert (found.delay, found.robots) == (0.0, True)


# ── the example file ────────────────────────────────────────────────────────────────────────

_KEY = re.compile(r"# (\w+ = .+|\[\[\w+\]\])")


def _uncommented() -> str:
    """The example with every setting in force."""
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    return "\n".join(match[1] if (match := _KEY.fullmatch(line)) else line for line in lines)


def test_the_example_changes_nothing_as_it_is() -> None:
    assert tomllib.loads(EXAMPLE.read_text(encoding="utf-8")) == {}
    assert load_settings(EXAMPLE) == Settings()


def test_the_example_has_every_setting_and_no_other() -> None:
    example = tomllib.loads(_uncommented())
    assert set(example) == set(Settings.model_fields)
    (host,) = example["host"]
    assert set(host) == set(HostSettings.model_fields)


def test_the_example_gives_the_defaults() -> None:
    example = tomllib.loads(_uncommented())
    for name, field in Settings.model_fields.items():
        if field.default not in (None, []) or name == "allow_private":
            assert example[name] == field.default, name
            assert type(example[name]) is type(field.default), name


def test_the_example_is_valid_with_everything_uncommented(config: Path) -> None:
    config.write_text(_uncommented(), encoding="utf-8")
    settings = load_settings(config)
    without_default = {name for name, f in Settings.model_fields.items() if f.default is None}
    changed = {*without_default, "host"}
    assert settings.model_dump(exclude=changed) == Settings().model_dump(exclude=changed)
    assert all(getattr(settings, name) is not None for name in without_default)


def test_the_example_explains_every_setting() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if _KEY.fullmatch(line) and lines[number - 1] == "":
            pytest.fail(f"no comment above {line!r}")
