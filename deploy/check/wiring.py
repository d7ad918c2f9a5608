"""What one manifest says of another has to be true: selectors select, policies let through, queries ask for what there is."""

import re
from collections.abc import Iterator

SELECTING = ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor")
# By these the alerts tell pods and releases.
TARGET_LABELS = ["app.kubernetes.io/name", "app.kubernetes.io/instance"]


def complaints(document: dict, documents: list[dict]) -> Iterator[str]:
    """Everything that does not fit a document among those that are rendered with it."""
    kind = document["kind"]
    if kind in SELECTING:
        yield from selectors(document, documents)
    if kind == "PodMonitor" and document["spec"].get("podTargetLabels") != TARGET_LABELS:
        yield f"without the labels {TARGET_LABELS} alerts take all releases of a namespace for one"
    if kind == "NetworkPolicy":
        yield from traces(document, documents)
    if kind == "ScaledObject":
        yield from scaling(document)
    if kind == "InferenceService" and annotations(document).get("serving.kserve.io/enable-prometheus-scraping") != "true":
        yield "its pods are not scraped"


def annotations(document: dict) -> dict:
    """Those of a document."""
    return document["metadata"].get("annotations", {})


def labelled(documents: list[dict]) -> list[dict]:
    """What pods of a rendering are labelled with."""
    templates = [other["spec"]["template"] for other in documents if other["kind"] in ("Deployment", "Job")]
    templates += [other for other in documents if other["kind"] == "Pod"]
    return [template["metadata"]["labels"] for template in templates]


def selectors(document: dict, documents: list[dict]) -> Iterator[str]:
    """An empty selector selects the whole namespace, and one that selects nothing does nothing."""
    spec = document["spec"]
    selector = spec.get("podSelector", spec.get("selector")) or {}
    labels = selector if document["kind"] == "Service" else selector.get("matchLabels", {})
    if not labels:
        yield "its selector is empty: it means every pod of the namespace"
    elif not any(labels.items() <= other.items() for other in labelled(documents)):
        yield f"its selector {labels} selects none of these pods"


def traces(policy: dict, documents: list[dict]) -> Iterator[str]:
    """Traces are let out to the port to which they are sent."""
    ports = {port["port"] for rule in policy["spec"].get("egress", []) for port in rule["ports"]}
    for document in documents:
        if document["kind"] != "Deployment":
            continue
        for variable in document["spec"]["template"]["spec"]["containers"][0].get("env", []):
            port = re.search(r":(\d+)/?$", variable.get("value", ""))
            if variable["name"] == "DYNAMAR_TRACES__ENDPOINT" and (not port or int(port[1]) not in ports):
                yield f"traces go to {variable['value']}, and it lets through {sorted(ports)}"


def scaling(scaled: dict) -> Iterator[str]:
    """A query finds this Deployment's pods alone, and is missed when it finds none."""
    namespace, name = scaled["metadata"]["namespace"], scaled["spec"]["scaleTargetRef"]["name"]
    for trigger in scaled["spec"]["triggers"]:
        query = trigger["metadata"].get("query")
        if query is None:
            continue
        for part in (f'namespace="{namespace}"', f'pod=~"{name}-[a-z0-9]+-[a-z0-9]+"'):
            if part not in query:
                yield f"its query does not ask for {part}"
        if trigger["metadata"].get("ignoreNullValues") != "false":
            yield "a query that finds nothing would be a wait of 0"


def pulling(documents: list[dict]) -> Iterator[str]:
    """A chart's test is pulled with the same credentials, and to the same nodes, as its servers."""
    pods = [document["spec"].get("template", {}).get("spec", document["spec"]) for document in documents
            if document["kind"] in ("Deployment", "Pod")]  # fmt: skip
    for key in ("imagePullSecrets", "nodeSelector"):
        if any(pod.get(key) != pods[0].get(key) for pod in pods):
            yield f"{key} is not the same in all pods"
