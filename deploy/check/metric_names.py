#!/usr/bin/env python3
"""Compares the metrics that the dashboard and the alerts ask for with those that a server exports.

    python3 deploy/check/metric_names.py http://127.0.0.1:9090/metrics      # or a file with such a page

A name that no server has makes an empty panel or an alert that never fires, which nobody notices. Labels that an expression selects
by are compared too: they have to be labels of that metric, or of what Prometheus adds. Exits 1 if something is unknown. A server
says nothing of what has not happened yet, such as a refusal: a name that only the sources have is told, and is no fault. Nor is
one that is exported and never asked for.
"""

import argparse
import json
import re
import sys
import urllib.request
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parents[1]
# What Prometheus itself adds or knows.
TARGET_LABELS = {
    "namespace", "instance", "job", "pod", "le", "quantile", "app_kubernetes_io_name", "app_kubernetes_io_instance",
}  # fmt: skip
NAME = re.compile(r"\b((?:dynamar|process)_[a-z0-9_]+)(?:\{([^}]*)\})?")
SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+\S+")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)')
DECLARED = re.compile(r"^# (?:TYPE|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*)")
QUOTED = re.compile(r'"(dynamar_[a-z0-9_]+)"')
SUFFIXES = ("_bucket", "_sum", "_count")


def expressions() -> list[tuple[str, str]]:
    """Every expression, with where it stands."""
    found = []
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        found += [(f"alerts.yaml: {rule.get('alert') or rule['record']}", rule["expr"]) for rule in group["rules"]]
    board = json.loads((DEPLOY / "grafana/dashboard.json").read_text(encoding="utf-8"))
    for panel in board["panels"]:
        found += [(f"dashboard.json: {panel['title']}", target["expr"]) for target in panel.get("targets", [])]
    for variable in board["templating"]["list"]:
        query = variable["query"]
        if isinstance(query, dict):
            found.append((f"dashboard.json: ${variable['name']}", query["query"]))
    for annotation in board["annotations"]["list"]:
        found.append((f"dashboard.json: annotation {annotation['name']}", annotation["expr"]))
    scaled = (DEPLOY / "kubernetes/components/autoscaling-wait/scaledobject.yaml").read_text(encoding="utf-8")
    for trigger in yaml.safe_load(scaled)["spec"]["triggers"]:
        if "query" in trigger["metadata"]:
            found.append(("scaledobject.yaml", trigger["metadata"]["query"]))
    return found


def exported(text: str) -> dict[str, set[str] | None]:
    """Names of a page in Prometheus' format, with their labels; None where a name has no sample yet."""
    known: dict[str, set[str] | None] = {}
    for line in text.splitlines():
        if declared := DECLARED.match(line):
            known.setdefault(declared[1], None)
        elif sample := SAMPLE.match(line):
            # Labels may contain anything in quotes.
            labels = set(LABEL.findall(re.sub(r'"(?:[^"\\]|\\.)*"', '""', sample[2] or "")))
            name = base_of(sample[1], known)
            known[name] = (known.get(name) or set()) | labels
    return known


def in_sources() -> set[str]:
    """Names of metrics that the sources write out."""
    texts = (file.read_text(encoding="utf-8") for file in (DEPLOY.parent / "src").rglob("*.rs"))
    return {name for text in texts for name in QUOTED.findall(text)}


def base_of(name: str, known: dict) -> str:
    """A histogram's name without what its parts add."""
    for suffix in SUFFIXES:
        if name.endswith(suffix) and name.removesuffix(suffix) in known:
            return name.removesuffix(suffix)
    return name


def complaints(where: str, expression: str, known: dict[str, set[str] | None]) -> list[str]:
    """What an expression asks for that there is not."""
    found = []
    # Names of recorded rules have colons; they are made here, and checked by promtool's tests.
    plain = re.sub(r"\b[a-z_]+:[a-z_0-9:]+", "recorded", expression)
    for name, selectors in NAME.findall(plain):
        base = base_of(name, known)
        if base not in known:
            found.append(f"{where}: there is no metric {name}")
            continue
        labels = known[base]
        if labels is None:
            continue
        for label in LABEL.findall(re.sub(r'"(?:[^"\\]|\\.)*"', '""', selectors)):
            if label not in labels | TARGET_LABELS:
                found.append(f"{where}: {name} has no label {label}, but {', '.join(sorted(labels)) or 'none'}")
    return found


def read(source: str) -> str:
    """A page, from a server or a file."""
    if source.startswith(("http://", "https://")):
        with urllib.request.urlopen(source, timeout=10) as page:
            return page.read().decode()
    return Path(source).read_text(encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", metavar="URL|FILE", help="a /metrics page")
    page = exported(read(parser.parse_args().page))
    silent = in_sources() - page.keys()
    known = {**page, **dict.fromkeys(silent)}
    asked = expressions()
    found = (complaint for where, expression in asked for complaint in complaints(where, expression, known))
    wrong = list(dict.fromkeys(found))
    used = {base_of(name, known) for _, expression in asked for name, _ in NAME.findall(expression)}
    unused = sorted(name for name in page if name.startswith("dynamar_") and name not in used)
    for complaint in wrong:
        print(complaint)
    for what, names in (("not on this page yet", sorted(silent & used)), ("asked for by nothing", unused)):
        if names:
            print(f"({what}: {', '.join(names)})")
    print(f"metric names: {len(asked)} expressions, {len(used)} metrics, {len(wrong)} of them unknown")
    return 1 if wrong or not used else 0


if __name__ == "__main__":
    sys.exit(main())
