"""Traces and metrics of a fleet arrive at a collector that is not ours.

Five real programs send to Rotel, an OpenTelemetry collector that somebody else wrote, which prints what it took in. Of one
fleet's jobs a span of every program must arrive, linked to the caller's trace, and the metrics of every program.

Needs python3.11 with its shared library (Debian: libpython3.11) and a package index on the first run. Environment:
SEEDFLEET_BIN_DIR holds the built programs, SEEDFLEET_STATE_DIR is where the collector is installed.
"""

import contextlib
import os
import pathlib
import secrets
import signal
import socket
import tempfile

from kit import fleet, ports, venv

PINNED = ["rotel==0.0.1a15"]
ROLES = ["gateway", "submitter", "poller", "downloader", "notifier"]
# A span, or a metric, that each program makes while it has work.
SPANS = {"gateway": "send jobs", "submitter": "create task", "poller": "look at task", "downloader": "download output"}


@contextlib.contextmanager
def collector(folder):
    """A running collector: its address, and what it has printed so far."""
    (agent,) = venv.folder("collector", PINNED).glob("lib/python3*/site-packages/rotel/rotel-agent")
    http, grpc = f"127.0.0.1:{ports.free()}", f"127.0.0.1:{ports.free()}"
    command = [agent, "start", "--exporter", "blackhole", "--otlp-http-endpoint", http, "--otlp-grpc-endpoint", grpc]
    command += ["--debug-log", "traces", "--debug-log", "metrics", "--debug-log-verbosity", "detailed"]
    path = folder / "collector.log"
    with fleet.child([str(word) for word in command], open(path, "w+"), signal.SIGTERM) as process:

        def listens():
            assert process.poll() is None, f"the collector ended: {path.read_text()[-2000:]}"
            host, port = http.split(":")
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=2):
                return True

        fleet.until("the collector", listens)
        yield f"http://{http}", path.read_text


@contextlib.contextmanager
def senders(ours, folder, endpoint):
    """One more program of each role, which sends; the gateway's address."""
    listen = f"127.0.0.1:{ports.free()}"
    own = folder / "sends.toml"
    own.write_text(
        f'[gateway]\nlisten = "{listen}"\n[telemetry]\notlp_endpoint = "{endpoint}"\notlp_metrics_every = "500ms"\n'
    )
    with contextlib.ExitStack() as stack:
        for role in ROLES:
            command = [fleet.BIN / role, "--config", ours.config, "--config", own]
            stack.enter_context(fleet.child(command, open(folder / f"{role}-sends.log", "w+"), signal.SIGTERM))
        fleet.until("the gateway that sends", lambda: fleet.answers(listen))
        yield f"http://{listen}"


def main():
    os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT", None)
    trace = secrets.token_hex(16)
    caller = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with collector(folder) as (endpoint, printed), fleet.running(folder) as ours, senders(ours, folder, endpoint) as base:
            asked = 0

            def heard():
                # The fleet's other programs take their share of the jobs, and send nothing.
                nonlocal asked
                asked += 1
                body = {"model": "seedance-2.0", "content": [{"type": "text", "text": f"a paper boat, number {asked}"}]}
                status, _, told = ours.call("POST", "/v1/jobs", body, headers=caller, base=base)
                assert status == 202, told
                text = printed()
                spans = all(span in text for span in SPANS.values())
                return spans and all(f"seedfleet-{role}" in text for role in ROLES) and trace in text and text

            text = fleet.until("a span of every program", heard)
            metrics = ["seedfleet_jobs_accepted_total", "seedfleet_submit_attempts_total", "seedfleet_worker_info"]
            fleet.until("metrics", lambda: all(metric in printed() for metric in metrics))
            print(f"{len(ROLES)} programs heard by the collector over {asked} jobs, {text.count(trace)} mentions of the caller's trace")


if __name__ == "__main__":
    main()
