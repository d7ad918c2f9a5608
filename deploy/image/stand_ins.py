"""Stand-ins for the base images of the Dockerfile, for machines that reach packages but no image registry.

They are made of Debian's packages and of this machine's Rust toolchain, and named localhost/dynamar-stand-in/…, so that none
is ever taken for the image whose place it takes. What passes on them says that the Dockerfile builds and that the image
does what it should on Debian 12; it says nothing about the real bases. Needs root, Debian 12, debootstrap and buildah.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from engine import STORE, Engine, EngineMissing, quiet

PREFIX = "localhost/dynamar-stand-in"
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where an authority that this machine trusts besides the usual ones lies, if there is one.
AUTHORITIES = Path("/usr/local/share/ca-certificates")
# What distroless' cc has of libraries, by what they are opened as.
RUNTIME_LIBRARIES = [
    "ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1",
    "libresolv.so.2", "libnss_dns.so.2", "libnss_files.so.2", "libgcc_s.so.1", "libstdc++.so.6",
]  # fmt: skip
MULTIARCH = "x86_64-linux-gnu"
USERS = (
    "root:x:0:0:root:/root:/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
    "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
)
GROUPS = "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n"


def build_args(engine: Engine) -> list[str]:
    """Makes what is missing of the stand-ins; the arguments that put them in the bases' place."""
    if engine.storage is None:
        raise EngineMissing("stand-ins are made with buildah; docker has the real bases to pull")
    if not shutil.which("debootstrap"):
        raise EngineMissing("stand-ins need debootstrap: apt-get install --no-install-recommends debootstrap")
    maker = Maker(engine.storage)
    made = {"RUST": maker.rust(), "PYTHON": maker.python(), "RUNTIME": maker.runtime()}
    return [f"--build-arg={key}={image}" for key, image in made.items()]


class Maker:
    """Makes images out of directories and Debian's packages."""

    def __init__(self, buildah: list[str]) -> None:
        self.buildah = buildah
        self.debian_files = STORE / f"debian-{SUITE}"

    def call(self, *arguments: str) -> str:
        """Runs buildah; what it prints."""
        done = subprocess.run([*self.buildah, *arguments], stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        return quiet([*self.buildah, "inspect", "--type=image", image])

    def commit(self, container: str, image: str) -> str:
        self.call("commit", "--quiet", container, image)
        self.call("rm", container)
        return image

    def debian(self) -> str:
        """Debian with next to nothing in it."""
        image = f"{PREFIX}/debian:{SUITE}"
        if self.has(image) and self.debian_files.is_dir():
            return image
        print(f"making {image}", flush=True)
        shutil.rmtree(self.debian_files, ignore_errors=True)
        with open(STORE / "debootstrap.log", "w", encoding="utf-8") as log:
            subprocess.run(
                ["debootstrap", "--variant=minbase", SUITE, str(self.debian_files), MIRROR],
                stdout=log, stderr=log, check=True,
            )  # fmt: skip
        for cached in self.debian_files.glob("var/cache/apt/archives/*.deb"):
            cached.unlink()
        container = self.call("from", "scratch")
        self.call("add", "--quiet", container, str(self.debian_files), "/")
        self.call("config", "--env", PATH, "--cmd", "bash", container)
        return self.commit(container, image)

    def with_packages(self, *packages: str) -> str:
        """A container of Debian with these packages, which trusts whom this machine trusts."""
        container = self.call("from", "--pull-never", self.debian())
        if AUTHORITIES.is_dir() and any(AUTHORITIES.glob("*.crt")):
            self.call("add", "--quiet", container, f"{AUTHORITIES}/*.crt", f"{AUTHORITIES}/")
        install = (
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "
            f"ca-certificates {' '.join(packages)} && rm -rf /var/lib/apt/lists/*"
        )
        with open(STORE / "packages.log", "w", encoding="utf-8") as log:
            subprocess.run(
                [*self.buildah, "run", "--isolation=chroot", container, "--", "sh", "-c", install],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True,
            )  # fmt: skip
        return container

    def rust(self) -> str:
        """rust:…-slim: gcc, and this machine's toolchain without its documents."""
        image = f"{PREFIX}/rust:{SUITE}"
        if self.has(image):
            return image
        print(f"making {image}", flush=True)
        container = self.with_packages("gcc", "libc6-dev")
        sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True)
        with tempfile.TemporaryDirectory(dir=STORE) as stage:
            shutil.copytree(
                sysroot.stdout.strip(), Path(stage, "usr/local/rust"), symlinks=True,
                ignore=shutil.ignore_patterns("doc", "analysis", "man"),
            )  # fmt: skip
            self.call("add", "--quiet", container, stage, "/")
        self.call("config", "--env", f"{PATH}:/usr/local/rust/bin", "--env", "CARGO_HOME=/usr/local/cargo", container)
        return self.commit(container, image)

    def python(self) -> str:
        """python:…-slim."""
        image = f"{PREFIX}/python:{SUITE}"
        if self.has(image):
            return image
        print(f"making {image}", flush=True)
        return self.commit(self.with_packages("python3", "python3-pip"), image)

    def runtime(self) -> str:
        """distroless' cc: the C and C++ libraries, users, authorities; no shell and no packages."""
        image = f"{PREFIX}/cc:{SUITE}"
        if self.has(image):
            return image
        self.debian()
        print(f"making {image}", flush=True)
        with tempfile.TemporaryDirectory(dir=STORE) as stage:
            root = Path(stage)
            root.chmod(0o755)
            self.runtime_files(root)
            container = self.call("from", "scratch")
            self.call("add", "--quiet", container, stage, "/")
        self.call("config", "--env", PATH, "--user", "65532:65532", "--workingdir", "/home/nonroot", container)
        return self.commit(container, image)

    def runtime_files(self, root: Path) -> None:
        """Fills the root directory of the runtime."""
        libraries = root / "usr/lib" / MULTIARCH
        for directory in (libraries, root / "usr/lib64", root / "etc/ssl/certs", root / "home/nonroot", root / "tmp"):
            directory.mkdir(parents=True)
        for directory in ("proc", "sys", "dev", "var", "run"):
            (root / directory).mkdir()
        (root / "tmp").chmod(0o1777)
        (root / "lib").symlink_to("usr/lib")
        (root / "lib64").symlink_to("usr/lib64")
        for library in RUNTIME_LIBRARIES:
            # libstdc++ is of gcc, not of the smallest Debian; this machine's is the same Debian's.
            places = [base / part / MULTIARCH / library for base in (self.debian_files, Path("/"))
                      for part in ("lib", "usr/lib")]  # fmt: skip
            found = next(place for place in places if place.exists())
            shutil.copy(found, libraries / library)
        (root / "usr/lib64/ld-linux-x86-64.so.2").symlink_to(f"../lib/{MULTIARCH}/ld-linux-x86-64.so.2")
        (root / "etc/passwd").write_text(USERS, encoding="utf-8")
        (root / "etc/group").write_text(GROUPS, encoding="utf-8")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/")
        shutil.copy(self.debian_files / "usr/lib/os-release", root / "usr/lib/os-release")
