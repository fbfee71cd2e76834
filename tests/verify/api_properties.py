"""The API against its own description: requests made up from `docs/openapi.json`, and what must hold of every answer.

Schemathesis makes them: good ones, bad ones, at the edges of every bound, and chains that follow the links of the
document. No answer may be a fault of the server; its status, its content type, its headers and its body must be as
described; what breaks the description must be refused, and nothing may be had without a key. The same with a key that may
do everything for its tenant, with an operator's, and with one that may only look.

Not demanded: that whatever fits the description is accepted. Rules between fields, clocks and cursors are the door's.

Needs python3 with venv, and a package index on the first run. Environment: SEEDFLEET_BIN_DIR, SEEDFLEET_STATE_DIR;
SEEDFLEET_TEST_API_CASES is the number of cases to make up beside those at the edges of bounds (default 1000, by hand
100000), SEEDFLEET_TEST_API_SEED where to begin (default 1).
"""

import contextlib
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

from kit import fleet, venv

PINNED = ["schemathesis==4.32.5"]
CASES = int(os.environ.get("SEEDFLEET_TEST_API_CASES", "1000"))
SEED = int(os.environ.get("SEEDFLEET_TEST_API_SEED", "1"))
DOCUMENT = pathlib.Path("docs/openapi.json").resolve()

# The second gateway: keys that no case can revoke, and no pause for a tool that tries wrong keys on purpose.
GATEWAY = """
[gateway]
listen = "@listen@"
auth_failures_rpm = 100000
wait_max = "1s"
"""
CALLERS = {
    "owner": ("default", ["jobs:write", "jobs:read", "review", "admin"]),
    "operator": ("*", ["jobs:write", "jobs:read", "review", "admin"]),
    "reader": ("default", ["jobs:read"]),
}
TOOL = """
[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = [@refusals@, "5xx"]

# A stream of events has no end to wait for.
[[operations]]
include-tag = "events"
request-timeout = 0.3
"""
REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429"]


class Hole(http.server.BaseHTTPRequestHandler):
    """Takes webhooks and forgets them."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def keys(folder):
    """A key for each caller, and the configuration that knows them."""
    secrets, text = {}, GATEWAY
    for name, (tenant, scopes) in CALLERS.items():
        secrets[name] = f"{name}-of-the-property-tests"
        (folder / f"{name}.key").write_text(secrets[name])
        text += f'[gateway.keys.{name}]\ntenant = "{tenant}"\nkey_file = "{folder / name}.key"\n'
        text += f"scopes = {json.dumps(scopes)}\n"
    return secrets, text


def furnish(ours, hole):
    """One of everything, so that there is something to find."""
    body = {"model": "seedance-2.0", "content": [{"type": "text", "text": "a lamp that is lit at dusk"}]}
    _, _, job = ours.call("POST", "/v1/jobs", body)
    status, _, endpoint = ours.call("POST", "/v1/webhook-endpoints", {"url": hole + "/hook"})
    assert status == 201, endpoint
    assert ours.call("POST", f"/v1/webhook-endpoints/{endpoint['id']}:test")[0] == 202
    assert ours.call("POST", "/v1/batches?batch=furniture", [body])[0] == 202
    fleet.until("a stored video", lambda: ours.call("GET", f"/v1/jobs/{job['id']}")[2]["state"] == "succeeded")


def judged(folder, base, name, secret, cases, phases):
    """Lets the tool loose as one caller; what it reports."""
    operations = sum(len(item) for item in json.loads(DOCUMENT.read_text())["paths"].values())
    report = folder / f"{name}.json"
    refusals = ", ".join(f'"{status}"' for status in REFUSALS)
    (folder / "tool.toml").write_text(TOOL.replace("@refusals@", refusals))
    command = [pathlib.Path(sys.prefix) / "bin" / "schemathesis", "--config-file", folder / "tool.toml", "run", DOCUMENT]
    command += ["--url", base, "--header", f"Authorization: Bearer {secret}", "--request-timeout", "30"]
    command += ["--max-examples", str(max(1, cases // operations)), "--seed", str(SEED)]
    # Before 3.11.8, Python miscounts where two threads parse source at once (python/cpython#106905), as the tool does.
    command += ["--workers", "1"]
    command += ["--phases", phases, "--continue-on-failure", "--no-shrink", "--generation-database", "none", "--no-color"]
    command += ["--suppress-health-check", "all", "--warnings", "off"]
    command += ["--report", "json", "--report-json-path", report]
    begun = time.monotonic()
    with open(folder / f"{name}.log", "w+") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        log.seek(0)
        text = log.read()
    if done.returncode != 0 or not report.exists():
        print(text, file=sys.stderr)
        sys.exit(f"as {name}: the tool ended with {done.returncode}")
    told = json.loads(report.read_text())
    made = told["test_cases"]["generated"]
    took_s = time.monotonic() - begun
    print(f"as {name}: {made} cases, {told['operations']['tested']} operations, 0 findings, {took_s:.0f} s", flush=True)
    # One that takes nothing has nothing to make up: the phase of the edges calls it.
    whole = "coverage" not in phases or told["operations"]["tested"] == operations
    assert told["complete"] and whole, told["operations"]
    return made


def main():
    hole = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hole)
    threading.Thread(target=hole.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{hole.server_port}"
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(fleet.running(folder, webhooks_to=[origin]))
        furnish(ours, origin)
        secrets, own = keys(folder)
        base = stack.enter_context(fleet.another_gateway(ours, folder, own))
        # The edges of every bound are the same for everybody: one caller tries them all.
        made = judged(folder, base, "owner", secrets["owner"], CASES, "examples,coverage,fuzzing,stateful")
        for name in ("operator", "reader"):
            made += judged(folder, base, name, secrets[name], CASES // 10, "fuzzing")
        log = (folder / "gateway.log").read_text()
        assert not re.search(r"panic", log), log[-4_000:]
    print(f"{made} cases in all, 0 findings")


if __name__ == "__main__":
    venv.enter("api-properties", PINNED)
    main()
