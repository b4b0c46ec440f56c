"""The peers' environments: one folder each in `benchmarks/.envs`, made when it is not there.

Always the newest release; delete the folder to have it anew.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.compare.field import Peer

ENVS = Path(__file__).parents[1] / ".envs"


def python_of(peer: Peer) -> Path:
    """Return the interpreter of the peer's environment, which is made if need be.

    Raises `OSError` when it cannot be made.
    """
    folder = ENVS / peer.name
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    if ready.exists():
        return python
    print(f"installing {peer.requirement}", file=sys.stderr)
    uv = shutil.which("uv")
    if uv:
        make = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)]
        install = [uv, "pip", "install", "--quiet", "--python", str(python), peer.requirement]
    else:
        make = [sys.executable, "-m", "venv", str(folder)]
        install = [str(python), "-m", "pip", "install", "--quiet", peer.requirement]
    for command in (make, install):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"{peer.name} cannot be installed: {done.stderr[-500:].strip()}")
    ready.touch()
    return python


def version_of(peer: Peer) -> str:
    """Return the name and version of what is in the peer's environment."""
    name = peer.requirement.partition("[")[0]
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    command = [str(python_of(peer)), "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return f"{name.capitalize()} {done.stdout.strip()}"
