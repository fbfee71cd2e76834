"""Packages of the npm registry for one suite, with every version pinned."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

# A registry that falls silent is asked again: it has answered within seconds, or does not.
REGISTRY = ["--fetch-timeout=30000", "--fetch-retries=4"]
INSTALL_MAX_S = 180

STATE = pathlib.Path(os.environ.get("SEEDFLEET_STATE_DIR", "target")).resolve()


def tool(*names):
    """The first of these programs that is installed."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    sys.exit(f"none of {', '.join(names)} is installed")


def folder(name, pinned):
    """The folder in which the packages are installed, with no script of theirs run."""
    stamp = hashlib.sha256(json.dumps(pinned).encode()).hexdigest()[:12]
    place = STATE / f"{name}-{stamp}"
    if not (place / "complete").exists():
        place.mkdir(parents=True, exist_ok=True)
        wanted = [f"{package}@{version}" for package, version in pinned.items()]
        install = [tool("npm"), "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", *REGISTRY]
        subprocess.run([*install, "--prefix", place, *wanted], check=True, timeout=INSTALL_MAX_S)
        (place / "complete").touch()
    return place
