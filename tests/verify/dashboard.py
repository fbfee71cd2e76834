"""The dashboard in a real browser: Chromium looks at a fleet of real programs on the simulator.

Starts `seedfleet dev up`, fills it with jobs in every state a page has something to say about, and lets
`dashboard.mjs` play a person: the scenarios, on a desk and on a telephone, in light and dark, with scripts
and without. Nothing may be asked of another site, nothing may offend the page's own policy, and axe may
find nothing serious. With `--stay` it prints where the fleet can be looked at and waits for Ctrl-C.

Needs chromium (Debian: `apt-get install chromium`), node with npm, and a package index on the first run.
Environment: SEEDFLEET_BIN_DIR holds the built programs, SEEDFLEET_STATE_DIR is where the packages are
installed and the pictures are kept.
"""

import hashlib
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request

from kit import fleet as kit
from kit import npm, ports

PINNED = {"playwright-core": "1.65.1", "axe-core": "4.14.1"}
HERE = pathlib.Path(__file__).resolve().parent
STATE = pathlib.Path(os.environ.get("SEEDFLEET_STATE_DIR", "target")).resolve()
# A key that may only look, one that may do everything for everybody, and one that only judges.
LOOKER = "a-key-that-may-only-look-4471"
CHIEF = "a-key-that-may-do-everything-8802"
JUDGE = "a-key-that-only-judges-3195"


class Receiver:
    """Takes what is sent to `/good` and refuses what is sent elsewhere."""

    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(204 if self.path.startswith("/good") else 500)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"http://127.0.0.1:{self.server.server_port}"


def batch(fleet, name, bodies):
    """Brings the jobs of a batch in as JSON lines."""
    data = "".join(json.dumps(body) + "\n" for body in bodies).encode()
    headers = {"content-type": "application/x-ndjson", "authorization": f"Bearer {fleet.key}"}
    request = urllib.request.Request(f"{fleet.base}/v1/batches?batch={name}", data, headers)
    with urllib.request.urlopen(request) as answer:
        taken = json.load(answer)
    if taken["created"] != len(bodies):
        sys.exit(f"not every job was taken in: {taken}")


def control(fleet, resource, body):
    """Tells the simulator."""
    ports = json.loads((fleet.out / "ports.json").read_text())
    headers = {"content-type": "application/json"}
    url = f"http://{ports['control']}/_sim/{resource}"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers, method="PUT")).close()


def told(fleet, method, path, body=None, base=None):
    """The JSON of an answer that must be a good one."""
    status, _, answer = fleet.call(method, path, body, base=base)
    if status >= 300:
        sys.exit(f"{method} {path} was answered {status}: {answer}")
    return answer


class SecondGateway:
    """One more gateway of the same fleet, with more keys and with review on: the browser's own, which it
    may kill and start again."""

    def __init__(self, fleet):
        port = ports.free()
        self.fleet, self.listen = fleet, f"127.0.0.1:{port}"
        self.base = f"http://{self.listen}"
        self.own = fleet.out / "second.toml"
        text = f'[gateway]\nlisten = "{self.listen}"\npublic_url = ""\n[review]\nrequire = "marked"\n'
        keys = [("looker", "default", ["jobs:read"], LOOKER), ("judge", "default", ["jobs:read", "review"], JUDGE),
                ("chief", "*", ["jobs:read", "jobs:write", "admin"], CHIEF)]
        for name, tenant, scopes, key in keys:
            digest = hashlib.sha256(key.encode()).hexdigest()
            text += f'[gateway.keys.{name}]\ntenant = "{tenant}"\nkey_sha256 = "{digest}"\nscopes = {json.dumps(scopes)}\n'
        self.own.write_text(text)
        self.start()

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("SEEDFLEET_")}
        env["SEEDFLEET_ETC"] = str(self.fleet.out / "etc")
        command = [kit.BIN / "gateway", "--config", self.fleet.config, "--config", self.own]
        with open(self.fleet.out.parent / "second.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        kit.until("the second gateway", lambda: kit.answers(self.listen))

    def restart(self):
        self.process.kill()
        self.process.wait()
        self.start()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def document(prompt, model="seedance-2.0", **more):
    content = [{"type": "text", "text": prompt}]
    return {"model": model, "content": content, "duration": 4, **more}


def fill(fleet, second, receiver):
    """Jobs of every kind a page has something to say about."""
    for path, what in [("/good", "the shop’s order book"), ("/bad", "an old test bench")]:
        hook = {"url": receiver.origin + path, "types": ["job.*"], "description": what}
        told(fleet, "POST", "/v1/webhook-endpoints", hook)
    control(fleet, "faults", {
        "task": [
            {"kind": "failed", "code": "OutputVideoSensitiveContentDetected", "match": {"text": "snow"}},
            {"kind": "failed", "code": "InternalServiceError", "match": {"text": "fog"}},
            {"kind": "stuck", "match": {"text": "tide"}},
        ],
        "create": [
            {"kind": "accept_then_drop", "match": {"text": "bell"}},
            {"kind": "answer", "code": "InputTextSensitiveContentDetected", "match": {"text": "duel"}},
        ],
        "callback": [{"kind": "lose"}],
        "list": [{"kind": "500"}],
    })
    prompts = [
        "a paper boat crosses a puddle", "a lighthouse at dusk, slow push in",
        "rain on a tin roof, close up", "<script>document.title = 'owned'</script>",
        "\" onmouseover=\"alert(1)\" a market street at noon", "snow falls upwards over a quiet pier",
    ]
    batch(fleet, "spring-ads", [document(f"{prompt}, no. {n}") for n, prompt in enumerate(prompts * 2)])
    batch(fleet, "night-harbour", [document(f"the tide turns, no. {n}", "seedance-2.0-fast") for n in range(28)])
    odd = ["fog rolls over a bridge", "a duel at dawn", "a bell rings in the harbour"]
    batch(fleet, "odd-ones", [document(f"{prompt}, no. {n}", "seedance-2.0-mini") for n, prompt in enumerate(odd * 2)])
    for n, prompt in enumerate(["a portrait of the founder, soft light", "two actors at a table, long prompt " * 8]):
        marked = {"review": True, "people": True, "consent_ref": f"consent-{71 + n}"}
        told(fleet, "POST", "/v1/jobs", document(prompt, **marked), base=second.base)
    batch(fleet, "on-hold", [document(f"the tide waits, no. {n}", "seedance-2.0-fast") for n in range(4)])
    told(fleet, "POST", "/v1/batches/on-hold:pause", {"reason": "the storyboard changes"})
    get = lambda path: told(fleet, "GET", path)  # noqa: E731
    kit.until("the first batch to end", lambda: get("/v1/batches/spring-ads")["state"].startswith("completed"))
    kit.until("doubt", lambda: get("/v1/jobs?where=state%3Din_doubt,parked")["items"])


def worth_seeing(fleet):
    """Pages beside the screens of the navigation, by the name of their picture."""
    first = lambda where: told(fleet, "GET", f"/v1/jobs?limit=1&where={where}")["items"][0]["id"]  # noqa: E731
    hooks = {hook["url"].rsplit("/", 1)[1]: hook["id"] for hook in told(fleet, "GET", "/v1/webhook-endpoints")["items"]}
    doubt = first("state%3Din_doubt,parked")
    return {
        "batch-over": "batches/spring-ads", "batch-running": "batches/night-harbour", "batch-paused": "batches/on-hold",
        "jobs-failed": "jobs?where=state%3Dfailed", "jobs-none": "jobs?where=batch%3Dnobody",
        "jobs-fault": "jobs?where=sate%3Dfailed", "job-stored": f"jobs/{first('state%3Dsucceeded')}",
        "job-failed": f"jobs/{first('state%3Dfailed')}", "job-running": f"jobs/{first('state%3Drunning')}",
        "job-queued": f"jobs/{first('state%3Dqueued')}", "job-doubt": f"jobs/{doubt}", "doubt-one": f"doubt/{doubt}",
        "webhook-good": f"webhooks/{hooks['good']}", "webhook-bad": f"webhooks/{hooks['bad']}", "missing": "jobs/none",
    }


def play(known, second):
    """The script asks for what only its parent can do, one word a line."""
    script = subprocess.Popen([npm.tool("node"), HERE / "dashboard.mjs"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    script.stdin.write(json.dumps(known) + "\n")
    script.stdin.flush()
    for line in script.stdout:
        if line.strip() == "restart":
            second.restart()
            script.stdin.write("restarted\n")
            script.stdin.flush()
        else:
            print(line, end="", flush=True)
    if script.wait() != 0:
        sys.exit("a scenario failed")


def main():
    chromium, folder = npm.tool("chromium", "chromium-browser", "google-chrome"), npm.folder("dashboard", PINNED)
    pictures = STATE / "dashboard-pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    receiver = Receiver()
    with tempfile.TemporaryDirectory() as temporary, kit.running(
            pathlib.Path(temporary), webhooks_to=[receiver.origin], clock_scale=20) as fleet:
        second = SecondGateway(fleet)
        try:
            fill(fleet, second, receiver)
            known = {
                "base": second.base, "api": fleet.base, "key": fleet.key, "viewer": LOOKER, "judge": JUDGE,
                "chief": CHIEF, "chromium": chromium, "packages": str(folder / "node_modules"),
                "pictures": str(pictures), "pages": worth_seeing(fleet),
            }
            if "--stay" in sys.argv:
                print(json.dumps(known), flush=True)
                signal.pause()
            play(known, second)
        finally:
            second.stop()


if __name__ == "__main__":
    main()
