"""The dashboard in a real browser: Chromium looks at a fleet of real programs on the simulator.

Starts `seedfleet dev up`, fills it with jobs, and lets `dashboard.mjs` play a person: the scenarios, on a
desk and on a telephone, in light and dark, with scripts and without. Nothing may be asked of another
site, nothing may offend the page's own policy, and axe may find nothing serious.

Needs chromium (Debian: `apt-get install chromium`), node with npm, and a package index on the first run.
Environment: SEEDFLEET_BIN_DIR holds the built programs, SEEDFLEET_STATE_DIR is where the packages are
installed and the pictures are kept.
"""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PINNED = {"playwright-core": "1.65.1", "axe-core": "4.14.1"}
HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("SEEDFLEET_BIN_DIR", "target/debug")).resolve()
STATE = pathlib.Path(os.environ.get("SEEDFLEET_STATE_DIR", "target")).resolve()
PATIENCE_S = 60
# A key that may only look; the fleet's own key acts.
LOOKER = "a-key-that-may-only-look-4471"


def tool(*names):
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    sys.exit(f"none of {', '.join(names)} is installed")


def packages():
    """The folder in which the pinned packages are installed."""
    stamp = hashlib.sha256(json.dumps(PINNED).encode()).hexdigest()[:12]
    folder = STATE / f"dashboard-{stamp}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"{name}@{version}" for name, version in PINNED.items()]
        install = [tool("npm"), "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts"]
        subprocess.run([*install, "--prefix", folder, *names], check=True)
        (folder / "complete").touch()
    return folder


def until(what, found):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.1)


class Fleet:
    """`seedfleet dev up` in a folder of its own; its gateway is started anew with one more key."""

    def __init__(self, folder):
        self.folder = folder
        command = [BIN / "seedfleet", "dev", "up", "--clock-scale", "20", "--out", folder]
        log = open(folder.parent / "up.log", "wb")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until("the configuration", lambda: (folder / "config.toml").exists())
        self.config = folder / "config.toml"
        lines = self.config.read_text().splitlines()
        listen = next(line for line in lines if line.startswith("listen = "))
        self.base = "http://" + listen.split('"')[1]
        until("the gateway", self.answers)
        self.key = (folder / "gateway-key").read_text().strip()

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError((self.folder.parent / "up.log").read_text()[-2000:])
        try:
            urllib.request.urlopen(self.base + "/ui/login").close()
            return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def post(self, batch, bodies):
        data = "".join(json.dumps(body) + "\n" for body in bodies).encode()
        headers = {"content-type": "application/x-ndjson", "authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"{self.base}/v1/batches?batch={batch}", data, headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def control(self, resource, body):
        ports = json.loads((self.folder / "ports.json").read_text())
        url = f"http://{ports['control']}/_sim/{resource}"
        data = json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(url, data, headers, method="PUT")).close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


class SecondGateway:
    """One more gateway of the same fleet, with more keys and with review on: the browser's own, which it
    may kill and start again."""

    def __init__(self, fleet, port):
        self.fleet, self.port, self.process = fleet, port, None
        own = fleet.folder / "second.toml"
        digest = lambda key: hashlib.sha256(key.encode()).hexdigest()  # noqa: E731
        keys = [("looker", "default", '["jobs:read"]', LOOKER), ("chief", "*", ALL_SCOPES, fleet.key + "-chief")]
        text = f'[gateway]\nlisten = "127.0.0.1:{port}"\npublic_url = ""\n'
        for name, tenant, scopes, key in keys:
            text += f'[gateway.keys.{name}]\ntenant = "{tenant}"\nkey_sha256 = "{digest(key)}"\nscopes = {scopes}\n'
        own.write_text(text)
        self.own = own
        self.start()

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("SEEDFLEET_")}
        env["SEEDFLEET_ETC"] = str(self.fleet.folder / "etc")
        command = [BIN / "gateway", "--config", self.fleet.config, "--config", self.own]
        log = open(self.fleet.folder.parent / "second.log", "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)

    def restart(self):
        self.process.kill()
        self.process.wait()
        self.start()

    def stop(self):
        self.process.terminate()
        self.process.wait()


ALL_SCOPES = '["jobs:read", "jobs:write"]'


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fill(fleet):
    """Jobs of every kind a page has something to say about."""
    prompts = [
        "a paper boat crosses a puddle", "a lighthouse at dusk, slow push in",
        "rain on a tin roof, close up", "<script>document.title = 'owned'</script>",
        "\" onmouseover=\"alert(1)\" a market street at noon", "snow falls upwards over a quiet pier",
    ]
    failed = {"kind": "failed", "code": "OutputVideoSensitiveContentDetected", "match": {"text": "snow"}}
    fleet.control("faults", {"task": [failed]})
    rows = [document(f"{prompt}, no. {n}") for n, prompt in enumerate(prompts * 3)]
    taken = fleet.post("spring-ads", rows)
    if taken["created"] != len(rows):
        sys.exit(f"not every job was taken in: {taken}")


def document(prompt, **more):
    content = [{"type": "text", "text": prompt}]
    return {"model": "seedance-2.0", "content": content, "duration": 4, **more}


def main():
    node, chromium, folder = tool("node"), tool("chromium", "chromium-browser", "google-chrome"), packages()
    pictures = STATE / "dashboard-pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        fleet = Fleet(pathlib.Path(temporary) / "fleet")
        second = None
        try:
            fill(fleet)
            second = SecondGateway(fleet, free_port())
            told = {
                "base": f"http://127.0.0.1:{second.port}", "api": fleet.base, "operator": fleet.key,
                "viewer": LOOKER, "chief": fleet.key + "-chief", "chromium": chromium,
                "packages": str(folder / "node_modules"), "pictures": str(pictures),
            }
            script = subprocess.Popen([node, HERE / "dashboard.mjs"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
            script.stdin.write(json.dumps(told) + "\n")
            script.stdin.flush()
            # The script asks for what only its parent can do, one word a line.
            for line in script.stdout:
                if line.strip() == "restart":
                    second.restart()
                    script.stdin.write("restarted\n")
                    script.stdin.flush()
                else:
                    print(line, end="", flush=True)
            if script.wait() != 0:
                sys.exit("a scenario failed")
        finally:
            if second:
                second.stop()
            fleet.stop()


if __name__ == "__main__":
    main()
