"""What a type checker makes of `retry` and `timed` in a user's code."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

USER_CODE = """
from crawler import retry, timed

@retry
async def one(a: int, *, b: str = "") -> float:
    return 1.0

@retry(on=(OSError, KeyError), attempts=2)
def two(a: int) -> str:
    return ""

@timed
def three(a: int) -> str:
    return ""

@timed("label", report=print)
async def four(a: int) -> str:
    return ""

def block() -> float:
    with timed("x") as t:
        pass
    return t.seconds

reveal_type(one)
reveal_type(two)
reveal_type(three)
reveal_type(four)
two("not a number")
"""

REVEALED = [
    "def (a: int, *, b: str =) -> Coroutine[Any, Any, float]",
    "def (a: int) -> str",
    "def (a: int) -> str",
    "def (a: int) -> Coroutine[Any, Any, str]",
]


def test_decorated_functions_keep_their_signature(tmp_path: Path) -> None:
    snippet = tmp_path / "user_code.py"
    snippet.write_text(USER_CODE)
    # Only what is imported from here is followed: the user's file is what is judged.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(snippet)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stdout.splitlines()
    revealed = [line.split('"')[1] for line in lines if "Revealed type" in line]
    plain = [text.replace("builtins.", "").replace("typing.", "") for text in revealed]
    assert plain == REVEALED, done.stdout + done.stderr
    errors = [line for line in lines if ": error:" in line]
    assert len(errors) == 1, done.stdout
    assert 'incompatible type "str"; expected "int"' in errors[0]
