"""What has to hold in every rendering, and no schema knows: selectors that select, settings that there are, limits that fit."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

CONFINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True}
SETTING = re.compile(r"^DYNAMAR_[A-Z0-9_]+$")
SELECTING = ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor")
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def load(path: Path) -> list[dict]:
    """All documents of a file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def complaints(documents: list[dict], defaults: dict) -> list[str]:
    """Everything that is wrong with a rendering; `defaults` is default.toml."""
    found = []
    for document in documents:
        where = f"{document['kind']} {document['metadata']['name']}"
        found += [f"{where}: {what}" for what in selectors(document, documents)]
        for pod in pods(document):
            found += [f"{where}: {what}" for what in [*confinement(pod), *environment(pod, defaults)]]
        if document["kind"] == "Deployment":
            found += [f"{where}: {what}" for what in [*grace(document, documents, defaults), *probes(document, defaults)]]
    return found


def pods(document: dict) -> Iterator[dict]:
    """The pod specifications in a document."""
    spec = document.get("spec", {})
    if document["kind"] in ("Deployment", "Job"):
        yield spec["template"]["spec"]
    elif document["kind"] == "Pod":
        yield spec
    elif document["kind"] == "ServingRuntime":
        # KServe puts the pod's part of it into the InferenceService.
        yield {**spec, "enableServiceLinks": False, "automountServiceAccountToken": False,
               "securityContext": spec["containers"][0]["securityContext"]}  # fmt: skip


def containers(pod: dict) -> list[dict]:
    """All containers, those that run first too."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def selectors(document: dict, documents: list[dict]) -> Iterator[str]:
    """An empty selector selects the whole namespace, and one that selects nothing does nothing."""
    if document["kind"] not in SELECTING:
        return
    spec = document["spec"]
    selector = spec.get("podSelector", spec.get("selector")) or {}
    labels = selector if document["kind"] == "Service" else selector.get("matchLabels", {})
    templates = [other["spec"]["template"] for other in documents if other["kind"] in ("Deployment", "Job")]
    if not labels:
        yield "its selector is empty: it means every pod of the namespace"
    elif not any(labels.items() <= template["metadata"]["labels"].items() for template in templates):
        yield f"its selector {labels} selects none of these pods"


def confinement(pod: dict) -> Iterator[str]:
    """The restricted profile of Kubernetes' pod security standards, and more."""
    context = pod.get("securityContext", {})
    if pod.get("automountServiceAccountToken") is not False:
        yield "it gets a token for the API, which it does not use"
    if pod.get("enableServiceLinks") is not False:
        yield "services of the namespace become its environment"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    for container in containers(pod):
        name, own = container["name"], container.get("securityContext", {})
        for key, wanted in CONFINED.items():
            if own.get(key) is not wanted:
                yield f"{name}: securityContext.{key} is {own.get(key)}"
        if own.get("runAsUser", context.get("runAsUser")) != 65532:
            yield f"{name}: not the image's user"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{name}: keeps capabilities"
        yield from resources(name, container.get("resources", {}))


def resources(name: str, given: dict) -> Iterator[str]:
    """As much requested as allowed; whole CPUs for what computes."""
    requests, limits = given.get("requests", {}), given.get("limits", {})
    if not limits or requests != limits:
        yield f"{name}: requests are not limits, so that the pod is not Guaranteed"
    cpu = str(limits.get("cpu", ""))
    if not cpu.isdigit() and name not in ("health",):
        yield f"{name}: {cpu or 'no'} CPUs, and a worker runs on a whole one"


def environment(pod: dict, defaults: dict) -> Iterator[str]:
    """The program refuses settings that it does not know."""
    for container in containers(pod):
        for variable in container.get("env", []):
            if SETTING.match(variable["name"]) and not known(variable["name"], defaults):
                yield f"{container['name']}: default.toml has no key for {variable['name']}"


def known(variable: str, defaults: dict) -> bool:
    """Whether default.toml has the key that an environment variable sets."""
    at = defaults
    for part in variable.removeprefix("DYNAMAR_").lower().split("__"):
        if not isinstance(at, dict) or part not in at:
            return False
        at = at[part]
    return not isinstance(at, dict)


def configuration(documents: list[dict]) -> dict:
    """The dynamar.toml of a rendering."""
    for document in documents:
        if document["kind"] == "ConfigMap" and "dynamar.toml" in document["data"]:
            return tomllib.loads(document["data"]["dynamar.toml"])
    return {}


def grace(document: dict, documents: list[dict], defaults: dict) -> Iterator[str]:
    """Kubernetes must not kill what still answers."""
    own = configuration(documents)
    for section, keys in own.items():
        for key in keys:
            if key not in defaults.get(section, {}):
                yield f"dynamar.toml: default.toml has no {section}.{key}"
    server = {**defaults["server"], **own.get("server", {})}
    needed = (server["stop_delay_ms"] + server["drain_timeout_ms"]) / 1000
    granted = document["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
    if granted <= needed:
        yield f"{granted} s of grace, and the server takes up to {needed} s to stop"


def probes(document: dict, defaults: dict) -> Iterator[str]:
    """All three, on the port that there is; none but `dynamar health` with TLS; patience with workers that are replaced."""
    container = document["spec"]["template"]["spec"]["containers"][0]
    port = next(port["containerPort"] for port in container["ports"] if port["name"] == "grpc")
    tls = any(variable["name"] == "DYNAMAR_TLS__CERTIFICATE" for variable in container.get("env", []))
    for name in PROBES:
        probe = container.get(name, {})
        if tls and (probe.get("exec", {}).get("command") != ["/usr/local/bin/dynamar", "health"] or "grpc" in probe):
            yield f"{name}: the kubelet's probes speak no TLS"
        if not tls and probe.get("grpc") != {"port": port, "service": "dynamar.v1.Inference"}:
            yield f"{name}: does not ask dynamar.v1.Inference on port {port}"
    liveness = container.get("livenessProbe", {})
    patience = liveness.get("periodSeconds", 10) * liveness.get("failureThreshold", 3)
    if patience <= 3 * defaults["health"]["stall_timeout_ms"] / 1000:
        yield f"livenessProbe: restarts after {patience} s what may still be replacing a worker"
