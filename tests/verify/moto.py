"""The bucket tests against moto, an implementation of S3 in Python.

Our own tests speak to a server of the same protocol that is written in Rust; what both take is less
likely to be a habit of one of them.

Needs python3 with venv, cargo, and a package index on the first run. Environment: SEEDFLEET_STATE_DIR
is where moto is installed.
"""

import pathlib
import tempfile
import urllib.error
import urllib.request

from kit import buckets, ports, venv

PINNED = "moto[server,s3]==5.2.5"
BUCKET = "conformance"


def ask(method, url):
    with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
        return answer.read().decode()


def answers(url):
    try:
        ask("GET", url)
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def main():
    port = ports.free()
    address = f"http://127.0.0.1:{port}"
    command = [venv.folder("moto", [PINNED]) / "bin" / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with buckets.server(command, folder, lambda: answers(f"{address}/moto-api/data.json")):
            ask("PUT", f"{address}/{BUCKET}")
            listed = f"{address}/{BUCKET}?list-type=2"
            buckets.judged(PINNED, buckets.s3(folder, address, BUCKET), lambda: ask("GET", listed).count("<Contents>"))


if __name__ == "__main__":
    main()
