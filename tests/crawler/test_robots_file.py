"""robots.txt as a file: its delay, its sitemaps, its bytes, and the answers that are none."""

import json

import pytest

from crawler.robots import (
    ALLOW_ALL,
    MAX_AGE,
    MAX_BYTES,
    MAX_CRAWL_DELAY,
    RobotsRules,
    rules_for_status,
)
from tests.crawler.robots_txt import US

# ── delay and sitemaps ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("robots", "delay"),
    [
        ("User-agent: *\nDisallow: /x", None),
        ("User-agent: *\nCrawl-delay: 2", 2.0),
        ("User-agent: *\ncrawl-DELAY:0.5", 0.5),
        ("User-agent: *\nCrawl-delay: 0", 0.0),
        ("User-agent: *\nCrawl-delay: 86400", MAX_CRAWL_DELAY),
        ("User-agent: *\nCrawl-delay: 1e999", MAX_CRAWL_DELAY),
        ("User-agent: *\nCrawl-delay: -1", None),
        ("User-agent: *\nCrawl-delay: nan", None),
        ("User-agent: *\nCrawl-delay: soon", None),
        ("User-agent: *\nCrawl-delay:", None),
        ("Crawl-delay: 2\nUser-agent: *\nDisallow: /x", None),
        ("User-agent: *\nCrawl-delay: 2\n\nUser-agent: crawler\nDisallow: /x", None),
        ("User-agent: *\nCrawl-delay: 2\n\nUser-agent: crawler\nCrawl-delay: 3", 3.0),
        ("User-agent: other\nUser-agent: crawler\nCrawl-delay: 3", 3.0),
        ("User-agent: crawler\nCrawl-delay: 3\n\nUser-agent: crawler\nCrawl-delay: 2", 3.0),
        ("User-agent: crawler\nCrawl-delay: 2\nCrawl-delay: 3\nCrawl-delay: x", 3.0),
    ],
)
def test_the_crawl_delay_is_that_of_our_group_and_bounded(robots, delay):
    assert RobotsRules(robots).crawl_delay(US) == delay


def test_sitemaps_are_listed_wherever_they_stand():
    rules = RobotsRules(
        "Sitemap: http://a/1.xml\nUser-agent: a\nsitemap:http://a/2.xml # new\nDisallow: /\n"
        "SITE-MAP: http://a/3.xml\nSitemap:\n"
    )
    assert rules.sitemaps == ("http://a/1.xml", "http://a/2.xml", "http://a/3.xml")


# ── bytes ───────────────────────────────────────────────────────────────────────────────────


def test_a_byte_order_mark_does_not_hide_the_first_line():
    rules = RobotsRules.parse(b"\xef\xbb\xbfUser-agent: *\nDisallow: /")
    assert not rules.allowed(US, "http://books.example/")


def test_a_pattern_in_another_encoding_matches_its_bytes():
    rules = RobotsRules.parse(b"User-agent: *\nDisallow: /caf\xe9/\n\xff\xfe\x00\nDisallow: /x")
    assert not rules.allowed(US, "http://books.example/caf%E9/")
    assert not rules.allowed(US, "http://books.example/x")
    assert rules.allowed(US, "http://books.example/caf%C3%A9/")


def test_what_lies_beyond_the_size_limit_is_ignored():
    start = b"User-agent: *\nDisallow: /x\n"
    filled = start + b"#" * (MAX_BYTES - len(start) - 1) + b"\n"
    rules = RobotsRules.parse(filled + b"Disallow: /y\n")
    assert not rules.allowed(US, "http://books.example/x")
    assert rules.allowed(US, "http://books.example/y")


def test_a_rule_within_the_size_limit_counts():
    start, end = b"User-agent: *\n", b"\nDisallow: /y"
    rules = RobotsRules.parse(start + b"#" * (MAX_BYTES - len(start) - len(end)) + end)
    assert not rules.allowed(US, "http://books.example/y")


def test_a_rule_cut_in_half_by_the_size_limit_is_no_rule():
    start, end = b"User-agent: *\n", b"\nDisallow: /private/"
    filling = b"#" * (MAX_BYTES - len(start) - len(end) + len(b"private/"))
    rules = RobotsRules.parse(start + filling + end)
    assert rules.allowed(US, "http://books.example/")


def test_rules_are_the_same_after_being_stored_and_loaded():
    rules = RobotsRules.parse(
        b"\xef\xbb\xbfUser-agent: *\nDisallow: /caf\xe9\nCrawl-delay: 3\nSitemap: http://a/s.xml"
    )
    loaded = RobotsRules(json.loads(json.dumps(rules.text)))
    assert RobotsRules(rules.text.encode().decode()).text == rules.text
    assert not loaded.allowed(US, "http://books.example/caf%E9")
    assert loaded.crawl_delay(US) == 3
    assert loaded.sitemaps == ("http://a/s.xml",)


# ── answers ─────────────────────────────────────────────────────────────────────────────────

CLOSED = b"User-agent: *\nDisallow: /"


@pytest.mark.parametrize("status", [200, 201, 206])
def test_a_successful_answer_is_the_file(status):
    rules = rules_for_status(status, CLOSED)
    assert rules is not None
    assert not rules.allowed(US, "http://books.example/x")


@pytest.mark.parametrize("status", [301, 304, 400, 401, 403, 404, 410, 451])
def test_no_file_means_that_all_is_allowed(status):
    assert rules_for_status(status, CLOSED) is ALLOW_ALL


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599, 0, 100])
def test_a_server_that_cannot_answer_leaves_it_unknown(status):
    assert rules_for_status(status, CLOSED) is None


def test_an_unknown_answer_is_asked_again_before_a_known_one_goes_stale():
    assert MAX_AGE == 24 * 60 * 60
