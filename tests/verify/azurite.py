"""The bucket tests against Azurite, Microsoft's own server of Azure Blob Storage for tests.

Needs node with npm, cargo, and a package index on the first run. Environment: SEEDFLEET_STATE_DIR is
where Azurite is installed.
"""

import base64
import email.utils
import hashlib
import hmac
import http.client
import pathlib
import secrets
import tempfile

from kit import buckets, npm, ports

PINNED = {"azurite": "3.37.0"}
ACCOUNT, CONTAINER = "seedfleettest", "conformance"
VERSION = "2023-11-03"


def ask(port, key, method, **query):
    """Status and text of a signed request about the container."""
    path = f"/{ACCOUNT}/{CONTAINER}"
    dated = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": VERSION}
    # Eleven headers that are not sent stand empty between; the account comes before the path, and in it.
    signed = [method, *[""] * 11, *(f"{name}:{value}" for name, value in dated.items()), f"/{ACCOUNT}{path}"]
    signed += [f"{name}:{value}" for name, value in sorted(query.items())]
    digest = hmac.new(base64.b64decode(key), "\n".join(signed).encode(), hashlib.sha256).digest()
    headers = {**dated, "authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"}
    words = "&".join(f"{name}={value}" for name, value in query.items())
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, f"{path}?{words}", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def objects(port, key):
    status, text = ask(port, key, "GET", restype="container", comp="list")
    if status != 200:
        raise SystemExit(f"the list of the container was answered {status}: {text}")
    return text.count("<Blob>")


def main():
    port, key = ports.free(), base64.b64encode(secrets.token_bytes(32)).decode()
    program = npm.folder("azurite", PINNED) / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        command = [npm.tool("node", "nodejs"), program, "--blobHost", "127.0.0.1", "--blobPort", str(port)]
        command += ["--location", folder, "--silent", "--disableTelemetry"]
        store = {
            "url": f"az://{CONTAINER}",
            "azure": {
                "account": ACCOUNT,
                "endpoint": f"http://127.0.0.1:{port}/{ACCOUNT}",
                "allow_http": True,
                "access_key_file": buckets.secret(folder, "key", key),
            },
        }
        with buckets.server(command, folder, lambda: ports.taken(port), AZURITE_ACCOUNTS=f"{ACCOUNT}:{key}"):
            status, text = ask(port, key, "PUT", restype="container")
            if status != 201:
                raise SystemExit(f"the container was not made: {status} {text}")
            (name, version), = PINNED.items()
            buckets.judged(f"{name}=={version}", store, lambda: objects(port, key))


if __name__ == "__main__":
    main()
