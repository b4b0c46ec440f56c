"""robots.txt of those who mean harm: never an error, and decided as a plain reading would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.robots import MAX_CRAWL_DELAY, RobotsRules
from tests.crawler.robots_txt import US, allowed, for_all

LINES = st.lists(
    st.sampled_from(["User-agent: *", "User-agent: crawler", "Allow: /", "Disallow: /a*b$"])
    | st.sampled_from(["Disallow: /%", "Disallow: %61*", "Crawl-delay: 1", "Sitemap: x", "#", ":"])
    | st.text("/*$%aA6~ ", max_size=12).map("Disallow:{}".format)
    | st.text("/*$%aA6~ ", max_size=12).map("Allow:{}".format)
    | st.text(),
).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))


@given(
    st.binary() | LINES, st.text() | st.just(US), st.text() | st.text("/a%6~*$").map("/".__add__)
)
def test_no_file_no_agent_and_no_url_is_an_error(body, agent, url):
    rules = RobotsRules.parse(body)
    delay = rules.crawl_delay(agent)
    assert delay is None or 0 <= delay <= MAX_CRAWL_DELAY
    rules.text.encode()  # can be stored
    assert RobotsRules(rules.text).allowed(agent, url) is rules.allowed(agent, url)


def matches(pattern, target):
    """Tell what `pattern` means, one character at a time and without cleverness."""
    ends = {0}
    anchored = pattern.endswith("$")
    for character in pattern.removesuffix("$"):
        if character == "*":
            ends = set(range(min(ends), len(target) + 1)) if ends else ends
        else:
            ends = {end + 1 for end in ends if target[end : end + 1] == character}
    return len(target) in ends if anchored else bool(ends)


@given(
    st.text("ab*/", max_size=8).map("/".__add__),
    st.sampled_from(["", "$"]),
    st.text("ab/", max_size=12).map("/".__add__),
)
def test_a_pattern_matches_what_a_plain_reading_of_it_matches(pattern, anchor, path):
    pattern += anchor
    assert allowed(for_all(f"Disallow: {pattern}"), path) is not matches(pattern, path)


@given(
    st.lists(st.tuples(st.booleans(), st.text("ab*", max_size=3).map("/".__add__)), max_size=6),
    st.text("ab", max_size=4).map("/".__add__),
)
def test_the_longest_match_decides_and_allow_among_equals(rules, path):
    lines = [f"{'Allow' if allow else 'Disallow'}: {pattern}" for allow, pattern in rules]
    found = [(len(pattern), allow) for allow, pattern in rules if matches(pattern, path)]
    assert allowed(for_all(*lines), path) is (max(found)[1] if found else True)


@pytest.mark.parametrize(
    "pattern",
    [
        "/" + "*a" * 100_000 + "b",
        "/" + "a*" * 4_000 + "b$",
        "/" + "*" * 400_000 + "b",
        "/" + "*a*aa*aaa" * 1_000 + "*b$",
        "/" + "(a+)+" * 1_000 + "*b",
        "/" + "%61*" * 100_000 + "b",
    ],
)
def test_a_pathological_pattern_is_decided_all_the_same(pattern):
    # A matcher that backtracks would not come back from any of these.
    url = "/" + "a" * 8_000
    robots = for_all(f"Disallow: {pattern}", "Disallow: /*aaa")
    assert not allowed(robots, url)
    assert allowed(for_all(f"Disallow: {pattern}"), url)


def test_many_groups_of_many_agents_cost_no_more_than_their_lines():
    # Were rules copied to each agent of their group, this would be 10^8 copies.
    agents = [f"User-agent: bot{n}" for n in range(10_000)]
    rules = [f"Disallow: /{n}/" for n in range(10_000)]
    robots = "\n".join([*agents, "User-agent: crawler", *rules])
    assert not allowed(robots, "/9999/")
    assert allowed(robots, "/10000/")
