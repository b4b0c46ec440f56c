"""A hostile web on loopback: raw-socket servers, and what a crawl must make of each of them.

`rows` are written one a case, in a file for each kind of hostility:

    from tests.hostile.case import Case
    from tests.hostile.server import head, raw

    CASES = (
        Case("close with no bytes", raw(), "failed connection", tries=2),
        Case("a body cut short", raw(head(length=9), b"short"), "failed truncated", tries=2),
        Case("endless body", endless, "failed too_large", settings={"max_body": 100_000}),
    )

A case is one crawl (`crawler.run`, one retry, no robots.txt) of a server that *plays* what the
case says; the row of the start URL must end as the case says. `test_hostile.py` runs them all,
one test a case; `test_all_at_once.py` has one `crawler run` meet them all at once.
"""
