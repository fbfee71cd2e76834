"""A fleet of real programs on the simulator, for suites that stand outside of the code.

Environment: SEEDFLEET_BIN_DIR holds the built programs.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from kit import ports

BIN = pathlib.Path(os.environ.get("SEEDFLEET_BIN_DIR", "target/debug")).resolve()
PATIENCE_S = 90
# Lines of a log that a failed suite prints.
TAIL_CHARS = 4_000


class Fleet:
    """What `seedfleet dev up` started."""

    def __init__(self, out, gateway):
        self.out = out
        self.config = out / "config.toml"
        self.base = f"http://{gateway}"
        # Of tenant `default`, with the scopes jobs:write and jobs:read.
        self.key = (out / "gateway-key").read_text().strip()
        self.operator_key = (out / "operator-key").read_text().strip()

    def cli(self, *args):
        """Runs a verb of the command line; its output."""
        environment = {**os.environ, "SEEDFLEET_CONFIG": str(self.config), "SEEDFLEET_ETC": str(self.out / "etc")}
        done = subprocess.run([BIN / "seedfleet", *args], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"seedfleet {' '.join(args)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def new_key(self, name, scopes, tenant="default"):
        """A key of the fleet for its simulated pool."""
        arguments = ["--name", name, "--tenant", tenant, "--mode", "test", "--scope", scopes]
        return json.loads(self.cli("-o", "json", "keys", "create", *arguments))["key"]

    def call(self, method, path, body=None, key=None, headers=None, base=None):
        """Status, headers and JSON of an answer, of the first gateway or another."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request((base or self.base) + path, data, method=method)
        request.add_header("authorization", f"Bearer {key or self.key}")
        request.add_header("content-type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read()
        told = json.loads(text) if text[:1] in (b"{", b"[") else text
        return answer.status, answer.headers, told


@contextlib.contextmanager
def running(folder, *, webhooks_to=(), clock_scale=60):
    """`seedfleet dev up` in a folder, from its start to its end."""
    log = open(folder / "fleet.log", "w+")
    out = folder / "run"
    command = [BIN / "seedfleet", "dev", "up", "--out", out, "--clock-scale", str(clock_scale)]
    for origin in webhooks_to:
        command += ["--webhooks-to", origin]
    with child(command, log, signal.SIGINT):
        config = out / "config.toml"
        until("the fleet's configuration", config.exists)
        listens = re.search(r'\[gateway\][^[]*?listen = "([^"]+)"', config.read_text(), re.DOTALL)
        gateway = listens.group(1)
        until("the gateway", lambda: answers(gateway))
        yield Fleet(out, gateway)


@contextlib.contextmanager
def another_gateway(fleet, folder, own):
    """One more gateway of a fleet, with settings of its own; the address it listens on."""
    listen = f"127.0.0.1:{ports.free()}"
    (folder / "own.toml").write_text(own.replace("@listen@", listen))
    command = [BIN / "gateway", "--config", fleet.config, "--config", folder / "own.toml"]
    log = open(folder / "gateway.log", "w+")
    with child(command, log, signal.SIGTERM):
        until("the second gateway", lambda: answers(listen))
        yield f"http://{listen}"


@contextlib.contextmanager
def child(command, log, end):
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "SEEDFLEET_ETC": "/nonexistent"})
    try:
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode != 0 or sys.exc_info()[0] is not None:
            log.seek(0)
            print(log.read()[-TAIL_CHARS:], file=sys.stderr)
        log.close()


def answers(gateway):
    with contextlib.suppress(OSError):
        try:
            urllib.request.urlopen(f"http://{gateway}/openapi.json", timeout=2).close()
            return True
        except urllib.error.HTTPError:
            return True
    return False


def until(what, look):
    """Waits for a fact; what it is worth."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"never came: {what}")
