"""What few runs have: while a run is known to have none of it, no commit need look for it.

Each question that the database thread asks the file has it ask for the interpreter's lock as well,
and the event loop waits for that (see `bulk`). Only who began a run knows what is not in it; who
goes on with one looks each time.
"""

from collections.abc import Iterable

# What was skipped because of where it was found, or of its url, is taken up after all when the
# reason is gone: a shorter way leads there, a link that may be followed, or a start request
# names it. Of a url that was too long the row has only the beginning.
LIFTED = ("max_depth", "nofollow", "offsite", "private_address", "trap", "url_too_long")
# A crawl may skip links to a million hosts: with so many it is not known any more which.
_MOST_HOSTS = 4096


class Rarities:
    """Whether a run may have aliases, and on which hosts what it skipped may be taken up.

    What is noted stays, also when the transaction that it was noted for is undone.
    """

    def __init__(self, *, new: bool) -> None:
        self.aliases = not new
        self._hosts: set[str] | None = set() if new else None

    def skipped(self, host: str, reason: str | None) -> None:
        """Note that a request is skipped for this reason."""
        if self._hosts is not None and reason in LIFTED:
            self._hosts.add(host)
            if len(self._hosts) > _MOST_HOSTS:
                self._hosts = None

    def may_lift(self, hosts: Iterable[str]) -> bool:
        """Say whether one of the hosts may have what was skipped and may be taken up."""
        return self._hosts is None or not self._hosts.isdisjoint(hosts)


# Of a run that somebody else began.
UNKNOWN = Rarities(new=False)
