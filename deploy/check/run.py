#!/usr/bin/env python3
"""Checks everything in deploy/ that can be checked without a cluster: `make deploy-check`.

Renders every overlay, job and variant of the chart into target/deploy/rendered and validates them, lints the Dockerfiles, tests
the alerts, and compares what should be alike. A tool that is not here is named at the end as a skipped check: that is no failure,
and says nothing of what it would have found.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import yaml

import chart
import elsewhere
import expressions
import jobs
import manifests
import settings
from variants import FURTHER, REFUSED, VARIANTS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/dynamar"
OUT = ROOT / "target/deploy/rendered"
KUSTOMIZATIONS = [
    *sorted((DEPLOY / "kubernetes/overlays").iterdir()), *sorted((DEPLOY / "kubernetes/jobs").iterdir()),
    DEPLOY / "kubernetes/kserve",
]  # fmt: skip
OWN = DEPLOY / "examples/own"
# Their schemas belong to operators and are in no package: they are only looked at by our own rules.
WITHOUT_SCHEMA = {"ScaledObject", "PodMonitor", "PrometheusRule", "ServingRuntime", "InferenceService"}
# Not asked of a manifest whose image whoever installs it chooses: a digest, and pulling it anew each time.
CHECKOV_SKIPPED = ["CKV_K8S_43", "CKV_K8S_15"]
EXPOSURE_TENTHS = 15


class Skipped(Exception):
    """A tool is missing; its name."""


class Wrong(Exception):
    """What a check found, a line for each."""


def tool(name: str) -> str:
    """Where a tool is."""
    if found := shutil.which(name):
        return found
    raise Skipped(name)


def run(*command: str | Path, cwd: Path = ROOT, log: bool = True) -> str:
    """What a command prints, with what it logs or without; Wrong if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Wrong(f"{Path(str(command[0])).name}: {(done.stdout + done.stderr).strip()[-3000:]}")
    return done.stdout + done.stderr * log


class Checks:
    """All of them; each returns a few words on what it looked at."""

    def __init__(self, defaults: dict, dynamar: Path) -> None:
        self.defaults, self.dynamar = defaults, dynamar
        self.without_schema: set[str] = set()

    def dockerfiles(self) -> str:
        """hadolint, and settings that there are."""
        files = [ROOT / "Dockerfile", *sorted((DEPLOY / "examples").glob("Dockerfile.*"))]
        names = re.findall(r"^(?:ENV|\s)\s*(DYNAMAR_[A-Z0-9_]+)=", files[0].read_text(encoding="utf-8"), re.MULTILINE)
        wrong = [f"Dockerfile: default.toml has no key for {name}" for name in names
                 if settings.default_of(name, self.defaults) is None]  # fmt: skip
        if wrong or not names:
            raise Wrong("\n".join(wrong) or "Dockerfile: sets nothing")
        run(tool("hadolint"), *files)
        return f"{len(files)} files, {len(names)} settings"

    def kustomize(self) -> str:
        """Every overlay and job, and the example of one's own."""
        kubectl = tool("kubectl")
        places = [*KUSTOMIZATIONS, OWN / "servers"]
        return self.validated({place.name: run(kubectl, "kustomize", place) for place in places}, "kustomize")

    def elsewhere(self) -> str:
        """One's own registry, said once, reaches every image; and everything works in another namespace."""
        kubectl, place, wrong = tool("kubectl"), OUT.parent / "elsewhere", []
        for given in KUSTOMIZATIONS:
            own = elsewhere.kustomization(given, OWN / "registry", place)
            texts = [(OUT / f"kustomize-{given.name}.yaml").read_text(encoding="utf-8"), run(kubectl, "kustomize", own)]
            wrong += [f"{given.name}: {what}" for what in elsewhere.complaints(*texts, self.defaults)]
        if wrong:
            raise Wrong("\n".join(wrong))
        return f"{len(KUSTOMIZATIONS)} kustomizations with a registry and a namespace of one's own"

    def jobs(self) -> str:
        """What they hand to each other."""
        names = ("load", "train", "predict", "cpu")
        files = [OUT / f"kustomize-{name}.yaml" for name in names]
        if not all(file.is_file() for file in files):
            raise Skipped("renderings")
        if wrong := list(jobs.complaints(*map(manifests.load, files))):
            raise Wrong("\n".join(wrong))
        return "load, train, predict and servers agree on their places"

    def helm(self) -> str:
        """Lint, every variant, and values that must be refused."""
        helm = tool("helm")
        run(helm, "lint", "--strict", CHART)
        texts = {name: self.template(helm, values, "--skip-tests") for name, values in VARIANTS.items()}
        for name, values in FURTHER.items():
            file = OUT.parent / f"values-{name}.yaml"
            file.write_text(yaml.safe_dump(values), encoding="utf-8")
            texts[name] = self.template(helm, [], "--values", file, *([] if name == "with-tests" else ["--skip-tests"]))
        words = self.validated(texts, "helm")
        taken = [value for value in REFUSED if not refuses(helm, value)]
        if taken:
            raise Wrong(f"values.schema.json lets through: {', '.join(taken)}")
        return f"{words}; {len(REFUSED)} wrong values refused"

    def template(self, helm: str, values: list[str], *options: str | Path) -> str:
        sets = [part for value in values for part in ("--set", value)]
        # Its log has a line for the link to the alerts.
        return run(helm, "template", "dynamar", CHART, "--namespace", "dynamar", *options, *sets, log=False)

    def validated(self, texts: dict[str, str], maker: str) -> str:
        """Writes renderings down, and asks the schemas and our own rules."""
        files, wrong = [], []
        OUT.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            file = OUT / f"{maker}-{name}.yaml"
            file.write_text(text, encoding="utf-8")
            files.append(file)
            found = manifests.complaints(manifests.load(file), self.defaults)
            wrong += [f"{file.name}: {complaint}" for complaint in found]
        if wrong:
            raise Wrong("\n".join(wrong))
        self.schemas(files)
        return f"{len(files)} renderings"

    def schemas(self, files: list[Path]) -> None:
        """Strictly: what the validator only warns of, such as an API that was removed, is wrong too."""
        for line in run(tool("kubernetes-validate"), "--strict", *files).splitlines():
            missing = re.search(r"Couldn't find schema for kind (\S+)", line)
            if missing and missing[1] in WITHOUT_SCHEMA:
                self.without_schema.add(missing[1])
            elif not line.startswith("INFO"):
                raise Wrong(line)

    def alike(self) -> str:
        """The chart and kustomize say the same."""
        wrong = []
        for name in VARIANTS:
            pair = [OUT / f"{maker}-{name}.yaml" for maker in ("helm", "kustomize")]
            if not all(file.is_file() for file in pair):
                raise Skipped("renderings to compare")
            wrong += [f"{name}: {text}" for text in chart.differences(*map(manifests.load, pair))]
        if wrong:
            raise Wrong("\n".join(wrong))
        return f"{len(VARIANTS)} variants of the chart are their overlays"

    def arguments(self) -> str:
        """Options that the manifests give are options of the program."""
        if not self.dynamar.is_file():
            raise Skipped(f"{self.dynamar} (cargo build --release)")
        lines = {(file.name, *line) for file in sorted(OUT.glob("*.yaml")) for document in manifests.load(file)
                 for pod in manifests.pods(document) for line in manifests.command_lines(pod)}  # fmt: skip
        helped = {verb: self.help_of(verb) for _, verb, *_ in lines}
        wrong = [f"there is no dynamar {verb}" for verb, text in helped.items() if not text]
        for file, verb, *options in sorted(lines):
            known = set(re.findall(r"--[a-z][a-z-]*", helped[verb]))
            unknown = [name for name in (option.split("=")[0] for option in options) if known and name not in known]
            wrong += [f"{file}: dynamar {verb} has no {name}" for name in unknown]
        if wrong or not lines:
            raise Wrong("\n".join(wrong) or "no arguments found")
        return f"{len(lines)} command lines of {', '.join(sorted(helped))}"

    def help_of(self, verb: str) -> str:
        """What a verb says of itself; nothing if there is no such verb."""
        try:
            return run(self.dynamar, verb, "--help")
        except Wrong:
            return ""

    def alerts(self) -> str:
        """Syntax, a case for each alert, and the same in the chart."""
        promtool, place = tool("promtool"), DEPLOY / "prometheus"
        run(promtool, "check", "rules", "alerts.yaml", cwd=place)
        # Debian's promtool was built without Kubernetes.
        config = yaml.safe_load((place / "prometheus.yaml").read_text(encoding="utf-8"))
        if config["scrape_configs"][0].pop("kubernetes_sd_configs") != [{"role": "pod"}]:
            raise Wrong("prometheus.yaml does not look for pods")
        (OUT.parent / "prometheus.yaml").write_text(yaml.safe_dump({**config, "rule_files": []}), encoding="utf-8")
        run(promtool, "check", "config", OUT.parent / "prometheus.yaml")
        tests = sorted(file.name for file in place.glob("*_test.yaml"))
        run(promtool, "test", "rules", *tests, cwd=place)
        names = re.findall(r"- alert: (\S+)", (place / "alerts.yaml").read_text(encoding="utf-8"))
        tested = "".join((place / test).read_text(encoding="utf-8") for test in tests)
        untried = [name for name in names if not re.search(rf"alertname: {name}\n\s+exp_alerts:", tested)]
        if untried:
            raise Wrong(f"no test makes these fire: {', '.join(untried)}")
        file, same = OUT / "helm-operator.yaml", [yaml.safe_load((place / "alerts.yaml").read_text(encoding="utf-8"))]
        if file.is_file() and same != [one["spec"] for one in manifests.load(file) if one["kind"] == "PrometheusRule"]:
            raise Wrong("the chart's PrometheusRule is not alerts.yaml")
        return f"{len(names)} alerts, each fires in a test"

    def expressions(self) -> str:
        """What alerts and dashboard ask for, without a server."""
        if wrong := list(expressions.complaints()):
            raise Wrong("\n".join(wrong))
        file = OUT.parent / "load_test.yaml"
        expressions.load_test(file)
        run(tool("promtool"), "test", "rules", file)
        return "calls are those that compute; the load is that of encoders that share CPUs"

    def systemd(self) -> str:
        """The unit's syntax, what it leaves open, and its patience."""
        analyze = tool("systemd-analyze")
        text = (DEPLOY / "systemd/dynamar.service").read_text(encoding="utf-8")
        server = self.defaults["server"]
        number = lambda key: int(re.search(rf"^{key}=(\d+)$", text, re.MULTILINE)[1])  # noqa: E731
        wrong = [f"TimeoutStopSec: {what}" for what in settings.patience(number("TimeoutStopSec"), server)]
        if number("LimitNOFILE") < 2 * server["max_connections"]:
            wrong.append(f"LimitNOFILE is less than twice server.max_connections ({server['max_connections']})")
        variables = re.findall(r"^Environment=(DYNAMAR_\w+)=(.*)$", text, re.MULTILINE)
        container = {"env": [{"name": name, "value": value} for name, value in variables]}
        wrong += settings.environment(container, self.defaults)
        if wrong or not variables:
            raise Wrong("\n".join(wrong) or "no settings found")
        # `verify` looks for the program, which need not be installed here.
        copy = OUT.parent / "dynamar.service"
        copy.write_text(text.replace("/usr/local/bin/dynamar", shutil.which("true")), encoding="utf-8")
        if complaint := run(analyze, "verify", copy).strip():
            raise Wrong(complaint)
        told = run(analyze, "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", copy)
        return re.search(r"exposure level for \S+ ([0-9.]+)", told)[0]

    def checkov(self) -> str:
        """A second opinion on the renderings."""
        checkov = tool("checkov")
        told = run(
            checkov, "--skip-download", "--compact", "--framework", "kubernetes", "--skip-path", "with-tests",
            "--skip-check", ",".join(CHECKOV_SKIPPED), "--directory", OUT,
        )  # fmt: skip
        return re.search(r"Passed checks: [1-9]\d*, Failed checks: 0", told)[0]

    def envoy(self) -> str:
        """Envoy's own opinion of its configuration."""
        told = run(tool("envoy"), "--mode", "validate", "--log-level", "error", "--config-path", DEPLOY / "envoy/envoy.yaml")
        return told.strip().splitlines()[-1]


def refuses(helm: str, value: str) -> bool:
    """Whether the schema says no."""
    command = [helm, "template", "dynamar", str(CHART), "--set", value]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode != 0 and "schema" in done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--defaults", type=Path, default=ROOT / "src/config/default.toml", metavar="FILE")
    parser.add_argument("--dynamar", type=Path, default=ROOT / "target/release/dynamar", metavar="FILE")
    parser.add_argument("--tools", type=Path, action="append", default=[], metavar="DIR", help="looked for tools first")
    options = parser.parse_args()
    os.environ["PATH"] = os.pathsep.join([*map(str, options.tools), os.environ["PATH"]])
    shutil.rmtree(OUT, ignore_errors=True)
    checks = Checks(tomllib.loads(options.defaults.read_text(encoding="utf-8")), options.dynamar)
    order: list[Callable[[], str]] = [
        checks.dockerfiles, checks.kustomize, checks.elsewhere, checks.jobs, checks.helm, checks.alike, checks.arguments,
        checks.expressions, checks.alerts, checks.systemd, checks.checkov, checks.envoy,
    ]  # fmt: skip
    skipped, failed = [], []
    for check in order:
        name = check.__name__
        try:
            print(f"ok       {name}: {check()}", flush=True)
        except Skipped as missing:
            skipped.append(f"{name} (no {missing})")
        except Wrong as wrong:
            failed.append(name)
            print(f"FAILED   {name}:\n{wrong}", flush=True)
    for one in skipped:
        print(f"SKIPPED  {one}")
    if checks.without_schema:
        print(f"no schema to be had for {', '.join(sorted(checks.without_schema))}: looked at by our own rules alone")
    print(f"deploy-check: {len(order) - len(skipped) - len(failed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
