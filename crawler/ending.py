"""Ending tasks that run the user's code, which need not want to end."""

import asyncio
import sys
from collections.abc import Collection
from importlib import import_module
from typing import Any


async def end(tasks: Collection[asyncio.Task[Any]], *, within: float) -> None:
    """Cancel tasks, and wait for them `within` seconds.

    Those that go on all the same are nobody's concern any more; nor is what they raise.
    """
    for task in tasks:
        task.add_done_callback(_never_mind)
        task.cancel()
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=within)
    finally:
        for task in tasks:
            if not task.done():
                _leave_behind(task)


def _leave_behind(task: asyncio.Task[Any]) -> None:
    """Let the process end without the task.

    asyncio.run would wait for it, for ever. And to collect a coroutine is to close it: one that
    ignores that as well, in a loop, would hang the interpreter as it ends. So it never is.
    """
    asyncio._unregister_task(task)
    if sys.implementation.name == "cpython":
        ctypes = import_module("ctypes")  # loaded for this alone
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))


def _never_mind(task: asyncio.Task[Any]) -> None:
    """Look at how a task ended, or asyncio logs that nobody did."""
    if not task.cancelled():
        task.exception()
