"""What is true of any jar."""

from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.cookies import MOST_OF_SITE, Cookies
from tests.crawler.cookie_jar import Clock, File, sent

HOSTS = ("shop.example", "www.shop.example", "a.www.shop.example", "b.test", "127.0.0.1")
COOKIE = st.builds(
    "{}={}{}{}{}{}".format,
    st.sampled_from(["a", "b", "__Host-c", ""]),
    st.integers(0, 9),
    st.sampled_from(["", *(f"; Domain={host}" for host in (*HOSTS, "example", ".test"))]),
    st.sampled_from(["", "; Path=/", "; Path=/x", "; Path=/x/y"]),
    st.sampled_from(["", "; Max-Age=5", "; Max-Age=0", "; Max-Age=100"]),
    st.sampled_from(["", "; Secure"]),
)
PLACE = st.builds(
    "{}://{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(HOSTS),
    st.sampled_from(["/", "/x", "/x/y/z"]),
)
EVENT = st.tuples(
    st.sampled_from(["", "2"]), PLACE, st.lists(COOKIE, max_size=4), st.integers(0, 9)
)


@given(st.lists(EVENT, max_size=12), st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_jar_that_goes_through_the_file_is_the_same_jar(
    events: list[tuple[str, str, list[str], int]], restarts: list[bool]
) -> None:
    clock, file = Clock(), File()
    one, other = Cookies(clock=clock), Cookies(clock=clock)
    for (name, url, headers, seconds), restart in zip(events, restarts, strict=False):
        clock.now += seconds
        for cookies in (one, other):
            cookies.receive(name, url, headers)
        file.take(other.take_news())
        if restart:
            other = Cookies(file, clock=clock)
            file.take(other.take_news())
        for scheme in ("http", "https"):
            for host in HOSTS:
                for path in ("/", "/x/y"):
                    place = f"{scheme}://{host}{path}"
                    assert sent(one, place, name=name) == sent(other, place, name=name)


@given(st.lists(st.tuples(PLACE, COOKIE), max_size=20), PLACE)
def test_no_host_hears_of_a_cookie_that_is_not_its_own(
    events: list[tuple[str, str]], asked: str
) -> None:
    """Each cookie's value is the place it was set at: so the one who is told can be judged."""
    cookies = Cookies(clock=Clock())
    for number, (place, text) in enumerate(events):
        name, _, rest = text.partition("=")
        cookies.receive("", place, [f"{name}=from{number}{rest[1:]}"])
    host = asked.split("/")[2]
    for part in filter(None, (sent(cookies, asked) or "").split("; ")):
        place, text = events[int(part.rpartition("from")[2])]
        setter = place.split("/")[2]
        if "Domain=" in text and host != setter:
            domain = text.partition("Domain=")[2].partition(";")[0].lstrip(".")
            assert host == domain or host.endswith("." + domain)
            assert setter == domain or setter.endswith("." + domain)
            assert "." in domain
        else:
            assert host == setter
        assert asked.startswith("https:") or "Secure" not in text


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 120)), max_size=60))
def test_no_flood_passes_the_caps(floods: list[tuple[int, int]]) -> None:
    cookies, file = Cookies(clock=Clock()), File()
    for number, (site, many) in enumerate(floods):
        headers = [f"n{number}-{one}=1; Domain=site{site}.test" for one in range(many)]
        cookies.receive("", f"http://{number}.site{site}.test/", headers)
        file.take(cookies.take_news())
        for each in range(4):
            of_site = [one for one in file.kept.values() if one.domain == f"site{each}.test"]
            assert len(of_site) <= MOST_OF_SITE
