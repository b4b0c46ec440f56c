"""robots.txt: who may fetch what, by RFC 9309."""

import json
from pathlib import Path

import pytest

from crawler.robots import ALLOW_ALL, RobotsRules, product_token
from tests.crawler.robots_txt import US, allowed, for_all

ORACLE = Path(__file__).parents[3] / "shared" / "oracles" / "robots-google.json"
DISALLOW_ALL = RobotsRules("User-agent: *\nDisallow: /\n")


# ── Google's own cases ──────────────────────────────────────────────────────────────────────
#
# All are met. In these, Google goes beyond RFC 9309 or departs from it:
#
# GoogleOnly_IndexHTMLisDirectory: `allow: /x/index.html` opens `/x/` too. Followed: they are
#   one page, and a site that opens the one by name does not mean to close the other.
# GoogleOnly_AcceptUserAgentUpToFirstSpace: the line `User-agent: Foo Bar` names `Foo`, and a
#   crawler called `Foo Bar` is not it. Followed: neither is a product token, and this reads the
#   line as far as it is one.
# ID_LineSyntax_Line: the colon may be missing. Followed: the writer's wish is plain.
# ID_Encoding, `allow: /foo/bar/%62%61%7A` with `/foo/bar/baz`: the RFC (2.2.2) decodes unreserved
#   characters before it compares, Google does not. Both in part: an escape closes its decoded
#   spelling (as the RFC), but does not open it (as Google), which keeps us out in doubt.
# ID_Encoding, `/foo/bar/ツ` as a URL: a URL that is not escaped is none, and opens nothing.
#   Canonical URLs, the only ones a crawl asks for, always are.


@pytest.mark.skipif(not ORACLE.exists(), reason="Google's robots.txt cases are not here")
def test_every_case_of_googles_parser_is_met():
    cases = json.loads(ORACLE.read_text())
    assert len(cases) > 100
    wrong = [
        case
        for case in cases
        if RobotsRules.parse(case["robots"].encode()).allowed(case["agent"], case["url"])
        is not case["allowed"]
    ]
    assert wrong == []


# ── the RFC, by hand ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rules", "opened", "closed"),
    [
        # prefixes
        (["Disallow:"], ["/", "/x"], []),
        (["Disallow: /"], [], ["/", "/x", "/?q"]),
        (["Disallow: /fish"], ["/", "/Fish", "/catfish"], ["/fish", "/fish.html", "/fish/x"]),
        (["Disallow: /fish/"], ["/fish", "/fish.html"], ["/fish/", "/fish/x", "/fish/?id=1"]),
        (["Disallow: /x?page="], ["/x", "/x?q", "/x/?page=1"], ["/x?page=1"]),
        (["Disallow: fish/"], ["/fish/", "/"], []),
        # the longest match decides, whatever the order
        (["Disallow: /", "Allow: /fish"], ["/fish", "/fish/x"], ["/", "/x"]),
        (["Allow: /fish", "Disallow: /"], ["/fish", "/fish/x"], ["/", "/x"]),
        (["Allow: /", "Disallow: /x/y", "Allow: /x"], ["/x", "/x/z"], ["/x/y", "/x/yz"]),
        (["Allow: /page", "Disallow: /*.html"], ["/page"], ["/page.html"]),
        (["Allow: /x/page.", "Disallow: /*.html"], ["/x/page.html"], ["/x/y.html"]),
        # among equals, allow wins
        (["Disallow: /x", "Allow: /x"], ["/x", "/x/y"], []),
        (["Allow: /x", "Disallow: /x"], ["/x"], []),
        (["Disallow: /%7Ex", "Allow: /%7Ex"], ["/%7Ex"], []),
        # asterisks
        (["Disallow: *"], [], ["/", "/x"]),
        (["Disallow: /*"], [], ["/", "/x"]),
        (["Disallow: /fish*"], ["/catfish"], ["/fish", "/fish.html"]),
        (["Disallow: /*.php"], ["/php", "/x.PHP"], ["/x.php", "/a/x.php?y", "/.php/", "/?f=x.php"]),
        (["Disallow: /a*b*c"], ["/acb", "/abd", "/ab"], ["/abc", "/axbxcx", "/abbc"]),
        (["Disallow: /a**b"], ["/a"], ["/ab", "/axb"]),
        (["Disallow: *.pdf"], ["/pdf"], ["/x.pdf", "/x.pdf?y"]),
        (["Disallow: /*a*a*a"], ["/aa", "/ba-a"], ["/aaa", "/bacada"]),
        # the end of the URL
        (["Disallow: /x$"], ["/x/", "/xx", "/x?y", "/"], ["/x"]),
        (["Disallow: /*.php$"], ["/x.php?y", "/x.php5", "/x.php/"], ["/x.php", "/y?x.php"]),
        (["Disallow: /a*a$"], ["/a", "/ab"], ["/aa", "/aba"]),
        (["Disallow: /*ab*ab$"], ["/ab", "/abx"], ["/abab", "/abxab", "/abababab"]),
        (["Disallow: /*$"], [], ["/", "/x"]),
        (["Disallow: /", "Allow: /$"], ["/"], ["/x", "/?q"]),
        (["Disallow: $"], ["/", "/x"], []),
        # special characters by their escapes, and a dollar sign in the middle
        (["Disallow: /a-%2A.html"], ["/a-x.html"], ["/a-*.html", "/a-%2a.html"]),
        (["Disallow: /a%24"], ["/a", "/ax"], ["/a$", "/a$x", "/a%24"]),
        (["Disallow: /a$b"], ["/a", "/ab"], ["/a$b", "/a%24bc"]),
        # escapes
        (["Disallow: /a%3cd"], ["/a"], ["/a%3Cd", "/a%3cd"]),
        (["Disallow: /ツ"], ["/"], ["/%E3%83%84", "/%e3%83%84"]),
        (["Disallow: /%E3%83%84"], ["/"], ["/%E3%83%84", "/ツ"]),
        (["Disallow: /%7Ejoe/"], ["/joe/"], ["/~joe/", "/%7Ejoe/", "/%7ejoe/x"]),
        (["Disallow: /~joe/"], ["/joe/"], ["/~joe/", "/%7Ejoe/"]),
        (["Disallow: /a/b"], ["/a%2Fb"], ["/a/b"]),
        (["Disallow: /a%2Fb"], ["/a/b"], ["/a%2fb"]),
        (["Disallow: /a b"], ["/ab"], ["/a%20b"]),
        (["Disallow: /?q='a'"], ["/?q=a"], ["/?q=%27a%27"]),
        (["Disallow: /100%"], ["/100"], ["/100%", "/100%x"]),
        # in doubt an escape closes and does not open
        (["Disallow: /", "Allow: /%62az"], ["/%62az"], ["/baz"]),
        (["Disallow: /%7Ejoe/x", "Allow: /%7Ejoe/"], ["/%7Ejoe/y"], ["/%7Ejoe/x"]),
        (["Disallow: /%7E%7E", "Allow: /~~x"], ["/~~x"], ["/~~", "/~~y"]),
        # the index page is its folder
        (["Disallow: /", "Allow: /x/index.html"], ["/x/", "/x/index.html"], ["/x", "/x/y", "/"]),
        (["Disallow: /", "Allow: /x/index.htm$"], ["/x/", "/x/index.htm"], ["/x/index.html"]),
        (["Disallow: /x/**", "Allow: /x/index.html"], ["/x/index.html"], ["/x/"]),
        (["Disallow: /x/index.html"], ["/x/"], ["/x/index.html"]),
        # comments, blanks, spelling
        (["Disallow: /x # not here", "#Disallow: /y"], ["/y", "/"], ["/x", "/x%20"]),
        (["  disALLOW :\t/x  "], ["/y"], ["/x"]),
        (["Disallow /x"], ["/y"], ["/x"]),
        (["Disallow /x /y"], ["/x", "/y"], []),
        (["Dissallow: /x"], ["/y"], ["/x"]),
        (["Disallow: /x:y"], ["/x"], ["/x:y"]),
        (["Noindex: /x", "nonsense", ":", ": /x", "=", "Disallow: /y"], ["/x"], ["/y"]),
    ],
)
def test_rules_open_and_close_paths(rules, opened, closed):
    for path in opened:
        assert allowed(for_all(*rules), path), path
    for path in closed:
        assert not allowed(for_all(*rules), path), path


@pytest.mark.parametrize(
    ("robots", "expected"),
    [
        ("", True),
        ("User-agent: *\nDisallow: /", False),
        ("User-agent: crawler\nDisallow: /", False),
        ("User-agent: CRAWLER\nDisallow: /", False),
        ("User-agent: Crawler/2.0\nDisallow: /", False),
        ("User-agent: crawler of books\nDisallow: /", False),
        ("User-agent: crawler*\nDisallow: /", False),
        ("Useragent: crawler\nDisallow: /", False),
        ("User-agent crawler\nDisallow: /", False),
        ("User-agent: *  # all\nDisallow: /", False),
        ("User-agent: crawl\nDisallow: /", True),
        ("User-agent: crawlers\nDisallow: /", True),
        ("User-agent: my-crawler\nDisallow: /", True),
        ("User-agent: other\nDisallow: /", True),
        ("User-agent:\nDisallow: /", True),
        # our own group takes the place of the one for all, even when it is empty
        ("User-agent: *\nDisallow: /\n\nUser-agent: crawler\nAllow: /", True),
        ("User-agent: crawler\nDisallow:\n\nUser-agent: *\nDisallow: /", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: crawler", True),
        # groups of one agent are one group
        ("User-agent: crawler\nAllow: /y\n\nUser-agent: crawler\nDisallow: /x", False),
        ("User-agent: crawler\nAllow: /x\n\nUser-agent: CRAWLER\nDisallow: /", True),
        (
            "User-agent: *\nAllow: /y\n\nUser-agent: a\nAllow: /\n\nUser-agent: *\nDisallow: /",
            False,
        ),
        # a group may have many agents
        ("User-agent: a\nUser-agent: crawler\nUser-agent: b\nDisallow: /", False),
        ("User-agent: a\n\n# and\nUser-agent: crawler\n\nDisallow: /", False),
        ("User-agent: crawler\nUser-agent: crawler\nDisallow: /", False),
        ("User-agent: crawler\nAllow: /\nUser-agent: b\nDisallow: /", True),
        ("User-agent: crawler\nDisallow:\nUser-agent: b\nDisallow: /", True),
        # other lines do not end a group's agents (RFC 9309, 2.2.4), but its own delay does
        ("User-agent: crawler\nSitemap: http://a/\nUser-agent: b\nDisallow: /", False),
        ("User-agent: crawler\nNoindex: /\nUser-agent: b\nDisallow: /", False),
        ("User-agent: *\nCrawl-delay: 5\n\nUser-agent: b\nDisallow: /", True),
        # rules above the first agent are nobody's
        ("Disallow: /\nUser-agent: crawler\nAllow: /y", True),
        ("Disallow: /", True),
        # line ends of all systems, and only those
        ("User-agent: *\rDisallow: /", False),
        ("User-agent: *\r\nDisallow: /\r\n", False),
        ("User-agent: *\n\r\n\rDisallow: /", False),
        ("User-agent: *\u2028Disallow: /", True),
        ("\ufeffUser-agent: *\nDisallow: /", False),
    ],
)
def test_an_agent_obeys_the_groups_that_name_it(robots, expected):
    assert allowed(robots, "/x") is expected


@pytest.mark.parametrize(
    ("agent", "token"),
    [
        ("crawler", "crawler"),
        ("Crawler/0.1", "crawler"),
        ("crawler/0.1 (+https://crawler.example/)", "crawler"),
        ("crawler (+https://crawler.example/)", "crawler"),
        ("crawler/0.1 aiohttp/3", "crawler"),
        ("  crawler/0.1 ", "crawler"),
        ("my_crawler-2/1", "my_crawler-2"),
        ("archive.org_bot", "archive.org_bot"),
        ("Mozilla/5.0 (compatible; FooBot/1.0; +http://foo/)", "foobot"),
        ("Mozilla/5.0 AppleWebKit/537 (KHTML, like Gecko; compatible; FooBot/1.0)", "foobot"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "mozilla"),
        ("Foo Bar", ""),
        ("*", ""),
        ("", ""),
        ("ツ", ""),
    ],
)
def test_a_user_agent_has_a_product_token(agent, token):
    assert product_token(agent) == token


def test_an_agent_without_a_token_obeys_the_group_for_all():
    robots = "User-agent: foo\nDisallow: /x\n\nUser-agent: *\nDisallow: /y"
    for agent in ("", "Foo Bar", "*"):
        assert allowed(robots, "/x", agent)
        assert not allowed(robots, "/y", agent)


def test_a_group_that_names_nobody_is_nobodys():
    for line in ("User-agent:", "User-agent: ツ", "User-agent: /"):
        assert allowed(f"{line}\nDisallow: /", "/x", "")


def test_the_rules_of_one_agent_are_not_those_of_the_next():
    rules = RobotsRules("User-agent: a\nDisallow: /x\n\nUser-agent: b\nDisallow: /y")
    for _ in range(2):
        answers = [rules.allowed(agent, f"http://h/{path}") for agent in "abc" for path in "xy"]
        assert answers == [False, True, True, False, True, True]


def test_robots_txt_itself_is_always_allowed():
    assert DISALLOW_ALL.allowed(US, "http://books.example/robots.txt")
    assert DISALLOW_ALL.allowed(US, "http://books.example/robots.txt?v=2")
    assert not DISALLOW_ALL.allowed(US, "http://books.example/robots.txt.html")
    assert not DISALLOW_ALL.allowed(US, "http://books.example/x/robots.txt")
    assert not DISALLOW_ALL.allowed(US, "http://books.example/?/robots.txt")


def test_only_path_and_query_of_a_url_are_matched():
    rules = RobotsRules(for_all("Disallow: /x"))
    for url in ("https://books.example:8443/x", "http://[::1]/x#y", "/x"):
        assert not rules.allowed(US, url)
    for url in ("http://x/", "http://books.example/y#/x", "http://books.example", ""):
        assert rules.allowed(US, url)


def test_the_two_plain_rule_sets_allow_all_and_nothing():
    assert ALLOW_ALL.allowed(US, "http://books.example/x")
    assert not DISALLOW_ALL.allowed(US, "http://books.example/x")
    assert not DISALLOW_ALL.allowed(US, "http://books.example/")
