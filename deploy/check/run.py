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

import chart
import manifests

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm/dynamar"
OUT = ROOT / "target/deploy/rendered"
KUSTOMIZATIONS = [
    *sorted((DEPLOY / "kubernetes/overlays").iterdir()), *sorted((DEPLOY / "kubernetes/jobs").iterdir()),
    DEPLOY / "kubernetes/kserve",
]  # fmt: skip
# Variants of the chart, each like the overlay of its name.
VARIANTS = {
    "cpu": [],
    "image": ["models.from=image"],
    "gpu": ["gpu.enabled=true"],
    "tls": ["tls.secretName=dynamar-tls", "traces.endpoint=http://otel-collector.monitoring.svc:4317"],
    "autoscaling": ["autoscaling.enabled=true"],
    "autoscaling-wait": ["autoscaling.enabled=true", "autoscaling.wait.enabled=true", "podMonitor.enabled=true"],
}
# And further ones, which are only validated.
FURTHER = {
    "auth": ["auth.secretName=callers", "env.DYNAMAR_CACHE__MAX_BYTES=268435456", "nodeSelector.disk=ssd"],
    "included": ["models.from=included", "podDisruptionBudget.enabled=false", "networkPolicy.enabled=false"],
    "claim": ["models.volume.existingClaim=mine", "models.volume.subPath="],
}
# What values.schema.json must not let through.
REFUSED = ["replicas=0", "replica=3", "models.from=nowhere", "resources.limits.cpu=1500m", "models.volume.subPath=../x",
           "autoscaling.cpu=200", "traces.endpoint=collector:4317", "image.digest=sha256:12", "env.dynamar_x=1"]  # fmt: skip
# Their schemas belong to operators and are in no package: they are only looked at by our own rules.
WITHOUT_SCHEMA = {"ScaledObject", "PodMonitor", "ServingRuntime", "InferenceService"}
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


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a command prints; Wrong if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Wrong(f"{Path(str(command[0])).name}: {(done.stdout + done.stderr).strip()[-3000:]}")
    return done.stdout + done.stderr


class Checks:
    """All of them; each returns a few words on what it looked at."""

    def __init__(self, defaults: dict, dynamar: Path) -> None:
        self.defaults, self.dynamar = defaults, dynamar
        self.without_schema: set[str] = set()

    def dockerfiles(self) -> str:
        """hadolint, and settings that there are."""
        files = [ROOT / "Dockerfile", *sorted((DEPLOY / "examples").glob("Dockerfile.*"))]
        settings = re.findall(r"^(?:ENV|\s)\s*(DYNAMAR_[A-Z0-9_]+)=", files[0].read_text(encoding="utf-8"), re.MULTILINE)
        wrong = [f"Dockerfile: default.toml has no key for {name}" for name in settings
                 if not manifests.known(name, self.defaults)]  # fmt: skip
        if wrong or not settings:
            raise Wrong("\n".join(wrong) or "Dockerfile: sets nothing")
        run(tool("hadolint"), *files)
        return f"{len(files)} files, {len(settings)} settings"

    def kustomize(self) -> str:
        """Every overlay and job."""
        kubectl = tool("kubectl")
        return self.validated({place.name: run(kubectl, "kustomize", place) for place in KUSTOMIZATIONS}, "kustomize")

    def helm(self) -> str:
        """Lint, every variant, and values that must be refused."""
        helm = tool("helm")
        run(helm, "lint", "--strict", CHART)
        texts = {name: self.template(helm, values, "--skip-tests") for name, values in {**VARIANTS, **FURTHER}.items()}
        texts["with-tests"] = self.template(helm, [])
        words = self.validated(texts, "helm")
        taken = [value for value in REFUSED if not refuses(helm, value)]
        if taken:
            raise Wrong(f"values.schema.json lets through: {', '.join(taken)}")
        return f"{words}; {len(REFUSED)} wrong values refused"

    def template(self, helm: str, values: list[str], *options: str) -> str:
        sets = [part for value in values for part in ("--set", value)]
        return run(helm, "template", "dynamar", CHART, "--namespace", "dynamar", *options, *sets)

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
        lines = {(file.name, *container["args"]) for file in sorted(OUT.glob("*.yaml")) for document in manifests.load(file)
                 for pod in manifests.pods(document) for container in pod["containers"] if "args" in container}  # fmt: skip
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
        """Syntax, and a case for each alert."""
        promtool, place = tool("promtool"), DEPLOY / "prometheus"
        run(promtool, "check", "rules", "alerts.yaml", cwd=place)
        tests = sorted(file.name for file in place.glob("*_test.yaml"))
        run(promtool, "test", "rules", *tests, cwd=place)
        names = re.findall(r"- alert: (\S+)", (place / "alerts.yaml").read_text(encoding="utf-8"))
        tested = "".join((place / test).read_text(encoding="utf-8") for test in tests)
        untried = [name for name in names if not re.search(rf"alertname: {name}\n\s+exp_alerts:", tested)]
        if untried:
            raise Wrong(f"no test makes these fire: {', '.join(untried)}")
        return f"{len(names)} alerts, each fires in a test"

    def systemd(self) -> str:
        """The unit's syntax, what it leaves open, and its patience."""
        analyze = tool("systemd-analyze")
        text = (DEPLOY / "systemd/dynamar.service").read_text(encoding="utf-8")
        server = self.defaults["server"]
        needed = (server["stop_delay_ms"] + server["drain_timeout_ms"]) / 1000
        if float(re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[1]) <= needed:
            raise Wrong(f"TimeoutStopSec is not above the {needed} s that the server may take")
        settings = re.findall(r"^Environment=(DYNAMAR_\w+)=", text, re.MULTILINE)
        wrong = [name for name in settings if not manifests.known(name, self.defaults)]
        if wrong:
            raise Wrong(f"default.toml has no key for {', '.join(wrong)}")
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
        checks.dockerfiles, checks.kustomize, checks.helm, checks.alike, checks.arguments, checks.alerts, checks.systemd,
        checks.checkov, checks.envoy,
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
