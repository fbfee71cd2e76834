"""The bucket room's conformance suite against moto, a second implementation of S3.

Our own tests speak to a server of the same protocol that is written in Rust; what both take is less
likely to be a habit of one of them. Every test has a prefix of its own in one bucket, and at the end
that bucket must hold something: a suite that went elsewhere has shown nothing.

Needs python3 with venv, cargo, and a package index on the first run. Environment: SEEDFLEET_STATE_DIR
is where moto is installed.
"""

import contextlib
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

from kit import ports

PINNED = "moto[server,s3]==5.2.5"
BUCKET = "conformance"
PATIENCE_S = 60


def installed():
    """The folder of a virtual environment's programs, moto_server among them."""
    state = pathlib.Path(os.environ.get("SEEDFLEET_STATE_DIR", "target")).resolve()
    venv = state / f"moto-{PINNED.split('==')[1]}"
    if not (venv / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        python = venv / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", PINNED], check=True)
        (venv / "complete").touch()
    return venv / "bin"


@contextlib.contextmanager
def moto(programs):
    """A running server; its address."""
    port = ports.free()
    command = [programs / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE_S
        while not answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("moto_server did not start")
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def answers(address):
    try:
        ask("GET", f"{address}/moto-api/data.json")
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def ask(method, url):
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        return answer.read().decode()


def main():
    with moto(installed()) as address:
        bucket = f"{address}/{BUCKET}"
        ask("PUT", bucket)
        # The workspace's own feature set, so that nothing is compiled again.
        suite = ["cargo", "test", "--quiet", "--workspace", "--test", "it", "conformance::s3::"]
        subprocess.run(suite, check=True, env={**os.environ, "SEEDFLEET_TEST_S3": bucket})
        objects = ask("GET", f"{bucket}?list-type=2").count("<Contents>")
    if objects == 0:
        raise SystemExit("the suite passed without leaving anything in the bucket: it went elsewhere")
    print(f"{PINNED}: ok, {objects} objects in its bucket", flush=True)


if __name__ == "__main__":
    main()
