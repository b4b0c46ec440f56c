"""Redirects: where they may lead, what goes along, and that no page is visited twice."""

from tests.hostile.case import Case
from tests.hostile.server import redirect

CASES = (Case("redirect to itself for ever", redirect("/"), "failed too_many_redirects"),)
