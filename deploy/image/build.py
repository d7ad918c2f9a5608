#!/usr/bin/env python3
"""Builds the image of the Dockerfile: `make image`.

With docker where its daemon answers, else with buildah. Where the bases cannot be pulled, or with STAND_INS=1, on stand-ins
(stand_ins.py): a pass on those says nothing about the real bases. Further arguments go to the build:

    python3 deploy/image/build.py --build-arg ORT=gpu
"""

import os
import re
import subprocess
import sys

import stand_ins
from engine import ROOT, TAG, Engine, EngineMissing, choose, quiet

DOCKERFILE = ROOT / "Dockerfile"
LABEL = "org.dynamar.bases"


def bases() -> dict[str, str]:
    """The Dockerfile's base images, by the argument that names each."""
    found = re.findall(r"^ARG (RUST|PYTHON|RUNTIME)=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def can_pull(engine: Engine, given: list[str]) -> bool:
    """Whether every base that is not given by an argument is here or can be had."""
    wanted = [image for key, image in bases().items() if not any(f"{key}=" in word for word in given)]
    return all(engine.has(image) or quiet([*engine.run, "pull", "--quiet", image]) for image in wanted)


def base_arguments(engine: Engine, given: list[str]) -> tuple[list[str], str]:
    """The arguments that choose the bases, and what they are called."""
    wish = os.environ.get("STAND_INS", "")
    if wish == "1" or (wish != "0" and engine.storage and not can_pull(engine, given)):
        return stand_ins.build_args(engine), "stand-ins"
    return [], "real"


def revision() -> str:
    """The commit that is built, with a mark if something was changed since."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def version() -> str:
    """The version of Cargo.toml."""
    text = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "(.+)"$', text, re.MULTILINE).group(1)


def main(arguments: list[str]) -> int:
    try:
        engine = choose()
        base, kind = base_arguments(engine, arguments)
    except EngineMissing as error:
        print(f"make image: {error}", file=sys.stderr)
        return 1
    command = [
        *engine.build, f"--file={DOCKERFILE}", f"--tag={TAG}", f"--label={LABEL}={kind}",
        f"--build-arg=VERSION={version()}", f"--build-arg=REVISION={revision()}", *base, *arguments, str(ROOT),
    ]  # fmt: skip
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        print(f"make image: {engine.name} failed", file=sys.stderr)
        return 1
    if kind == "stand-ins":
        print("The bases are stand-ins made here: this says nothing about the images that the Dockerfile names.")
    print(f"image: {TAG}, built with {engine.name}; bases: {kind}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
