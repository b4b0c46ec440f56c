"""All cases, of every kind of hostility."""

from importlib import import_module

from tests.hostile.case import Case

# A file of cases for each kind.
KINDS = (
    "codings",
    "cookies",
    "dns",
    "framing",
    "html",
    "manners",
    "private",
    "redirects",
    "robots",
    "tcp",
    "text",
)
CASES: list[Case] = [
    case for kind in KINDS for case in import_module(f"tests.hostile.{kind}").CASES
]
