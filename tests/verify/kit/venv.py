"""A virtual environment for one suite, with every version pinned."""

import hashlib
import os
import pathlib
import subprocess
import sys


def folder(name, pinned):
    """The environment of a suite with these packages, made if it is not there yet."""
    state = pathlib.Path(os.environ.get("SEEDFLEET_STATE_DIR", "target")).resolve()
    stamp = hashlib.sha256("\n".join(pinned).encode()).hexdigest()[:12]
    venv = state / f"{name}-{stamp}"
    if not (venv / "complete").exists():
        python = venv / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *pinned], check=True)
        (venv / "complete").touch()
    return venv


def enter(name, pinned):
    """Starts the running script again inside its environment, unless it is there already."""
    venv = folder(name, pinned)
    if pathlib.Path(sys.prefix).resolve() != venv:
        python = venv / "bin" / "python"
        os.execv(python, [str(python), *sys.argv])
