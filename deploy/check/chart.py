"""Compares the chart's default rendering with the kustomize overlay that it should be, in what matters."""

import tomllib
from collections.abc import Iterator

# Of a pod. Names of volumes and of what is in them may differ, where they are mounted may not.
POD = (
    "automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds", "securityContext",
    "topologySpreadConstraints", "tolerations", "initContainers",
)  # fmt: skip
CONTAINER = (
    "image", "imagePullPolicy", "args", "env", "ports", "startupProbe", "readinessProbe", "livenessProbe", "resources",
    "securityContext", "volumeMounts",
)  # fmt: skip
SPECS = {
    "Service": ("type", "clusterIP", "selector", "ports"),
    "PodDisruptionBudget": ("maxUnavailable", "unhealthyPodEvictionPolicy", "selector"),
    "NetworkPolicy": ("podSelector", "policyTypes", "ingress", "egress"),
    "PersistentVolumeClaim": ("accessModes", "resources"),
    "HorizontalPodAutoscaler": ("minReplicas", "maxReplicas", "metrics", "behavior", "scaleTargetRef"),
    "ScaledObject": ("minReplicaCount", "maxReplicaCount", "cooldownPeriod", "advanced", "triggers", "scaleTargetRef"),
    "PodMonitor": ("selector", "podMetricsEndpoints", "podTargetLabels"),
}


def differences(chart: list[dict], overlay: list[dict]) -> list[str]:
    """Where the two differ, each with both values."""
    ours, theirs = facts(chart), facts(overlay)
    return [
        f"{key}: the chart has {ours.get(key)!r}, kustomize {theirs.get(key)!r}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def facts(documents: list[dict]) -> dict[str, object]:
    """What is compared, by where it stands."""
    found: dict[str, object] = {}
    for document in documents:
        kind, spec = document["kind"], document.get("spec", {})
        # Tests of the chart have no counterpart.
        if "helm.sh/hook" in document["metadata"].get("annotations", {}):
            continue
        where = f"{kind} {name_of(document)}"
        found[where] = True
        if kind == "Deployment":
            found.update((f"{where}: {key}", value) for key, value in deployment(spec))
        elif kind == "ConfigMap":
            found[f"{where}: dynamar.toml"] = tomllib.loads(document["data"]["dynamar.toml"])
        elif kind == "ServiceAccount":
            found[f"{where}: automount"] = document.get("automountServiceAccountToken")
        for key in SPECS.get(kind, ()):
            found[f"{where}: {key}"] = sorted_lists(spec.get(key))
    return found


def name_of(document: dict) -> str:
    """A name, without the hash that kustomize adds to those of configuration."""
    name = document["metadata"]["name"]
    return name.rsplit("-", 1)[0] if document["kind"] == "ConfigMap" and not name.endswith("-config") else name


def deployment(spec: dict) -> Iterator[tuple[str, object]]:
    """The parts of a Deployment."""
    pod = spec["template"]["spec"]
    for key in ("replicas", "strategy", "revisionHistoryLimit", "selector"):
        yield key, spec.get(key)
    yield "labels", spec["template"]["metadata"]["labels"]
    annotations = spec["template"]["metadata"].get("annotations", {})
    yield "scraping", {key: value for key, value in annotations.items() if key.startswith("prometheus.io/")}
    for key in POD:
        yield f"pod.{key}", sorted_lists(pod.get(key))
    yield "pod.volumes", sorted(volume["name"] for volume in pod["volumes"])
    for container in pod["containers"]:
        for key in CONTAINER:
            yield f"{container['name']}.{key}", sorted_lists(container.get(key))


def sorted_lists(value: object) -> object:
    """The same with lists of mappings in an order that does not depend on who wrote them."""
    if isinstance(value, dict):
        return {key: sorted_lists(part) for key, part in value.items()}
    if isinstance(value, list):
        parts = [sorted_lists(part) for part in value]
        return sorted(parts, key=repr_sorted) if all(isinstance(part, dict) for part in parts) else parts
    return value


def repr_sorted(part: dict) -> str:
    """A text that is the same for equal mappings."""
    return repr(sorted((key, repr(value)) for key, value in part.items()))
