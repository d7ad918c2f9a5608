#!/usr/bin/env python3
"""Tries the image for real: `make image-check`.

Trains a task with the image, serves it with a read-only root, no capabilities and no network, asks for its health as the
image's HEALTHCHECK does, serves it once more on ports of this machine, calls it through grpcurl, and stops it. Looks into
the image for what it should not have. Each check says what it found; the first that fails ends the run.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import IO

from engine import ROOT, TAG, Engine, EngineMissing, choose
from ports import free_ports

UID = "65532:65532"
# With ONNX Runtime for CPUs. Its library is 29 MB of it, the base 35 MB.
LIMIT_BYTES = 120_000_000
SHELLS = {"sh", "bash", "dash", "ash", "busybox", "zsh", "apt", "apt-get", "dpkg", "apk", "pip", "python3", "curl", "wget"}
EXPECTED = ["usr/local/bin/dynamar", "usr/share/doc/dynamar/LICENSE", "usr/share/doc/dynamar/NOTICE",
            "usr/share/doc/onnxruntime/LICENSE", "usr/share/doc/onnxruntime/ThirdPartyNotices.txt"]  # fmt: skip
# server.stop_delay_ms and server.drain_timeout_ms by default, and what Kubernetes grants.
STOP_DELAY_S, GRACE_S = 5.0, 30.0
PATIENCE_S = 120.0
CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]
TASK = "review-polarity"
QUESTION = {"task": TASK, "examples": [{"fields": {"text": "Absolutely wonderful, I love it, great quality."}}]}


class Failed(Exception):
    """What is not as it should be."""


def want(holds: bool, found: str) -> None:
    """Prints what was found if it is right; ends the run if not."""
    if not holds:
        raise Failed(found)
    print(f"ok  {found}", flush=True)


class Image:
    """The image under test, and the containers that were made of it."""

    def __init__(self, engine: Engine, tag: str) -> None:
        self.engine, self.tag = engine, tag
        self.containers: list[str] = []

    def call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Runs the engine, for its output."""
        command = [*self.engine.run, *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done

    def verb(self, home: Path, *arguments: str) -> str:
        """A verb of dynamar, run to its end as a batch job would be; what it printed."""
        done = self.call(
            "run", "--rm", *self.engine.run_options, *CONFINED, "--network=none", f"--volume={home}:/work",
            f"--volume={ROOT}/models:/source:ro", self.tag, *arguments,
        )  # fmt: skip
        return done.stdout

    def serve(self, home: Path, *options: str) -> str:
        """A server in the background; its container."""
        name = f"dynamar-check-{os.getpid()}-{len(self.containers)}"
        self.containers.append(name)
        self.call(
            "run", "--detach", f"--name={name}", *self.engine.run_options, *CONFINED,
            f"--volume={home}/serving:/models:ro", *options, self.tag,
        )  # fmt: skip
        return name

    def state(self, container: str) -> dict:
        """What the engine knows of a container."""
        return json.loads(self.call("inspect", "--type=container", container).stdout)[0]["State"]

    def log(self, container: str) -> str:
        done = self.call("logs", container, check=False)
        return done.stdout + done.stderr

    def remove(self) -> None:
        for container in self.containers:
            self.call("rm", "--force", container, check=False)


def check_settings(image: Image) -> None:
    """What the image says of itself."""
    config = json.loads(image.call("image", "inspect", image.tag).stdout)[0]
    settings = config["Config"]
    want(settings["User"] == UID, f"runs as {settings['User']}")
    want(settings["Entrypoint"] == ["/usr/local/bin/dynamar"], f"entrypoint {settings['Entrypoint']}")
    want(settings["Cmd"] == ["serve"], f"command {settings['Cmd']}")
    ports = sorted(settings.get("ExposedPorts") or {})
    want(ports == ["50051/tcp", "8081/tcp", "9090/tcp"], f"exposes {', '.join(ports)}")
    want(not settings.get("Volumes"), "declares no volume")
    want("ORT_DISABLE_TELEMETRY=1" in settings["Env"], "switches ONNX Runtime's telemetry off")
    labels = settings.get("Labels") or {}
    revision = labels.get("org.opencontainers.image.revision", "unknown")
    want(revision != "unknown", f"is labelled with its revision, {revision}")
    bases = labels.get("org.dynamar.bases", "not said")
    print(f"--  bases: {bases}{', so that nothing here is said of the real ones' if bases == 'stand-ins' else ''}")


def check_files(image: Image) -> None:
    """What is in the image, all layers counted."""
    container = image.call("create", image.tag).stdout.strip()
    image.containers.append(container)
    with subprocess.Popen([*image.engine.run, "export", container], stdout=subprocess.PIPE) as export:
        sizes, odd = look_into(export.stdout)
    total = sum(sizes.values())
    want(total <= LIMIT_BYTES, f"{total / 1e6:.1f} MB, at most {LIMIT_BYTES / 1e6:.0f} are allowed")
    programs = sorted(name for name in sizes if Path(name).name in SHELLS)
    want(not programs, f"shells, package managers and interpreters: {', '.join(programs) or 'none'}")
    want(not odd, f"files with setuid, setgid or write permission for all: {', '.join(odd) or 'none'}")
    missing = [name for name in EXPECTED if name not in sizes]
    want(not missing, f"program and licences: {'missing ' + ', '.join(missing) if missing else 'there'}")
    print(f"--  dynamar {sizes['usr/local/bin/dynamar'] / 1e6:.1f} MB")


def look_into(stream: IO[bytes]) -> tuple[dict[str, int], list[str]]:
    """Names and sizes of the files in a tar stream, and those with permissions that no file here needs."""
    sizes: dict[str, int] = {}
    odd: list[str] = []
    with tarfile.open(fileobj=stream, mode="r|") as bundle:
        for entry in bundle:
            name = entry.name.removeprefix("./")
            if entry.isfile():
                sizes[name] = entry.size
                odd += [name] if entry.mode & 0o6002 else []
            elif entry.issym() or entry.islnk():
                sizes[name] = 0
    return sizes, odd


def train(image: Image, home: Path) -> None:
    """A checkpoint with one task, made by the image itself."""
    for name in ("encoders", "serving"):
        (home / name).mkdir()
        (home / name).chmod(0o777)
    image.verb(home, "import", "/source/fetched/bert-tiny", "--out", "/work/encoders/tiny")
    image.verb(
        home, "train", "--task", f"/source/tasks/{TASK}.toml", "--encoder", "/work/encoders/tiny",
        "--out", "/work/serving/reviews", "--train", f"/source/data/{TASK}/train.csv",
        "--dev", f"/source/data/{TASK}/dev.csv", "--tune", "head", "--steps", "40",
    )  # fmt: skip
    want((home / "serving/reviews/manifest.json").is_file(), "trains a task without network or a writable root")


def check_health(image: Image, home: Path) -> None:
    """With the image's own settings, and nobody to talk to but itself."""
    whole = json.loads(image.call("image", "inspect", image.tag).stdout)[0]
    # docker has it in the configuration, podman beside it.
    health = whole["Config"].get("Healthcheck") or whole.get("Healthcheck") or {}
    test = health.get("Test", [])
    want(test[:1] == ["CMD"], f"HEALTHCHECK {test}")
    container = image.serve(home, "--network=none")
    until(image, container, lambda: image.call("exec", container, *test[1:], check=False).returncode == 0)
    want(True, "HEALTHCHECK passes with the image's own settings, read-only and without capabilities")
    shell = image.call("exec", container, "/bin/sh", "-c", "true", check=False)
    want(shell.returncode != 0, "no shell can be started in it")
    # Before that is said to be true, the check has to be able to fail.
    broken = image.call("exec", container, *test[1:], "--addr", "127.0.0.1:1", check=False)
    want(broken.returncode == 1, "the same command fails where nothing listens")


def check_calls(image: Image, home: Path, grpcurl: str) -> None:
    """From outside, as a client and as Prometheus; then the stop."""
    port, health, metrics = free_ports(3)
    container = image.serve(
        home, "--network=host", f"--env=DYNAMAR_SERVER__ADDRESS=127.0.0.1:{port}",
        f"--env=DYNAMAR_HEALTH__ADDRESS=127.0.0.1:{health}", f"--env=DYNAMAR_METRICS__ADDRESS=127.0.0.1:{metrics}",
    )  # fmt: skip
    command = [sys.executable, grpcurl, "-plaintext", "-max-time", "5", "-d", json.dumps(QUESTION), f"127.0.0.1:{port}",
               "dynamar.v1.Inference/Classify"]  # fmt: skip
    answers = until(image, container, lambda: answer(command))
    told = image.call("exec", container, "/usr/local/bin/dynamar", "health", f"--addr=127.0.0.1:{health}").stdout.strip()
    want(told.endswith(" is SERVING"), f"where probes ask, {told}")
    labels = {label["label"] for label in answers["results"][0]["labels"]}
    want(labels == {"positive", "negative"}, f"Classify answers {json.dumps(answers['results'][0]['labels'])}")
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as page:
        text = page.read().decode()
    counted = [line for line in text.splitlines() if line.startswith("dynamar_requests_total") and TASK in line]
    want(bool(counted), f"counts it: {' '.join(counted)}")
    check_stop(image, container)


def check_stop(image: Image, container: str) -> None:
    """SIGTERM to the first process, as Kubernetes and docker stop send it."""
    begin = time.monotonic()
    image.call("kill", "--signal=TERM", container)
    code = int(image.call("wait", container).stdout)
    took = time.monotonic() - begin
    want(code == 0, f"SIGTERM ends it with {code}")
    want(STOP_DELAY_S <= took < GRACE_S, f"after {took:.1f} s: the delay for load balancers, and before SIGKILL")


def answer(command: list[str]) -> dict | None:
    """What grpcurl printed, or nothing while it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def until(image: Image, container: str, ask):
    """Asks again and again until there is an answer; not for longer than the container lives."""
    end = time.monotonic() + PATIENCE_S
    while not (found := ask()):
        if image.state(container)["Status"] in ("exited", "stopped") or time.monotonic() > end:
            raise Failed(f"the server does not answer; its log:\n{image.log(container)[-3000:]}")
        time.sleep(0.2)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", default=TAG, help=f"which (default: {TAG})")
    parser.add_argument("--grpcurl", default="grpcurl", metavar="FILE", help="the program that calls")
    options = parser.parse_args()
    try:
        image = Image(choose(), options.image)
        with tempfile.TemporaryDirectory() as directory:
            home = Path(directory)
            home.chmod(0o755)
            try:
                check_settings(image)
                check_files(image)
                train(image, home)
                check_health(image, home)
                check_calls(image, home, options.grpcurl)
            finally:
                image.remove()
    except (Failed, EngineMissing) as error:
        print(f"image-check: {error}", file=sys.stderr)
        return 1
    print(f"image-check: {options.image} does what it should")
    return 0


if __name__ == "__main__":
    sys.exit(main())
