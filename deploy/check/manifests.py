"""What has to hold in every rendering, and no schema knows: pods that are confined, probes that ask, and what settings.py and
wiring.py look at."""

from collections.abc import Iterator
from pathlib import Path

import yaml

import settings
import wiring

CONFINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True}
# These compute nothing.
SMALL = ("health",)
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# By their names in manifests, the sections of whose addresses the image says where it listens.
PORTS = {"grpc": "SERVER", "health": "HEALTH", "metrics": "METRICS"}
DOCKERFILE = Path(__file__).resolve().parents[2] / "Dockerfile"


def load(path: Path) -> list[dict]:
    """All documents of a file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def complaints(documents: list[dict], defaults: dict) -> list[str]:
    """Everything that is wrong with a rendering; `defaults` is default.toml."""
    found = []
    for document in documents:
        where = f"{document['kind']} {document['metadata']['name']}"
        found += [f"{where}: {what}" for what in wiring.complaints(document, documents)]
        for pod in pods(document):
            wrong = [what for container in containers(pod) for what in settings.environment(container, defaults)]
            found += [f"{where}: {what}" for what in [*confinement(pod), *wrong]]
        if document["kind"] == "Deployment":
            pod = document["spec"]["template"]["spec"]
            found += [f"{where}: {what}" for what in [*settings.grace(pod, documents, defaults), *probes(pod, defaults)]]
    return [*found, *wiring.pulling(documents)]


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


def command_lines(pod: dict) -> Iterator[list[str]]:
    """The verbs and options with which the program is called."""
    yield from (container["args"] for container in pod["containers"] if "args" in container)


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
    if not cpu.isdigit() and name not in SMALL:
        yield f"{name}: {cpu or 'no'} CPUs, and a worker runs on a whole one"


def probes(pod: dict, defaults: dict) -> Iterator[str]:
    """All three, on the port that is theirs alone, with patience with workers that are replaced."""
    container = pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for name, port in ports.items():
        if f"DYNAMAR_{PORTS.get(name)}__ADDRESS=0.0.0.0:{port} " not in DOCKERFILE.read_text(encoding="utf-8"):
            yield f"port {name}: the image does not listen on {port}"
    for variable in container.get("env", []):
        if variable["name"].endswith("__ADDRESS"):
            yield f"{variable['name']} is the image's"
    port = ports.get("health")
    for name in PROBES:
        if container.get(name, {}).get("grpc") != {"port": port, "service": "dynamar.v1.Inference"}:
            yield f"{name}: does not ask dynamar.v1.Inference on port {port}"
    liveness = container.get("livenessProbe", {})
    patience = liveness.get("periodSeconds", 10) * liveness.get("failureThreshold", 3)
    if patience <= 3 * defaults["health"]["stall_timeout_ms"] / 1000:
        yield f"livenessProbe: restarts after {patience} s what may still be replacing a worker"
