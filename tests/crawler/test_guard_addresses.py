"""Which addresses and ports are open: the public's, those a start URL names, allow_private's."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from

from crawler.errors import DropRequest
from crawler.guard import Guard, is_public
from crawler.url import BAD_PORTS, canonical, has_bad_port

PRIVATE = {
    "this network": ["0.0.0.0", "0.0.0.1", "0.255.255.255"],
    "private": ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
    "loopback": ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1"],
    "link-local": ["169.254.0.1", "169.254.255.255", "fe80::1", "fe80::1%eth0", "febf::1"],
    "metadata": [
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # containers at one of them
        "100.100.100.200",  # another
        "192.0.0.192",  # yet another
        "fd00:ec2::254",
        "fd20:ce::254",
    ],
    "carrier NAT": ["100.64.0.1", "100.127.255.255"],
    "protocol assignments": [
        "192.0.0.1",
        "192.0.0.8",
        "192.0.0.170",
        "2001:1::1",
        "2001:3::1",
        "2001:4:112::1",
        "2001:20::1",
        "2001:1ff:ffff::1",
    ],
    "documentation": [
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "2001:db8::1",
        "3fff::1",
        "3fff:fff::1",
    ],
    "benchmarks": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "::2"],
    "unspecified": ["::"],
    "unique local": ["fc00::1", "fd12:3456:789a::1"],
    "site-local": ["fec0::1", "feff::1"],
    "discard-only": ["100::1"],
    "IPv4 within IPv6": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"],
    "IPv4-compatible": ["::127.0.0.1", "::a00:1"],
    "IPv4 behind NAT64": ["64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8"],
    "IPv4 in 6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1"],
    "ISATAP": ["2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:127.0.0.1", "fd00::5efe:8.8.8.8"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001::1"],
    "segment routing": ["5f00::1"],
}
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:2800:220:1:248:1893:25c8:1946",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize(
    "address", [address for addresses in PRIVATE.values() for address in addresses]
)
def test_an_address_that_is_not_the_publics_is_refused(address: str) -> None:
    assert not is_public(address)
    assert not Guard().admits("name.example", 80, address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_admitted(address: str) -> None:
    assert is_public(address)
    assert Guard().admits("name.example", 80, address)


@given(integers(0, 2**32 - 1))
def test_an_ipv4_address_is_as_public_within_ipv6_as_by_itself(number: int) -> None:
    public = is_public(str(IPv4Address(number)))
    for around in (0xFFFF << 32, 0x64FF9B << 96, 0x2002 << 112):
        within = number << 80 if around >> 112 == 0x2002 else number
        assert is_public(str(IPv6Address(around | within))) is public
    # As the rest of an address elsewhere it can only close, never open.
    isatap = 0x5EFE << 32 | number
    assert is_public(str(IPv6Address(0x2606_4700 << 96 | isatap))) is public
    assert not is_public(str(IPv6Address(0xFD << 120 | isatap)))


@given(integers(0, 2**32 - 1), sampled_from(["{0}", "0x{0:x}", "0{0:o}", "{1}.", "{2}"]))
def test_an_address_is_refused_in_whatever_form_it_is_written(number: int, form: str) -> None:
    plain = str(IPv4Address(number))
    wide = plain.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"})
    url = canonical(f"http://{form.format(number, plain, wide)}/")
    assert refused(Guard(), url) is not is_public(plain)


# ── literal addresses in urls ───────────────────────────────────────────────────────────────


def refused(guard: Guard, url: str) -> bool:
    try:
        guard.check(url)
    except DropRequest as drop:
        return drop.reason == "private_address"
    return False


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:8000/x",
        "https://10.0.0.1/",
        "http://[::1]/",
        "http://[::1]:8080/",
        "http://[::ffff:7f00:1]/",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_a_url_with_a_private_address_is_dropped(url: str) -> None:
    assert refused(Guard(), url)


@pytest.mark.parametrize(
    "url", ["http://8.8.8.8/", "https://[2606:2800:220:1::1]/", "http://localhost/", "http://a/"]
)
def test_public_addresses_and_names_pass_the_look_at_the_url(url: str) -> None:
    assert not refused(Guard(), url)


# ── what a start URL names ──────────────────────────────────────────────────────────────────


def test_a_start_url_opens_its_host_and_port_only() -> None:
    guard = Guard()
    guard.name("http://127.0.0.1:8000/start")
    assert not refused(guard, "http://127.0.0.1:8000/other")
    assert refused(guard, "http://127.0.0.1:8001/")
    assert refused(guard, "http://127.0.0.1/")
    assert refused(guard, "http://127.0.0.2:8000/")


def test_a_start_url_without_a_port_opens_the_default_one() -> None:
    guard = Guard()
    guard.name("https://10.0.0.1/")
    assert not refused(guard, "https://10.0.0.1/x")
    assert refused(guard, "http://10.0.0.1/x")
    assert not refused(guard, "http://10.0.0.1:443/x")


def test_a_name_that_a_start_url_gives_may_resolve_to_anything() -> None:
    guard = Guard()
    guard.name("http://intranet.example/")
    assert guard.admits("intranet.example", 80, "10.0.0.1")
    assert not guard.admits("intranet.example", 8080, "10.0.0.1")
    assert not guard.admits("other.example", 80, "10.0.0.1")


# ── allow_private ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("entry", "opens", "keeps_shut"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8001/"),
        ("127.0.0.1", "http://127.0.0.1:1234/", "http://127.0.0.2/"),
        ("[::1]:8000", "http://[::1]:8000/", "http://[::1]:8001/"),
        ("[::1]", "http://[::1]:8000/", "http://[::2]/"),
        ("::1", "http://[::1]:8000/", "http://[::2]/"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/x", "http://127.0.0.1/"),
        ("https://10.0.0.1/path", "https://10.0.0.1/", "http://10.0.0.1/"),
        ("127.1", "http://127.0.0.1/", "http://127.0.0.2/"),
        ("0:0:0:0:0:0:0:1", "http://[::1]/", "http://[::2]/"),
        ("127.0.0.1:80", "http://127.0.0.1/", "http://127.0.0.1:81/"),
        ("::ffff:127.0.0.1", "http://[::ffff:7f00:1]/", "http://[::ffff:7f00:2]/"),
        ("[::ffff:7f00:1]", "http://[::ffff:7f00:1]/", "http://[::ffff:7f00:2]/"),
    ],
)
def test_allow_private_opens_what_it_names(entry: str, opens: str, keeps_shut: str) -> None:
    guard = Guard([entry])
    assert not refused(guard, opens)
    assert refused(guard, keeps_shut)


def test_allow_private_may_name_a_host_in_any_case() -> None:
    guard = Guard(["Intranet.Example", "other.example:8080", "bücher.example"])
    assert guard.admits("xn--bcher-kva.example", 80, "10.0.0.1")
    assert guard.admits("intranet.example", 80, "10.0.0.1")
    assert guard.admits("intranet.example", 9999, "::1")
    assert guard.admits("other.example", 8080, "10.0.0.1")
    assert not guard.admits("other.example", 80, "10.0.0.1")


def test_an_address_in_allow_private_is_open_to_every_name_that_resolves_to_it() -> None:
    guard = Guard(["10.0.0.1"])
    assert guard.admits("any.example", 80, "10.0.0.1")
    assert not guard.admits("any.example", 80, "10.0.0.2")


def test_a_star_opens_everything() -> None:
    guard = Guard(["*"])
    for addresses in PRIVATE.values():
        assert all(guard.admits("x.example", 1, address) for address in addresses)


# ── ports ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("port", sorted(BAD_PORTS))
def test_a_port_that_is_another_services_is_refused_whoever_names_it(port: int) -> None:
    guard = Guard(["*"])
    url = f"http://books.example:{port}/"
    guard.name(url)
    with pytest.raises(DropRequest, match="bad_port"):
        guard.check(url)
    assert has_bad_port(f"books.example:{port}")
    assert has_bad_port(f"[::1]:{port}")


@pytest.mark.parametrize("host", ["books.example", "[::1]", "[::25]", "x:8080", "x:81", "[::]:443"])
def test_other_ports_are_not(host: str) -> None:
    assert not has_bad_port(host)
    Guard(["*"]).check(f"http://{host}/")


def test_the_bad_ports_are_those_of_the_fetch_standard() -> None:
    # 2.9 "Port blocking": how many there are, and a checksum of them all.
    assert (len(BAD_PORTS), sum(BAD_PORTS)) == (83, 115_595)
