"""Parts of a url that do not say which page it is: what the user names, and session ids.

They are taken out of a link before it is known by its url, and before it is fetched. What is
left keeps its order and its escapes, to the letter.
"""

import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote_plus

# Names that mean a session whatever their value; and others that do when it looks like an id.
_SESSION = (
    r"jsessionid|phpsessid|aspsessionid[a-z]{8}|asp\.net_sessionid|cfid|cftoken"
    r"|oscsid|zenid|xtcsid|bv_sessionid"
)
_PERHAPS = r"sid|sessid|session|sessionid|session_id|session-id|sess"
# 32 hexadecimal digits, or as many letters and digits, as PHP and most others make them.
_ID = r"(?=[a-z,-]*[0-9])[0-9a-z,-]{24,}|[0-9a-f]{16,}"
# These three are text, for `re` to compile them when they are needed: at each start it takes 3 ms.
# Of forums; elsewhere `s` is what was searched for, or what signs the url of an image.
_FORUM_PAIR = r"(?i)s=[0-9a-f]{32}"
_SESSION_PAIR = rf"(?is)(?:{_SESSION})=.*|(?:{_PERHAPS})=(?:{_ID})"
# Java's `;jsessionid=` behind a path, and ASP.NET's `/(S(...))` in it.
_SESSION_IN_PATH = (
    rf"(?i);(?:{_SESSION})=[^;/?]*|;(?:{_PERHAPS})=(?:{_ID})(?=[;/?]|$)"
    r"|/\([a-z]\([0-9a-z]{24}\)\)(?=/)"
)
# A query without any of these has no session id, but where a name is escaped.
_SESSION_HINTS = ("sess", "sid", "cfid", "cftoken", "zenid", "&s=")
# In a query with a `&` before it. At no other character does the search begin, and it goes no
# further than to the next: else a few thousand of what it begins at would take seconds.
_ESCAPED_NAME = re.compile(r"&[^=&]*[%+]")

Clean = Callable[[str], str]


def cleaner(names: Sequence[str], *, sessions: bool) -> Clean | None:
    """Return what takes parameters out of a canonical url; None when there are none to take.

    `names` are those of query parameters, to the letter, with `*` for any characters.
    `sessions`: the well-known session ids go too, in the query and in the path.
    """
    if not (names or sessions):
        return None
    named = "|".join(re.escape(name).replace(r"\*", "[^=&]*") for name in names)
    hint = re.compile(rf"&(?:{named})(?:[=&]|$)") if named else None
    strips = re.compile(rf"(?:{named})(?:=.*)?", re.DOTALL) if named else None

    def goes(pair: str, path: str) -> bool:
        name, equals, value = pair.partition("=")
        if "%" in name or "+" in name:
            pair = f"{unquote_plus(name)}{equals}{value}"
        if strips is not None and strips.fullmatch(pair):
            return True
        return sessions and (
            re.fullmatch(_SESSION_PAIR, pair) is not None
            or (path.endswith(".php") and re.fullmatch(_FORUM_PAIR, pair) is not None)
        )

    def may_go(query: str) -> bool:
        return (
            _ESCAPED_NAME.search(query) is not None
            or (hint is not None and hint.search(query) is not None)
            or (sessions and _may_have_session(query))
        )

    def clean(url: str) -> str:
        if not ("?" in url or ";" in url or "(" in url):
            return url
        if sessions and (";" in url or "(" in url):
            path, mark, query = url.partition("?")
            url = f"{re.sub(_SESSION_IN_PATH, '', path)}{mark}{query}"
        path, mark, query = url.partition("?")
        if not (mark and may_go(f"&{query}")):
            return url
        pairs = query.split("&")
        kept = [pair for pair in pairs if not goes(pair, path)]
        if len(kept) == len(pairs):
            return url
        return f"{path}?{'&'.join(kept)}" if kept else path

    return clean


def _may_have_session(query: str) -> bool:
    lower = query.lower()
    return any(word in lower for word in _SESSION_HINTS)
