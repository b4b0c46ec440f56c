"""What a URL is, when two are the same, and whose it is: the WHATWG URL standard, by ada.

Only `join` and `canonical` parse. Everything else takes what `canonical` returned and may
therefore cut strings: a canonical http(s) URL is `scheme://host[:port]/...`, all ASCII, in
lower case up to the path, without userinfo and without a default port. Three words:

    host      `example.com`, `example.com:8080`, `[::1]:8080`: the unit of politeness
    origin    `https://example.com:8080`: whose robots.txt counts
    site      `example.com` for `shop.example.com:8080`: what a crawl stays on by default
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address
from typing import Any, Self

from ada_url import join_url, normalize_url
from publicsuffixlist import PublicSuffixList

# Ports of services that take a request for something else: mail, IRC, X11 ... No browser asks
# there (Fetch standard, 2.9 "Port blocking").
BAD_PORTS = frozenset(
    {
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161),
        *(179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563),
        *(587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060),
        *(5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    }
)

_USERINFO = re.compile(r"^([a-z][a-z0-9+.\-]*://)[^/?]*@")
# The same in text that nobody has parsed yet: other slashes, no scheme, upper case.
_RAW_USERINFO = re.compile(
    r"^([\x00-\x20]*(?:https?:[/\\]*|(?:[a-z][a-z0-9+.\-]*:)?[/\\]{2,}))[^/\\?#]*@", re.IGNORECASE
)
# What is in no host, nor in `host:port`, but would be a part of a URL around it.
_NO_PLACE = re.compile(r"[\s/\\?#@%]|:$")
_TAB_OR_NEWLINE = re.compile(r"[\t\r\n]")
# An escape with a small letter: others are as they should be, and a url may have hundreds of them.
_SMALL_ESCAPE = re.compile(r"%(?:[a-f][0-9A-Fa-f]|[0-9A-F][a-f])")
_SHOWN = 200  # characters of a broken URL that go into a message
# Longer urls are not remembered: as many as may be known would take 65 MB at this length.
LONGEST_KNOWN = 512
_REMEMBERED = 10_000  # hosts whose site, or place in a scope, is kept


def join(base: str, href: str) -> str:
    """Return `href` made absolute against `base`, as a browser does, fragment and all.

    Raises `ValueError` when the two make no URL.
    """
    return _parsed(href, base)


def canonical(url: str, base: str | None = None) -> str:
    """Return the absolute URL that stands for `url` in the crawl.

    It is parsed by the WHATWG standard (against `base`, when there is one) and loses its
    fragment, which no server sees, and its userinfo, which belongs into no file. The query
    stays as it is: its order may matter to the server. Raises `ValueError` when it is no URL.
    """
    if base is None and url in _made:
        return url
    href = _parsed(url, base)
    fragment = href.find("#")  # in a parsed URL the first `#` begins the fragment
    if fragment >= 0:
        href = href[:fragment]
    if "@" in href:  # mostly a path such as /@name
        href = _USERINFO.sub(r"\1", href)
    return noted(href)


def noted(url: str) -> str:
    """Return a URL that is canonical by the way it was made, and remember that it is."""
    if len(_made) >= _MADE_LATELY:
        _made.clear()
    _made.add(url)
    return url


# Canonical URLs that were made a moment ago, and will soon be asked for again: by who records
# the link, by who fetches it. To parse one takes 3 µs.
_MADE_LATELY = 4096
_made: set[str] = set()


def is_web(url: str) -> bool:
    """Tell whether a canonical URL is http or https."""
    return url.startswith(("http://", "https://"))


def host_of(url: str) -> str:
    """Return the host of a canonical http(s) URL, with its port unless that is the default."""
    return url.split("/", 3)[2]


def origin_of(url: str) -> str:
    """Return `scheme://host[:port]` of a canonical http(s) URL."""
    return url[: url.index("/", 8)]  # 8: past `https://`, or past `http://` and one character


def name_of(host: str) -> str:
    """Return a host (as `host_of` gives it) without its port."""
    return _name_and_port(host)[0]


def path_of(url: str) -> str:
    """Return the path of a canonical http(s) URL: at least `/`, and without the query."""
    return url[url.index("/", 8) :].partition("?")[0]


def address_of(url: str) -> tuple[str, int]:
    """Return host name and port of a canonical http(s) URL, as a socket wants them.

    The port is the effective one, and an IPv6 address has no brackets.
    """
    name, port = _name_and_port(host_of(url))
    if port:
        return name.strip("[]"), int(port)
    return name.strip("[]"), 443 if url.startswith("https:") else 80


def place_of(text: str) -> tuple[str, int | None]:
    """Return the host and port that somebody names: "host:port", "host", or the URL of either.

    As `address_of` gives them; no port stands for all of them. Raises `ValueError` when it is
    none of these: a network, a pattern, or no host at all.
    """
    with suppress(ValueError):
        address = IPv6Address(text.removeprefix("[").removesuffix("]"))
        if address.scope_id:
            return str(address), None
        # As a URL has it: Python 3.13 writes an IPv4 address within it with dots.
        return address_of(canonical(f"http://[{address}]/"))[0], None
    whole = "://" in text
    if whole or not _NO_PLACE.search(text):
        with suppress(ValueError):
            url = canonical(text if whole else f"http://{text}/")
            if is_web(url) and text.isprintable() and "*" not in host_of(url):
                host, port = address_of(url)
                return host, port if whole or ":" in text else None
    raise ValueError(f'{text!r} is not a host: name it as "host:port" or "host"')


@lru_cache(maxsize=_REMEMBERED)
def has_bad_port(host: str) -> bool:
    """Tell whether a host, as `host_of` gives it, is at a port that no page is fetched from."""
    port = _name_and_port(host)[1]
    return bool(port) and int(port) in BAD_PORTS


@lru_cache(maxsize=_REMEMBERED)
def site_of(host: str) -> str:
    """Return the site that a host (as `host_of` gives it) belongs to.

    That is the registrable domain by the public suffix list, without the port. The private
    section counts: `alice.github.io` and `bob.github.io` belong to two people, and a crawl of
    one has no business on the other. What has no registrable domain (an IP address, a single
    label such as `localhost`, a public suffix itself) is its own site, port included.
    """
    name, _ = _name_and_port(host)
    return host if is_address(name) else _registrable(name) or host


def is_address(name: str) -> bool:
    """Tell whether the host name of a canonical URL is an IP address."""
    return name.startswith("[") or name.rpartition(".")[2].isdigit()


def is_public_suffix(name: str) -> bool:
    """Tell whether anybody can register below a name: `com`, `co.uk`, `github.io`.

    So is every single label, `localhost` too, and what is written with stray dots.
    """
    labels = name.strip(".")
    return not labels or ".." in labels or _suffixes().is_public(_in_unicode(labels))


def with_upper_escapes(text: str) -> str:
    """Return a text with its percent escapes in upper case (RFC 3986, 6.2.2.1)."""
    return _SMALL_ESCAPE.sub(lambda escape: escape[0].upper(), text) if "%" in text else text


def fingerprint(method: str, url: str, body: bytes | None = None) -> int:
    """Return the 64-bit identity of a request, signed as SQLite's INTEGER is.

    `url` is canonical. Two URLs that differ only in the case of their percent escapes have one
    identity (RFC 3986, 6.2.2.1), though each is fetched as it was written; no body and an
    empty one are the same. The value never changes: it is kept in users' files.
    """
    url = with_upper_escapes(url)
    # The lengths in front make it plain where one part ends and the next begins.
    data = f"{len(method)},{len(url)};{method}{url}".encode()
    if body:
        data += body
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


def redact(url: str) -> str:
    """Return `url` for a log line: without userinfo, on one line; any text is taken."""
    return _RAW_USERINFO.sub(r"\1", _TAB_OR_NEWLINE.sub("", url))


class Scope:
    """Which hosts a crawl may visit: `allowed_domains`.

    `books.example` admits itself and its subdomains, on any port; `127.0.0.1:8000` admits that
    port only; an entry that is a URL is taken by its host; `*` admits everything. Case does not
    matter, and neither does whether an international name is in Unicode or in punycode.
    Raises `ValueError` for an entry that cannot be a domain.
    """

    __slots__ = ("_domains", "_everything", "_known", "_sites", "may_grow")

    def __init__(self, domains: Iterable[str]) -> None:
        entries = [_entry(domain) for domain in domains]
        self._everything = "*" in entries
        self._domains = frozenset(key for e in entries if e != "*" for key in _scope_keys(e))
        self._sites: frozenset[str] = frozenset()
        self._known: dict[str, bool] = {}
        self.may_grow = False  # whether further sites may come to it

    @classmethod
    def around(cls, hosts: Iterable[str], *, may_grow: bool = False) -> Self:
        """Return the scope that is exactly the sites of `hosts`: the default of a crawl."""
        return cls(()).grown(hosts, may_grow=may_grow)

    def grown(self, hosts: Iterable[str], *, may_grow: bool) -> Self:
        """Return a scope of the sites of this one, and those of `hosts`."""
        scope = type(self)(())
        scope._sites = self._sites.union(map(site_of, hosts))
        scope.may_grow = may_grow
        return scope

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scope) and self._says == other._says

    def __hash__(self) -> int:
        return hash(self._says)

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """Send another process what is admitted, not what was asked so far."""
        names = ("_everything", "_domains", "_sites", "may_grow")
        return None, {**dict(zip(names, self._says, strict=True)), "_known": {}}

    @property
    def _says(self) -> tuple[bool, frozenset[str], frozenset[str], bool]:
        return self._everything, self._domains, self._sites, self.may_grow

    def admits(self, host: str) -> bool:
        """Tell whether `host`, as `host_of` gives it, lies within."""
        known = self._known.get(host)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[host] = self._decide(host)
        return known

    def _decide(self, host: str) -> bool:
        if self._everything or host in self._sites:
            return True
        name, port = _name_and_port(host)
        # Its site is what it ends with; only then is it worth a look into the list.
        if any(map(name.endswith, self._sites)) and site_of(host) in self._sites:
            return True
        name = name.removesuffix(".")
        while name:
            if name in self._domains or f"{name}:{port}" in self._domains:
                return True
            name = name.partition(".")[2]
        return False


def _entry(domain: object) -> str:
    if not isinstance(domain, str):
        raise ValueError(f"not a domain: {domain!r}")
    return domain.strip()


def _scope_keys(entry: str) -> list[str]:
    """Return what `Scope` looks up for an entry: `name`, or `name:port` (`name:` for default)."""
    text = entry
    if "://" not in entry:
        text = text.removeprefix("*").removeprefix(".")
        if text.count(":") > 1 and "[" not in text:
            text = f"[{text}]"  # a bare IPv6 address
        text = f"http://{text}"
    try:
        host = host_of(canonical(text))
    except (ValueError, IndexError):
        raise ValueError(f"not a domain: {entry[:_SHOWN]!r}") from None
    name, port = _name_and_port(host)
    name = name.removesuffix(".")
    if port == "443" or text.endswith(":80"):
        # A host shows no default port, and does not say whether it is that of http or https.
        return [f"{name}:", f"{name}:{port or 80}"]
    return [f"{name}:{port}" if port else name]


def _parsed(url: str, base: str | None) -> str:
    """Return `url` as the standard alone serialises it."""
    try:
        return normalize_url(url) if base is None else join_url(base, url)
    except ValueError:
        pass
    # The standard reads scalar values: a lone surrogate, which UTF-8 cannot hold, is U+FFFD.
    scalar = url.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if scalar != url:
        return _parsed(scalar, base)
    shown = repr(redact(url)[:_SHOWN])
    raise ValueError(f"not a URL: {shown}" if base else f"not an absolute URL: {shown}")


def _name_and_port(host: str) -> tuple[str, str]:
    """Split a host; the port is empty when it is the default."""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port[-1:] != "]" else (host, "")


def _registrable(name: str) -> str | None:
    name = name.removesuffix(".")
    found = _suffixes().privatesuffix(_in_unicode(name))
    return None if found is None else ".".join(name.split(".")[-found.count(".") - 1 :])


def _in_unicode(name: str) -> str:
    """Return a host name as the list has it."""
    if "xn--" in name:
        with suppress(UnicodeError):  # what no registry would take is as good as any other name
            return name.encode().decode("idna")
    return name


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    # Read when first asked for: it takes 15 ms (70 with every name in punycode, too) and 1.2 MB,
    # and a crawl by IP needs none of it.
    return PublicSuffixList(accept_encoded_idn=False)
