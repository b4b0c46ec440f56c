"""What some tests need from Debian's packages: installed in CI, else the test is skipped."""

import os
import shutil
import subprocess
from collections.abc import Callable

import pytest


def need(package: str, present: Callable[[], bool]) -> None:
    """Skip the test unless `present`; in CI, as root, the package is installed first."""
    may_install = os.environ.get("CI") and shutil.which("apt-get") and os.getuid() == 0
    if not present() and may_install:
        try:
            for command in (["update", "-q"], ["install", "-y", "-q", package]):
                subprocess.run(["apt-get", *command], capture_output=True, check=False, timeout=180)
        except subprocess.TimeoutExpired:
            pass  # then it is not there
    if not present():
        pytest.skip(f"apt-get install {package} enables this")
