"""`crawler selftest`: the proof that a crawl survives being killed, run on this machine."""

import time

import click

from crawler.cli import show
from crawler.cli.interrupt import interruptible
from crawler.cli.logs import notice
from crawler.cli.options import LogOptions, log_options
from crawler.selftest.proof import Round, prove

_COLUMNS = (
    "round",
    "kills",
    "how",
    "pages",
    "items",
    "lost",
    "duplicated",
    "wrong states",
    "damaged",
    "excess fetches",
    "too soon",
    "seconds",
)


@click.command()
@click.option(
    "--kills", type=click.IntRange(1), default=40, show_default=True, help="In all rounds."
)
@click.option(
    "--pages", type=click.IntRange(10), default=150, show_default=True, help="Of each site."
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="The same seed makes the same plan."
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Of each crawl; with more than one, its children are killed, too.",
)
@log_options
@click.pass_obj
def selftest(options: LogOptions, kills: int, pages: int, seed: int, processes: int) -> int:
    """Kill crawls with SIGKILL again and again, and check that nothing is lost or twice.

    Each round crawls a synthetic site on loopback, of which every item, link and state is known
    beforehand. The crawl is killed at random moments and at chosen points of a commit, and gone
    on with each time. Exit status 1 says that something was wrong in the end.

    \b
    Example:
      crawler selftest --kills 200 --pages 400 --seed 7
    """
    started = time.monotonic()
    with interruptible():  # it has files, and processes, to take away
        rounds = prove(
            kills,
            pages,
            seed,
            processes=processes,
            report=lambda done: notice(_told(done), options),
        )
    out = show.console()
    out.print(show.table(_COLUMNS, [_row(done) for done in rounds], right=set(_COLUMNS) - {"how"}))
    wrong = [done.number for done in rounds if not done.verdict.right]
    show.line(
        out,
        f"{sum(done.kills.total() for done in rounds)} kills, "
        f"{sum(done.verdict.pages for done in rounds):,} pages, "
        f"{sum(done.verdict.items for done in rounds):,} items: "
        f"{sum(done.verdict.lost for done in rounds)} lost, "
        f"{sum(done.verdict.duplicated for done in rounds)} duplicated, "
        f"{sum(done.verdict.wrong_states for done in rounds)} in a wrong state, "
        f"in {time.monotonic() - started:.0f} s",
    )
    if wrong:
        show.line(out, f"WRONG in round {', '.join(map(str, wrong))} (seed {seed})")
    return 1 if wrong else 0


def _told(done: Round) -> str:
    verdict = "right" if done.verdict.right else f"WRONG: {done.verdict}"
    return f"round {done.number}: {done.kills.total()} kills, {verdict}"


def _row(done: Round) -> tuple[str, ...]:
    found = done.verdict
    how = " ".join(f"{name}:{number}" for name, number in sorted(done.kills.items()))
    numbers = (
        found.pages,
        found.items,
        found.lost,
        found.duplicated,
        found.wrong_states,
        found.damaged,
        found.excess_fetches,
        found.hurried,
    )
    return (
        str(done.number),
        str(done.kills.total()),
        how,
        *map(str, numbers),
        f"{done.seconds:.1f}",
    )
