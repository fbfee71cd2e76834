"""A real Prometheus scrapes a running fleet: every target is up, every alert rule is loaded and can be evaluated.

Five real programs run jobs against the simulator. Prometheus reads the rules that are shipped and scrapes each program
every second; all targets must become healthy, every alert must be evaluated without an error, every query of the dashboards
must be answered, and nothing that wakes somebody may fire on a fleet that is well. The page of each program must pass
promtool's own linter.

Needs python3, prometheus and promtool (Debian: prometheus). Environment: SEEDFLEET_BIN_DIR holds the built programs.
"""

import contextlib
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

from kit import fleet, ports

ROLES = ["gateway", "submitter", "poller", "downloader", "notifier"]
RULES = pathlib.Path("deploy/prometheus/rules.yaml").resolve()
DASHBOARDS = pathlib.Path("deploy/grafana")
JOBS = 3


def tool(program):
    return shutil.which(program) or sys.exit(f"{program} is not installed (Debian: prometheus)")


def admin(ours, role):
    """Where a program of `dev up` tells its metrics: it says so once it listens."""
    log = ours.out / "logs" / f"{role}.log"
    found = re.search(r"admin listener.*?listen=(\S+)", log.read_text()) if log.exists() else None
    return found and found.group(1)


def configuration(folder, targets):
    scrapes = [
        {"job_name": "seedfleet", "static_configs": [{"targets": [address], "labels": {"program": role}} for role, address in targets.items()]}
    ]
    everything = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": scrapes,
    }
    path = folder / "prometheus.yaml"
    # JSON is YAML.
    path.write_text(json.dumps(everything))
    return path


@contextlib.contextmanager
def prometheus(folder, targets):
    """A running server; asks it."""
    listen = f"127.0.0.1:{ports.free()}"
    command = [tool("prometheus"), f"--config.file={configuration(folder, targets)}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    log = open(folder / "prometheus.log", "w+")
    with fleet.child([*command, f"--web.listen-address={listen}"], log, signal.SIGTERM) as process:

        def ask(path, **query):
            assert process.poll() is None, "Prometheus ended"
            url = f"http://{listen}/api/v1/{path}?{urllib.parse.urlencode(query)}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                told = json.load(answer)
            assert told["status"] == "success", told
            return told["data"]

        def ready():
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"http://{listen}/-/ready", timeout=5).status == 200

        fleet.until("Prometheus", ready)
        yield ask


def pages_are_clean(targets):
    for role, address in targets.items():
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
            page = answer.read()
        linted = subprocess.run([tool("promtool"), "check", "metrics"], input=page, capture_output=True)
        said = (linted.stdout + linted.stderr).decode()
        assert linted.returncode == 0 and not said, f"{role}: {said}"


def all_are_up(ask, targets):
    def up():
        active = ask("targets")["activeTargets"]
        return len(active) == len(targets) and all(target["health"] == "up" for target in active) and active

    active = fleet.until("every target up", up)
    assert {target["labels"]["program"] for target in active} == set(targets), active
    told = ask("query", query="seedfleet_worker_info")["result"]
    assert {series["metric"]["role"] for series in told} == set(targets), told


def rules_are_evaluated(ask):
    written = re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.MULTILINE)

    def evaluated():
        rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        return rules and all(rule["health"] != "unknown" for rule in rules) and rules

    rules = fleet.until("every rule evaluated", evaluated)
    alerts = [rule for rule in rules if rule["type"] == "alerting"]
    assert sorted(rule["name"] for rule in alerts) == sorted(written) and written, "other alerts than are written"
    faults = {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"}
    assert not faults, faults
    loud = [alert for alert in ask("alerts")["alerts"] if alert["state"] == "firing" and alert["labels"]["severity"] == "page"]
    assert not loud, f"a fleet that is well wakes somebody: {loud}"
    return len(alerts)


def dashboards_are_answered(ask):
    queries = 0
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                ask("query", query=target["expr"].replace("$__rate_interval", "5m").replace("$__range", "1h"))
                queries += 1
    assert queries > 0
    return queries


def run_jobs(ours):
    body = {"model": "seedance-2.0", "duration": 4}
    ids = []
    for n in range(JOBS):
        content = [{"type": "text", "text": f"a paper boat, number {n}"}]
        status, _, told = ours.call("POST", "/v1/jobs", {**body, "content": content})
        assert status == 202, told
        ids.append(told["id"])
    for job in ids:
        fleet.until("the end of a job", lambda: ours.call("GET", f"/v1/jobs/{job}")[2]["state"] == "succeeded")


def main():
    tool("promtool")
    with tempfile.TemporaryDirectory() as folder, fleet.running(pathlib.Path(folder)) as ours:
        targets = {role: fleet.until(f"the admin listener of {role}", lambda: admin(ours, role)) for role in ROLES}
        with prometheus(pathlib.Path(folder), targets) as ask:
            run_jobs(ours)
            all_are_up(ask, targets)
            pages_are_clean(targets)
            finished = 'sum(seedfleet_transitions_total{to="succeeded"})'
            fleet.until("a scrape that counts the jobs", lambda: [float(s["value"][1]) for s in ask("query", query=finished)["result"]] == [JOBS])
            alerts, queries = rules_are_evaluated(ask), dashboards_are_answered(ask)
        print(f"{len(targets)} targets up, {alerts} alerts evaluated, {queries} queries of dashboards answered, pages clean")


if __name__ == "__main__":
    main()
