"""What came of all runs, as tables: one per site to read at once, two for the README."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.compare.field import BARE, CRAWLER, Contestant
from benchmarks.compare.measuring import Run

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


@dataclass(frozen=True, slots=True)
class Result:
    """The runs of one contestant on one site of so many pages."""

    pages: int
    runs: Sequence[Run]

    @property
    def rate(self) -> float:
        """Pages per second of crawling: the median."""
        return median(self.pages / run.crawling for run in self.runs)

    @property
    def rates(self) -> tuple[float, float]:
        """The slowest and the fastest."""
        found = [self.pages / run.crawling for run in self.runs]
        return min(found), max(found)

    @property
    def seconds(self) -> float:
        """Seconds of the whole process: the median."""
        return median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        """CPU milliseconds per page, of the whole process: the median."""
        return median(run.cpu / self.pages * 1000 for run in self.runs)

    @property
    def megabytes(self) -> float:
        """Resident at most: the median."""
        return median(run.megabytes for run in self.runs)


# The results on one site, by contestant.
Results = Mapping[Contestant, Result]


def site_table(title: str, results: Results) -> str:
    """Return the table of one site, with all that was measured."""
    bare = results.get(BARE)
    rows = [
        [
            title,
            "rounds",
            "pages/s",
            "from - to",
            "x bare",
            "whole s",
            "x bare",
            "CPU ms/page",
            "x bare",
            "peak MB",
        ]
    ]
    for contestant, result in results.items():
        slowest, fastest = result.rates
        rows.append(
            [
                contestant.title,
                str(len(result.runs)),
                f"{result.rate:,.0f}",
                f"{slowest:,.0f} - {fastest:,.0f}",
                _ratio(result.rate, bare.rate if bare else None),
                f"{result.seconds:.2f}",
                _ratio(bare.seconds if bare else None, result.seconds),
                f"{result.cpu:.2f}",
                _ratio(result.cpu, bare.cpu if bare else None),
                f"{result.megabytes:,.0f}",
            ]
        )
    return _markdown(rows)


def readme_tables(results: Mapping[str, Results], about: Sequence[str]) -> str:
    """Return what the README shows: pages/s of all, how we compare, and what was measured."""
    everyone = list(dict.fromkeys(one for found in results.values() for one in found))
    rates = [["pages/s", *(contestant.title for contestant in everyone)]]
    for title, found in results.items():
        rates.append([title, *(_rate(found.get(contestant)) for contestant in everyone)])
    others = [contestant for contestant in everyone if contestant is not CRAWLER]
    ours = [
        [
            "crawler",
            *(f"x {contestant.title}" for contestant in others),
            "x bare loop, with start-up",
            "CPU/page, x bare loop",
            "peak MB",
            "rounds",
        ]
    ]
    for title, found in results.items():
        mine = found.get(CRAWLER)
        if mine is None:
            continue
        bare = found.get(BARE)
        ours.append(
            [
                title,
                *(
                    _ratio(mine.rate, found[other].rate if other in found else None)
                    for other in others
                ),
                _ratio(bare.seconds if bare else None, mine.seconds),
                _ratio(mine.cpu, bare.cpu if bare else None),
                f"{mine.megabytes:,.0f}",
                str(len(mine.runs)),
            ]
        )
    return "\n\n".join([_markdown(rates), _markdown(ours), " ".join(about)])


def write_between(path: Path, text: str) -> None:
    """Put the text between the two marks of a file.

    Raises `ValueError` when the file has no such marks, each once and in order.
    """
    whole = path.read_text()
    before, found, rest = whole.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended or END in before or BEGIN in rest:
        raise ValueError(f"{path} needs the marks {BEGIN} and {END}, once each")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _rate(result: Result | None) -> str:
    return f"{result.rate:,.0f}" if result else ""


def _ratio(ours: float | None, theirs: float | None) -> str:
    return f"{ours / theirs:.2f}" if ours and theirs else ""


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    rule = [f"{'-' * (width + 1)}{':' if place else '-'}" for place, width in enumerate(widths)]
    lines.insert(1, f"|{'|'.join(rule)}|")
    return "\n".join(lines)
