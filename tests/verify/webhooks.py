"""Deliveries of a real fleet, verified with the official Standard Webhooks library.

A fleet of real programs runs one job against the simulator; a receiver written with the library of
the specification takes what the notifier sends. Every delivery must verify, in order; a forged, a
changed and an old one must not.

Needs python3 with venv, and a package index on the first run. Environment: SEEDFLEET_BIN_DIR holds
the built programs, SEEDFLEET_STATE_DIR is where the library is installed.
"""

import contextlib
import datetime
import hashlib
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

PINNED = ["standardwebhooks==1.0.1"]
PATIENCE_S = 90


def inside_venv():
    """Starts this script again with the library installed, unless it is."""
    state = pathlib.Path(os.environ.get("SEEDFLEET_STATE_DIR", "target")).resolve()
    stamp = hashlib.sha256("\n".join(PINNED).encode()).hexdigest()[:12]
    venv = state / f"webhooks-{stamp}"
    python = venv / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == venv:
        return
    if not (venv / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINNED], check=True)
        (venv / "complete").touch()
    os.execv(python, [str(python), *sys.argv])


def documented_receiver():
    """The function that docs/webhooks.md shows, run as it stands there."""
    page = pathlib.Path("docs/webhooks.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    names = {}
    exec(code, names)  # the page is ours
    return names["receive"]


class Receiver:
    """Keeps what arrives and answers 204."""

    def __init__(self):
        self.arrived = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.arrived.append((body, {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.server.server_port}"


@contextlib.contextmanager
def fleet(folder, origin):
    """`seedfleet dev up` with one more file of configuration; yields the gateway and its key."""
    binary = pathlib.Path(os.environ["SEEDFLEET_BIN_DIR"]) / "seedfleet"
    log = open(folder / "fleet.log", "w+")
    out = folder / "run"
    command = [binary, "dev", "up", "--out", out, "--clock-scale", "60", "--webhooks-to", origin]
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        config = until("the fleet's configuration", lambda: (out / "config.toml").exists() and out / "config.toml")
        gateway = re.search(r'\[gateway\][^[]*?listen = "([^"]+)"', config.read_text(), re.DOTALL).group(1)
        key = (out / "gateway-key").read_text().strip()
        until("the gateway", lambda: answers(gateway))
        yield f"http://{gateway}", key
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
        if process.returncode not in (0, None):
            log.seek(0)
            print(log.read()[-4000:], file=sys.stderr)


def answers(gateway):
    with contextlib.suppress(OSError):
        try:
            urllib.request.urlopen(f"http://{gateway}/v1/jobs/x", timeout=2)
        except urllib.error.HTTPError:
            return True
    return False


def until(what, look):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"never came: {what}")


def call(base, key, path, body):
    request = urllib.request.Request(base + path, json.dumps(body).encode(), method="POST")
    request.add_header("authorization", f"Bearer {key}")
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def refused(verify, *args):
    from standardwebhooks.webhooks import WebhookVerificationError

    try:
        verify(*args)
    except WebhookVerificationError:
        return True
    return False


def main():
    from standardwebhooks import Webhook

    receive = documented_receiver()
    receiver = Receiver()
    with tempfile.TemporaryDirectory() as folder, fleet(pathlib.Path(folder), receiver.origin) as (base, key):
        hook = {"url": receiver.origin + "/hook", "types": ["job.*"]}
        secret = call(base, key, "/v1/webhook-endpoints", hook)["secret"]
        body = {"model": "seedance-2.0", "content": [{"type": "text", "text": "a paper boat crosses a puddle"}]}
        job = call(base, key, "/v1/jobs", body)["id"]

        def ended():
            return any(json.loads(body)["type"] == "job.succeeded" for body, _ in receiver.arrived)

        until("the end of the job", ended)
        told = [receive(secret, body, headers) for body, headers in receiver.arrived]
        assert told[0]["type"] == "job.submitted" and told[-1]["type"] == "job.succeeded", told
        assert all(event["data"]["id"] == job for event in told), told
        seqs = [event["data"]["seq"] for event in told]
        assert seqs == sorted(seqs) and len(set(seqs)) == len(seqs), seqs

        body, headers = receiver.arrived[-1]
        other = "whsec_" + "A" * 32
        assert refused(receive, other, body, headers), "another secret"
        assert refused(receive, secret, body.replace(b"succeeded", b"cancelled"), headers), "a changed body"
        assert refused(receive, secret, body, {**headers, "webhook-id": "evt_forged"}), "another id"
        old = datetime.datetime.now(tz=datetime.timezone.utc) - datetime.timedelta(minutes=10)
        stale = {**headers, "webhook-timestamp": str(int(old.timestamp()))}
        stale["webhook-signature"] = Webhook(secret).sign(headers["webhook-id"], old, body.decode())
        assert refused(receive, secret, body, stale), "an old one, though well signed"
        print(f"{len(told)} deliveries verified, 4 forgeries refused")


if __name__ == "__main__":
    inside_venv()
    main()
