"""All cases, of every kind of hostility."""

from importlib import import_module

from tests.hostile.case import Case

# A file of cases for each kind.
KINDS = (
    "codings",
    "dns",
    "framing",
    "private",
    "redirects",
    "robots",
    "tcp",
    "traps",
)
CASES: list[Case] = [
    case for kind in KINDS for case in import_module(f"tests.hostile.{kind}").CASES
]
