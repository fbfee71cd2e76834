"""The provider's official Python clients, unmodified, against the simulator.

Each client creates, reads, lists and deletes tasks; what it parses must be what the contract says.
One scenario shows why the fleet never retries a create: with their default retries these clients
turn one lost answer into three paid tasks.

Needs python3 with venv, and a package index on the first run. Environment: SEEDFLEET_BIN_DIR holds
the built `simulator`, SEEDFLEET_STATE_DIR is where the clients are installed.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PINNED = [
    "volcengine-ark-runtime==5.0.54",
    "byteplus-python-sdk-v2[ark]==3.0.63",
    # The last one's extra forgets what its client imports.
    "httpx<1",
    "anyio<5",
    "sniffio",
    "distro",
]
# Declares the vendor's whole cloud (1 GB) as its needs and imports only what stands above.
PINNED_ALONE = ["arkruntime==0.17.0"]
BYTEPLUS = "dreamina-seedance-2-0-260128"
VOLCENGINE = "doubao-seedance-2-0-fast-260128"
PATIENCE_S = 30


def inside_venv():
    """Starts this script again with the clients installed, unless they are."""
    state = pathlib.Path(os.environ.get("SEEDFLEET_STATE_DIR", "target")).resolve()
    stamp = hashlib.sha256("\n".join(PINNED + PINNED_ALONE).encode()).hexdigest()[:12]
    venv = state / f"sdk-clients-{stamp}"
    python = venv / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == venv:
        return
    if not (venv / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        install = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *PINNED], check=True)
        subprocess.run([*install, "--no-deps", *PINNED_ALONE], check=True)
        (venv / "complete").touch()
    os.execv(python, [str(python), *sys.argv])


class Simulator:
    """A running simulator and its control interface."""

    def __init__(self, ports):
        self.base_url = f"http://{ports['api']}/api/v3"
        self.control = f"http://{ports['control']}/_sim"

    def put(self, resource, body):
        data = json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        url = f"{self.control}/{resource}"
        request = urllib.request.Request(url, data, headers, method="PUT")
        urllib.request.urlopen(request).close()

    def stats(self):
        with urllib.request.urlopen(f"{self.control}/stats") as answer:
            return json.load(answer)

    def ledger(self, event):
        with urllib.request.urlopen(f"{self.control}/ledger") as answer:
            lines = [json.loads(line) for line in answer]
        return [line for line in lines if line["event"] == event]


@contextlib.contextmanager
def simulator(*flags):
    binary = pathlib.Path(os.environ.get("SEEDFLEET_BIN_DIR", "target/debug")) / "simulator"
    with tempfile.TemporaryDirectory() as folder:
        ports_file = pathlib.Path(folder) / "ports.json"
        listen = []
        for name in ("--listen", "--media-listen", "--control-listen"):
            listen += [name, "127.0.0.1:0"]
        command = [binary, *listen, "--limits", "unlimited", "--ports-file", ports_file, *flags]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_until("the ports file", lambda: ports_file.exists() or process.poll() is not None)
            yield Simulator(json.loads(ports_file.read_text()))
        finally:
            process.terminate()
            process.wait()


def wait_until(what, found):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        result = found()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)


def check(name, actual, expected):
    if actual != expected:
        raise AssertionError(f"{name}: {actual!r} instead of {expected!r}")


def one_task(tasks, sim, model):
    """Create, read while queued, read when done, list, delete."""
    text = [{"type": "text", "text": "a paper boat crosses a puddle"}]
    created = tasks.create(
        model=model,
        content=text,
        duration=5,
        return_last_frame=True,
        execution_expires_after=131_071,
        safety_identifier="u-7f31",
    )
    # Every optional the caller left out was sent as null.
    task = tasks.get(task_id=created.id)
    check("status", task.status, "queued")
    check("nonce", task.execution_expires_after, 131_071)
    check("safety_identifier", task.safety_identifier, "u-7f31")
    check("content while queued", task.content, None)
    check("error while queued", task.error, None)
    sim.put("clock", {"advance_s": 400})
    task = wait_until("success", lambda: succeeded(tasks.get(task_id=created.id)))
    check("model", task.model, model)
    check("completion_tokens", task.usage.completion_tokens, 108_900)
    check("total_tokens", task.usage.total_tokens, 108_900)
    check("shape", (task.resolution, task.ratio, task.duration), ("720p", "16:9", 5))
    check("framespersecond", task.framespersecond, 24)
    with urllib.request.urlopen(task.content.video_url) as answer:
        video = answer.read()
    billed = [line for line in sim.ledger("billed") if line["task"] == created.id][0]
    check("sha256", hashlib.sha256(video).hexdigest(), billed["video_sha256"])
    with urllib.request.urlopen(task.content.last_frame_url) as answer:
        check("last frame", answer.read()[1:4], b"PNG")
    return created.id


def succeeded(task):
    return task if task.status == "succeeded" else None


def lists_and_deletes(tasks, sim, model, done):
    text = [{"type": "text", "text": "another"}]
    waiting = tasks.create(model=model, content=text).id
    page = tasks.list(page_num=1, page_size=10)
    check("total", page.total, 2)
    check("order", [item.id for item in page.items], [waiting, done])
    page = tasks.list(task_ids=[done, "cgt-20200101000000-abcde"], page_num=1, page_size=10)
    check("by id", [item.id for item in page.items], [done])
    page = tasks.list(status="queued", model=model, page_num=1, page_size=10)
    check("by status", [item.id for item in page.items], [waiting])
    tasks.delete(task_id=waiting)
    check("cancelled", tasks.get(task_id=waiting).status, "cancelled")
    tasks.delete(task_id=done)
    check("kept", [item.id for item in tasks.list(page_num=1, page_size=10).items], [waiting])


def refusals(client_class, sim, model):
    """Refusals arrive as the client's own errors, with the service's words in them."""
    tasks = client(client_class, sim, 0)
    text = [{"type": "text", "text": "x"}]
    for status, word, call in [
        (400, "duration", lambda: tasks.create(model=model, content=text, duration=3)),
        (404, "does not exist", lambda: tasks.create(model="nothing", content=text)),
        (404, "not found", lambda: tasks.get(task_id="cgt-20200101000000-abcde")),
        (401, "AuthenticationError", lambda: client(client_class, sim, 0, "wrong").list(page_num=1)),
    ]:
        try:
            call()
        except Exception as error:  # noqa: BLE001: each client has error classes of its own
            check("refusal", getattr(error, "status_code", None), status)
            if word not in str(error):
                raise AssertionError(f"{word!r} is not in {error}") from error
        else:
            raise AssertionError(f"{status} was not raised")


def retry_trap(client_class, sim, model):
    """Default retries and a lost answer: three creates, three tasks, one call."""
    before = sim.stats()["tasks"]["made"]
    for max_retries, made in ((0, 1), (2, 3)):
        sim.put("faults", {"create": [{"kind": "accept_then_drop"}]})
        try:
            text = [{"type": "text", "text": "x"}]
            client(client_class, sim, max_retries).create(model=model, content=text)
        except Exception:  # noqa: BLE001: the answer is lost, whatever the client calls it
            pass
        else:
            raise AssertionError("the answer was to be lost")
        sim.put("faults", {})
        now = sim.stats()["tasks"]["made"]
        check(f"tasks made with max_retries={max_retries}", now - before, made)
        before = now


def client(client_class, sim, max_retries, key="sim-key"):
    built = client_class(api_key=key, base_url=sim.base_url, max_retries=max_retries)
    return built.content_generation.tasks


def main():
    inside_venv()
    from arkruntime import Ark as Arkruntime
    from byteplussdkarkruntime import Ark as Byteplus
    from volcenginesdkarkruntime import Ark as Volcengine

    for name, client_class, route, model in (
        ("volcengine-ark-runtime", Volcengine, "volcengine", VOLCENGINE),
        ("byteplus-python-sdk-v2", Byteplus, "byteplus", BYTEPLUS),
        ("arkruntime", Arkruntime, "byteplus", BYTEPLUS),
    ):
        with simulator("--route", route) as sim:
            tasks = client(client_class, sim, 0)
            done = one_task(tasks, sim, model)
            lists_and_deletes(tasks, sim, model, done)
            refusals(client_class, sim, model)
            retry_trap(client_class, sim, model)
        print(f"{name}: ok", flush=True)


if __name__ == "__main__":
    main()
