"""What `examples/` and `docs/api.md` show, run as it stands there against a real fleet on the simulator.

Each program asks for a video of its own and must come back with one; the receivers of webhooks must take what is signed
and refuse what is not; the outbox is killed between its commit and its post, and between the post and its answer, and
every order must still have exactly one job. The shell of `docs/api.md` runs from its first block to its last.

Needs python3 with venv, curl, node with npm, and package indexes on the first run. Environment: SEEDFLEET_BIN_DIR,
SEEDFLEET_STATE_DIR.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import urllib.request

from kit import fleet, ports, venv

EXAMPLES = pathlib.Path("examples").resolve()
PAGE = pathlib.Path("docs/api.md")
PINNED = (EXAMPLES / "python" / "requirements.txt").read_text().split()
STATE = pathlib.Path(os.environ.get("SEEDFLEET_STATE_DIR", "target")).resolve()


def tool(name):
    return shutil.which(name) or sys.exit(f"{name} is not installed")


def typescript():
    """The folder in which the TypeScript examples are compiled, with the packages of their lock file."""
    source = EXAMPLES / "typescript"
    files = sorted(path for path in source.rglob("*") if path.is_file() and "node_modules" not in path.parts)
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    folder = STATE / f"typescript-{stamp}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
        npm = tool("npm")
        subprocess.run([npm, "ci", "--silent", "--no-fund", "--no-audit", "--ignore-scripts"], cwd=folder, check=True)
        subprocess.run([npm, "run", "--silent", "build"], cwd=folder, check=True)
        (folder / "complete").touch()
    return folder


def run(command, folder, ours, **more):
    """Runs an example in a folder of its own, as its first lines say; what it prints."""
    environment = {**os.environ, "SEEDFLEET_URL": ours.base, "SEEDFLEET_KEY": ours.key, **more}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def first_videos(ours, folder, built):
    """Curl, Python and TypeScript: from a prompt to a file."""
    ways = {
        "curl": [EXAMPLES / "curl" / "first-video.sh"],
        "python": [sys.executable, EXAMPLES / "python" / "first_video.py"],
        "typescript": [tool("node"), built / "dist" / "first-video.js"],
    }
    for name, command in ways.items():
        here = folder / name
        here.mkdir()
        path = here / run([*command, f"a lighthouse, as {name} sees it"], here, ours).strip().splitlines()[-1]
        job = ours.call("GET", f"/v1/jobs/{path.stem}")[2]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == job["output"]["video_sha256"], job
        print(f"{name}: {path.stat().st_size} bytes of video", flush=True)


def receivers(ours, folder, built):
    """Python and TypeScript take what the notifier sends, and refuse the same with one letter changed."""
    ways = {
        "python": [sys.executable, EXAMPLES / "python" / "receive_webhooks.py"],
        "typescript": [tool("node"), built / "dist" / "receive-webhooks.js"],
    }
    for name, command in ways.items():
        port = ours.hook_ports[name]
        _, _, endpoint = ours.call("POST", "/v1/webhook-endpoints", {"url": f"http://127.0.0.1:{port}/hook"})
        environment = {**os.environ, "SEEDFLEET_WEBHOOK_SECRET": endpoint["secret"], "PORT": str(port)}
        log = folder / f"{name}-receiver.log"
        receiver = subprocess.Popen(command, env=environment, stdout=open(log, "w"), stderr=subprocess.STDOUT)
        try:
            fleet.until(f"the {name} receiver", lambda: "listening on" in log.read_text())
            job = ours.call("POST", "/v1/jobs", wish(f"a kite, as {name} hears of it"))[2]["id"]
            fleet.until("the webhook", lambda: f"job.succeeded {job}" in log.read_text())
            assert posted(port, b'{"type": "job.succeeded", "data": {"id": "job_forged"}}') == 400
            assert "job_forged" not in log.read_text() and "refused" in log.read_text(), log.read_text()
        finally:
            receiver.kill()
            receiver.wait()
        assert ours.call("DELETE", f"/v1/webhook-endpoints/{endpoint['id']}")[0] == 204
        print(f"{name}: one webhook taken, one forgery refused", flush=True)


def wish(prompt):
    return {"model": "seedance-2.0", "content": [{"type": "text", "text": prompt}]}


def posted(port, body):
    headers = {"webhook-id": "evt_1", "webhook-timestamp": "1790000000", "webhook-signature": "v1,AAAA"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/hook", body, headers)
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code


class Deaf:
    """Stands before the gateway and takes requests; passes them on or not, and never answers."""

    def __init__(self, gateway, passes_on):
        self.gateway, self.passes_on, self.heard = gateway, passes_on, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        caller, _ = self.listener.accept()
        request = b""
        while b"\r\n\r\n" not in request or not request.endswith(b"}"):
            request += caller.recv(65536)
        if self.passes_on:
            host, port = self.gateway.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as gateway:
                gateway.sendall(request)
                gateway.recv(65536)
        self.heard.set()
        self.held = caller


def jobs_of(ours):
    return {item["id"] for item in ours.call("GET", "/v1/jobs?limit=200")[2]["items"]}


def outbox(ours, folder):
    """Killed where it hurts, run again: one job for each order."""
    others = jobs_of(ours)
    program, database = EXAMPLES / "python" / "outbox.py", folder / "orders.db"
    for number, passes_on in enumerate([False, True], start=1):
        deaf = Deaf(ours.base, passes_on)
        environment = {**os.environ, "SEEDFLEET_URL": deaf.base, "SEEDFLEET_KEY": ours.key}
        command = [sys.executable, program, database, "order", f"a door that is left open, number {number}"]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert deaf.heard.wait(60), "nothing was posted"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        unanswered = "select count(*) from outbox where job is null"
        assert sqlite3.connect(database).execute(unanswered).fetchone() == (1,), "killed in between"
        before = len(jobs_of(ours) - others)
        assert before == (number if passes_on else number - 1), before
        for _ in range(2):
            run([sys.executable, program, database, "send"], folder, ours)
        rows = sqlite3.connect(database).execute("select key, job, problem from outbox").fetchall()
        assert all(job and not problem for _, job, problem in rows), rows
        assert {job for _, job, _ in rows} == jobs_of(ours) - others and len(rows) == number, rows
    print("outbox: killed before its post and before its answer; 2 orders, 2 jobs", flush=True)


def documented(ours, folder):
    """The shell of the page, block after block in one shell; blocks that show answers are not run."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 5, "the page shows how it is done"
    script = folder / "api.sh"
    script.write_text("set -eu\n" + "\n".join(blocks))
    here = folder / "page"
    here.mkdir()
    run([tool("bash"), script], here, ours, SEEDFLEET_WEBHOOK_URL=f"http://127.0.0.1:{ours.hook_ports['page']}/hook")
    print(f"docs/api.md: {len(blocks)} blocks of shell run", flush=True)


def main():
    tool("curl")
    built = typescript()
    hook_ports = {name: ports.free() for name in ("python", "typescript", "page")}
    origins = [f"http://127.0.0.1:{port}" for port in hook_ports.values()]
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(fleet.running(folder, webhooks_to=origins))
        ours.hook_ports = hook_ports
        first_videos(ours, folder, built)
        receivers(ours, folder, built)
        outbox(ours, folder)
        documented(ours, folder)


if __name__ == "__main__":
    venv.enter("examples", PINNED)
    main()
