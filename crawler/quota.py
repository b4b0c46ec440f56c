"""How many pages of a host a run has had: what `max_pages_per_host` is held to."""

from collections import Counter
from collections.abc import Mapping


class Quota:
    """Counts pages by host, the fetched ones and those being fetched; no limit when it is None.

    It is exact: a page is handed out only when it cannot be one too many, however those in
    flight end. One that is retried or skipped gives its place back.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._had: Counter[str] = Counter()
        self._flying: Counter[str] = Counter()

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._limit is not None

    def remember(self, pages: Mapping[str, int]) -> None:
        """Take up the pages that earlier processes fetched."""
        self._had.update(pages)

    def spent(self, host: str) -> bool:
        """Tell whether the host has had its pages: what is left of it is to be skipped."""
        return self._limit is not None and self._had[host] >= self._limit

    def waits(self, host: str) -> bool:
        """Tell whether the host's next page depends on how those in flight end."""
        if self._limit is None:
            return False
        had = self._had[host]
        return had < self._limit <= had + self._flying[host]

    def handed_out(self, host: str) -> None:
        """Note that a page is being fetched."""
        if self._limit is not None:
            self._flying[host] += 1

    def settled(self, host: str, *, counts: bool) -> None:
        """Note that a page handed out has ended; `counts` unless it was retried or skipped."""
        if self._limit is not None:
            self._flying[host] -= 1
            self._had[host] += counts
            if not self._flying[host]:
                del self._flying[host]
