"""Deliveries of a real fleet, verified with the official Standard Webhooks library.

A fleet of real programs runs one job against the simulator; a receiver written with the library of
the specification takes what the notifier sends. Every delivery must verify, in order; a forged, a
changed and an old one must not.

Needs python3 with venv, and a package index on the first run. Environment: SEEDFLEET_BIN_DIR holds
the built programs, SEEDFLEET_STATE_DIR is where the library is installed.
"""

import datetime
import http.server
import json
import pathlib
import re
import tempfile
import threading

from kit import fleet, venv

PINNED = ["standardwebhooks==1.0.1"]


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
    with tempfile.TemporaryDirectory() as folder, fleet.running(pathlib.Path(folder), webhooks_to=[receiver.origin]) as ours:
        hook = {"url": receiver.origin + "/hook", "types": ["job.*"]}
        secret = ours.call("POST", "/v1/webhook-endpoints", hook)[2]["secret"]
        body = {"model": "seedance-2.0", "content": [{"type": "text", "text": "a paper boat crosses a puddle"}]}
        job = ours.call("POST", "/v1/jobs", body)[2]["id"]

        def ended():
            return any(json.loads(body)["type"] == "job.succeeded" for body, _ in receiver.arrived)

        fleet.until("the end of the job", ended)
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
    venv.enter("webhooks", PINNED)
    main()
