"""The program that builds and runs images here: docker where its daemon answers, else buildah and podman.

buildah and podman keep what they make in target/image-store, so that nothing of this machine's own is
touched, and need no daemon.
"""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STORE = Path(os.environ.get("IMAGE_STORE", ROOT / "target/image-store"))
TAG = os.environ.get("IMAGE_TAG", "localhost/dynamar:dev")


class EngineMissing(Exception):
    """There is nothing to build images with; the message says what to install."""


@dataclass(frozen=True)
class Engine:
    """How images are built and run here."""

    name: str
    build: list[str]
    run: list[str]
    # What `run` needs besides, where the machine is itself a container.
    run_options: list[str] = field(default_factory=list)
    # The storage itself, for stand-ins; only buildah's can be filled without a registry.
    storage: list[str] | None = None

    def has(self, image: str) -> bool:
        """Whether the image is in the store."""
        return quiet([*self.run, "image", "inspect", image])


def quiet(command: list[str]) -> bool:
    """Runs a command for its exit code alone."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=60, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def choose() -> Engine:
    """docker if its daemon answers, buildah and podman if they are installed."""
    if quiet(["docker", "version"]):
        return Engine("docker", ["docker", "build"], ["docker"])
    missing = [tool for tool in ("buildah", "podman", "runc") if not shutil.which(tool)]
    if missing:
        raise EngineMissing(
            f"docker does not answer, and {', '.join(missing)} is not installed.\n"
            "  what to do: start docker, or apt-get install --no-install-recommends buildah podman runc"
        )
    driver = storage_driver()
    # Short: what runs a container makes sockets below it, whose paths have a limit.
    storage = [f"--root={STORE}/{driver}", f"--runroot=/run/dynamar-image-{driver}", f"--storage-driver={driver}"]
    hard = subprocess.run(["bash", "-c", "ulimit -Hn"], capture_output=True, text=True, check=True).stdout.strip()
    return Engine(
        "buildah",
        ["buildah", *storage, "bud", "--isolation=chroot", "--layers", "--format=docker", "--network=host"],
        ["podman", *storage, "--cgroup-manager=cgroupfs", "--runtime=runc"],
        [f"--ulimit=nofile={hard}:{hard}", "--ulimit=nproc=4096:4096"],
        ["buildah", *storage],
    )


def storage_driver() -> str:
    """overlay where it can be mounted; else vfs, which copies every layer whole."""
    STORE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STORE) as home:
        parts = {name: Path(home, name) for name in ("lower", "upper", "work", "merged")}
        for part in parts.values():
            part.mkdir()
        options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
        if not quiet(["mount", "-t", "overlay", "overlay", "-o", options, str(parts["merged"])]):
            return "vfs"
        subprocess.run(["umount", str(parts["merged"])], check=True)
    return "overlay"
