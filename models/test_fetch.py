#!/usr/bin/env python3
"""Tests of fetch.py and demo_data.py. No network: archives are made here, and
where pip is run it is told to look nowhere else.

    python3 models/test_fetch.py
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import demo_data  # noqa: E402
import fetch  # noqa: E402

WEIGHTS = b"weights " * 64
CONFIG = b'{"hidden_size": 8}\n'
SNIPPETS = "".join(
    f"{review}_{sentence}\t{(review * 7 + sentence) % 9 - 4}\tsentence {sentence} of review {review}.\r\n"
    for review in range(1, 101)
    for sentence in range(1, 4)
).encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar_of(files: dict[str, bytes]) -> bytes:
    """A gzipped tar archive of these files."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as bundle:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            bundle.addfile(entry, io.BytesIO(content))
    return output.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    """A deflated zip archive of these files."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return output.getvalue()


def wheel_of(files: dict[str, bytes], package: str = "tiny-model") -> bytes:
    """A wheel that pip accepts as version 1.0 of the package."""
    info = f"{package.replace('-', '_')}-1.0.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return output.getvalue()


def file_line(name: str, content: bytes, **more: str) -> str:
    """An inline table of `members` or `files`."""
    fields = {"name": name, "sha256": sha256(content), **more}
    texts = ", ".join(f'{key} = "{value}"' for key, value in fields.items())
    return f"{{ {texts}, bytes = {len(content)} }}"


def artifact_text(name: str, file: str, archive: bytes, members: list[str]) -> str:
    """An [[artifact]] of the package tiny-model."""
    return f"""
[[artifact]]
name = "{name}"
what = "a test"
package = "tiny-model"
version = "1.0"
licence = "MIT"
source = "made here"
target = "models/fetched/{name}"
[[artifact.archive]]
file = "{file}"
sha256 = "{sha256(archive)}"
bytes = {len(archive)}
members = [{", ".join(members)}]
"""


class TemporaryRoot(unittest.TestCase):
    """A root, a directory of archives and a catalogue, all temporary."""

    WHEEL = "tiny_model-1.0-py3-none-any.whl"

    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.base = Path(holder.name)
        self.root, self.archives = self.base / "root", self.base / "archives"
        self.archives.mkdir()
        nowhere = self.base / "nowhere"
        nowhere.mkdir()
        settings = {
            fetch.ARCHIVE_DIR_VARIABLE: str(self.archives),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(nowhere),
            "PIP_NO_CACHE_DIR": "1",
        }
        patch = mock.patch.dict(os.environ, settings)
        patch.start()
        self.addCleanup(patch.stop)
        self.target = self.root / "models/fetched/tiny"

    def catalogue(self, *artifacts: str) -> Path:
        path = self.base / "catalogue.toml"
        path.write_text("format = 1\n" + "".join(artifacts))
        return path

    def tiny_wheel(self, inside: bytes = WEIGHTS) -> Path:
        """A catalogue with a wheel that should hold WEIGHTS; the wheel is at hand."""
        wheel = wheel_of({"pkg/model.bin": inside, "pkg/config.json": CONFIG, "../../evil": b"evil"})
        (self.archives / self.WHEEL).write_bytes(wheel)
        members = [
            file_line("model.bin", WEIGHTS, member="pkg/model.bin"),
            file_line("config.json", CONFIG, member="pkg/config.json"),
        ]
        return self.catalogue(artifact_text("tiny", self.WHEEL, wheel, members))

    def run_fetch(self, catalogue: Path, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = fetch.main([*arguments, "--root", str(self.root)], catalogue)
        return status, out.getvalue(), err.getvalue()

    def assert_nothing_left(self):
        left = [path for path in self.root.rglob("*") if path.is_file() and path.name != ".lock"]
        self.assertEqual(left, [])
        self.assertEqual(list(self.root.rglob(".partial-*")), [])


class Fetching(TemporaryRoot):
    def test_takes_the_named_members_and_nothing_else(self):
        status, out, _ = self.run_fetch(self.tiny_wheel())
        self.assertEqual(status, 0)
        self.assertRegex(out, r"^tiny: 0\.0 MB wheel tiny-model 1\.0 \.\.\. ok, from ")
        self.assertEqual((self.target / "model.bin").read_bytes(), WEIGHTS)
        names = sorted(path.name for path in self.target.iterdir())
        self.assertEqual(names, [fetch.MARKER, "config.json", "model.bin"])
        self.assertEqual(list(self.base.rglob("evil")), [])
        self.assertEqual(list(self.root.rglob(".partial-*")), [])

    def test_second_run_reads_no_contents(self):
        catalogue = self.tiny_wheel()
        self.run_fetch(catalogue)
        with mock.patch.object(fetch, "hash_file", side_effect=AssertionError("hashed")):
            with mock.patch.object(fetch, "fetch_files", side_effect=AssertionError("fetched")):
                status, out, _ = self.run_fetch(catalogue)
        self.assertEqual((status, out), (0, "tiny: in place\n"))

    def test_downloads_with_pip(self):
        catalogue = self.tiny_wheel()
        del os.environ[fetch.ARCHIVE_DIR_VARIABLE]
        os.environ["PIP_FIND_LINKS"] = str(self.archives)
        status, out, err = self.run_fetch(catalogue)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out, "tiny: 0.0 MB wheel tiny-model 1.0 ... ok\n")
        self.assertEqual((self.target / "model.bin").read_bytes(), WEIGHTS)

    def test_reads_an_archive_inside_an_archive(self):
        inner = tar_of({"deep/model.bin": WEIGHTS})
        sdist = tar_of({"tiny-1.0/more/inner.tar.gz": inner})
        (self.archives / "tiny-1.0.tar.gz").write_bytes(sdist)
        member = file_line("model.bin", WEIGHTS, member="tiny-1.0/more/inner.tar.gz", inner="deep/model.bin")
        status, _, err = self.run_fetch(self.catalogue(artifact_text("tiny", "tiny-1.0.tar.gz", sdist, [member])))
        self.assertEqual((status, err), (0, ""))
        self.assertEqual((self.target / "model.bin").read_bytes(), WEIGHTS)

    def test_listing_fetches_nothing(self):
        status, out, _ = self.run_fetch(self.tiny_wheel(), "--list")
        self.assertEqual(status, 0)
        for part in ("tiny: a test", "licence  MIT", "tiny-model 1.0", "models/fetched/tiny (not there)"):
            self.assertIn(part, out)
        self.assertFalse(self.root.exists())


    def test_what_is_on_request_is_fetched_by_name_alone(self):
        catalogue = self.tiny_wheel()
        text = catalogue.read_text().replace('licence = ', 'on_request = true\nlicence = ', 1)
        catalogue.write_text(text)
        self.assertEqual(self.run_fetch(catalogue), (0, "", ""))
        self.assertFalse(self.target.exists())
        self.assertEqual(self.run_fetch(catalogue, "--list")[1].count("tiny:"), 1)
        self.assertEqual(self.run_fetch(catalogue, "tiny")[0], 0)
        self.assertTrue(self.target.exists())


class Damage(TemporaryRoot):
    def test_changed_file_is_fetched_again(self):
        catalogue = self.tiny_wheel()
        self.run_fetch(catalogue)
        (self.target / "model.bin").write_bytes(WEIGHTS[:-1] + b"!")
        self.assertEqual(self.run_fetch(catalogue)[0], 0)
        self.assertEqual((self.target / "model.bin").read_bytes(), WEIGHTS)

    def test_missing_file_is_fetched_again(self):
        catalogue = self.tiny_wheel()
        self.run_fetch(catalogue)
        (self.target / "config.json").unlink()
        self.assertEqual(self.run_fetch(catalogue)[0], 0)
        self.assertEqual((self.target / "config.json").read_bytes(), CONFIG)

    def test_copied_or_hand_made_directory_is_hashed_once_and_kept(self):
        catalogue = self.tiny_wheel()
        self.target.mkdir(parents=True)
        (self.target / "model.bin").write_bytes(WEIGHTS)
        (self.target / "config.json").write_bytes(CONFIG)
        with mock.patch.object(fetch, "fetch_files", side_effect=AssertionError("fetched")):
            self.assertEqual(self.run_fetch(catalogue)[0], 0)
        self.assertEqual(self.run_fetch(catalogue)[1], "tiny: in place\n")

    def test_new_catalogue_hash_makes_the_old_directory_incomplete(self):
        catalogue = self.tiny_wheel()
        self.run_fetch(catalogue)
        text = catalogue.read_text().replace(sha256(CONFIG), sha256(b"other"))
        catalogue.write_text(text)
        status, _, err = self.run_fetch(catalogue)
        self.assertEqual(status, 1)
        self.assertIn("holds another pkg/config.json", err)
        self.assertEqual((self.target / "model.bin").read_bytes(), WEIGHTS)

    def test_killed_extraction_is_not_taken_for_finished(self):
        catalogue = self.tiny_wheel()
        abandoned = self.target.parent / ".partial-tiny-abc/files"
        abandoned.mkdir(parents=True)
        (abandoned / "model.bin").write_bytes(WEIGHTS[:9])
        with mock.patch.object(fetch, "publish", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                self.run_fetch(catalogue)
        self.assert_nothing_left()
        self.assertEqual(self.run_fetch(catalogue)[0], 0)

    def test_directory_without_marker_and_with_half_a_file_is_replaced(self):
        catalogue = self.tiny_wheel()
        self.target.mkdir(parents=True)
        (self.target / "model.bin").write_bytes(WEIGHTS[:9])
        self.assertEqual(self.run_fetch(catalogue)[0], 0)
        self.assertEqual((self.target / "model.bin").read_bytes(), WEIGHTS)


class JoinedParts(TemporaryRoot):
    """An encoder whose zip comes in four parts, one in each of four wheels."""

    FILES = {"tiny/model.bin": bytes(sum(divmod(7919 * i, 251)) % 256 for i in range(4096)), "tiny/config.json": CONFIG}
    JOINED = zip_of({**FILES, "tiny/notes.txt": b"not wanted"})
    COUNT = 4

    def wheel(self, number: int) -> str:
        return f"tiny_part_{number}-1.0-py3-none-any.whl"

    def in_parts(self, joined: bytes = JOINED) -> Path:
        """A catalogue that wants FILES out of `joined`; all wheels are at hand."""
        size = -(-len(joined) // self.COUNT)
        archives = ""
        for number in range(self.COUNT):
            part = joined[number * size : (number + 1) * size]
            wheel = wheel_of({f"part_{number}/input/tiny.zip": part, "evil": b"evil"}, f"tiny-part-{number}")
            (self.archives / self.wheel(number)).write_bytes(wheel)
            archives += f"""
[[artifact.joined.archive]]
package = "tiny-part-{number}"
file = "{self.wheel(number)}"
sha256 = "{sha256(wheel)}"
bytes = {len(wheel)}
members = [{file_line(f"tiny.zip.{number}", part, member=f"part_{number}/input/tiny.zip")}]
"""
        members = [file_line(name.split("/")[1], content, member=name) for name, content in self.FILES.items()]
        return self.catalogue(f"""
[[artifact]]
name = "tiny"
what = "a test"
version = "1.0"
licence = "MIT"
source = "made here"
target = "models/fetched/tiny"
on_request = true
[artifact.joined]
file = "tiny.zip"
members = [{", ".join(members)}]
{archives}""")

    def assert_fetched(self):
        for name, content in self.FILES.items():
            self.assertEqual((self.target / name.split("/")[1]).read_bytes(), content)
        self.assertEqual(len(list(self.target.iterdir())), len(self.FILES) + 1)
        self.assertEqual(list(self.root.rglob(".partial-*")), [])

    def check_refused(self, catalogue: Path, *messages: str):
        """The run fails with these messages and leaves nothing."""
        status, out, err = self.run_fetch(catalogue, "tiny")
        self.assertEqual(status, 1)
        self.assertIn("failed", out)
        for message in (*messages, "not there: tiny"):
            self.assertIn(message, err)
        self.assert_nothing_left()

    def test_parts_are_joined_and_only_the_named_members_taken(self):
        catalogue = self.in_parts()
        status, out, err = self.run_fetch(catalogue, "tiny")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out, f"tiny: 0.0 MB in 4 packages, parts of tiny.zip ... ok, from {self.archives}\n")
        self.assert_fetched()
        self.assertEqual(self.run_fetch(catalogue, "tiny")[1], "tiny: in place\n")

    def test_what_is_not_at_hand_is_downloaded_with_pip(self):
        catalogue = self.in_parts()
        index = self.base / "nowhere"
        for number in (1, 3):
            (self.archives / self.wheel(number)).rename(index / self.wheel(number))
        status, out, err = self.run_fetch(catalogue, "tiny")
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(out.endswith("tiny.zip ... ok\n"), out)
        self.assert_fetched()

    def test_only_one_downloaded_archive_is_kept_at_a_time(self):
        catalogue, seen = self.in_parts(), []

        def download(artifact, archive, directory):
            seen.append([path.name for path in directory.parent.rglob("*.whl")])
            return Path((self.archives / archive.file).rename(directory / archive.file))

        with mock.patch.object(fetch, "archive_at_hand", return_value=None):
            with mock.patch.object(fetch, "download", side_effect=download):
                self.assertEqual(self.run_fetch(catalogue, "tiny")[0], 0)
        self.assertEqual(seen, [[]] * self.COUNT)
        self.assert_fetched()

    def test_listing_names_every_package(self):
        out = self.run_fetch(self.in_parts(), "--list")[1]
        for number in range(self.COUNT):
            self.assertIn(f"wheel tiny-part-{number} 1.0 ({self.wheel(number)})", out)

    def test_missing_archive(self):
        catalogue = self.in_parts()
        (self.archives / self.wheel(2)).unlink()
        could_not = "tiny: tiny-part-2 1.0 could not be downloaded"
        self.check_refused(catalogue, could_not, f"put {self.wheel(2)} (sha256 ", "model.bin (sha256 ")

    def test_archive_with_another_hash(self):
        catalogue = self.in_parts()
        (self.archives / self.wheel(1)).write_bytes(wheel_of({}, "tiny-part-1"))
        self.check_refused(catalogue, "not used: ", f"{self.wheel(1)} has sha256", "tiny-part-1 1.0 could not be downloaded")

    def test_archive_without_its_part(self):
        catalogue = self.in_parts()
        catalogue.write_text(catalogue.read_text().replace("part_3/input/tiny.zip", "part_3/input/gone.zip"))
        self.check_refused(catalogue, f"{self.wheel(3)} holds no part_3/input/gone.zip")

    def test_part_with_another_hash(self):
        catalogue = self.in_parts()
        size = -(-len(self.JOINED) // self.COUNT)
        part = self.JOINED[size : 2 * size]
        catalogue.write_text(catalogue.read_text().replace(sha256(part), sha256(b"other")))
        self.check_refused(catalogue, f"{self.wheel(1)} holds another part_1/input/tiny.zip", sha256(part))

    def test_member_of_the_joined_archive_with_another_hash(self):
        catalogue = self.in_parts(zip_of({**self.FILES, "tiny/config.json": b"{}"}))
        self.check_refused(catalogue, "tiny.zip holds another tiny/config.json", sha256(b"{}"))

    def test_member_that_the_joined_archive_lacks(self):
        catalogue = self.in_parts(zip_of({"tiny/config.json": CONFIG}))
        self.check_refused(catalogue, "tiny.zip holds no tiny/model.bin")

    def test_parts_in_the_wrong_order(self):
        head, *archives = self.in_parts().read_text().split("[[artifact.joined.archive]]")
        for order in ((1, 0, 2, 3), (0, 2, 1, 3)):
            swapped = "[[artifact.joined.archive]]".join([head, *(archives[number] for number in order)])
            (self.base / "catalogue.toml").write_text(swapped)
            with self.subTest(order=order):
                self.check_refused(self.base / "catalogue.toml", "tiny.zip cannot be read: ")

    def test_interrupted_run_leaves_nothing_and_the_next_one_begins_anew(self):
        catalogue = self.in_parts()
        copy_member, calls = fetch.copy_member, []

        def interrupted(*arguments):
            calls.append(arguments)
            if len(calls) == 3:
                raise KeyboardInterrupt
            copy_member(*arguments)

        with mock.patch.object(fetch, "copy_member", side_effect=interrupted):
            with self.assertRaises(KeyboardInterrupt):
                self.run_fetch(catalogue, "tiny")
        self.assert_nothing_left()
        self.assertEqual(self.run_fetch(catalogue, "tiny")[0], 0)
        self.assert_fetched()

    def test_faults_in_the_catalogue(self):
        good = self.in_parts().read_text()
        whole = '[[artifact.archive]]\nfile = "a.whl"\n[artifact.joined]'
        cases = {
            ("[artifact.joined]\n", f"{whole}\n"): "tiny: it has both [[artifact.archive]] and [artifact.joined]",
            ('package = "tiny-part-1"', 'platform = "plan9-mips"\npackage = "tiny-part-1"'): "has a platform",
            ('package = "tiny-part-1"\n', ""): "tiny: 'package' is missing",
            ('file = "tiny.zip"', 'file = "../tiny.zip"'): "is not a plain file name",
            ("members = [{ name = \"tiny.zip.0\"", "members = []\nparts = [{ name = \"tiny.zip.0\""): "has no members",
        }
        for (old, new), message in cases.items():
            self.assertIn(old, good)
            (self.base / "catalogue.toml").write_text(good.replace(old, new))
            with self.subTest(new=new):
                status, _, err = self.run_fetch(self.base / "catalogue.toml", "tiny")
                self.assertEqual(status, 2)
                self.assertIn(message, err)


class Refusing(TemporaryRoot):
    def test_member_with_another_hash(self):
        status, out, err = self.run_fetch(self.tiny_wheel(inside=b"other weights"))
        self.assertEqual(status, 1)
        self.assertIn("failed", out)
        self.assertIn("holds another pkg/model.bin", err)
        self.assertIn("not there: tiny", err)
        self.assert_nothing_left()

    def test_missing_member(self):
        catalogue = self.tiny_wheel()
        catalogue.write_text(catalogue.read_text().replace("pkg/model.bin", "pkg/gone.bin"))
        status, _, err = self.run_fetch(catalogue)
        self.assertEqual(status, 1)
        self.assertIn(f"{self.WHEEL} holds no pkg/gone.bin", err)
        self.assert_nothing_left()

    def test_archive_with_another_hash_and_no_index_says_what_to_do(self):
        catalogue = self.tiny_wheel()
        (self.archives / self.WHEEL).write_bytes(b"not the wheel")
        status, _, err = self.run_fetch(catalogue)
        self.assertEqual(status, 1)
        remedies = ("HTTPS_PROXY", fetch.ARCHIVE_DIR_VARIABLE, "by hand", sha256(WEIGHTS))
        tried = ("tiny-model 1.0 could not be downloaded", "tried once", "pip download", "tiny-model==1.0")
        for part in ("not used: ", self.WHEEL, "No matching distribution", *tried, *remedies):
            self.assertIn(part, err)
        self.assert_nothing_left()

    def test_archive_directory_that_is_none(self):
        os.environ[fetch.ARCHIVE_DIR_VARIABLE] = str(self.base / "typo")
        status, _, err = self.run_fetch(self.tiny_wheel())
        self.assertEqual(status, 1)
        self.assertIn("which is not a directory", err)

    def test_pip_that_is_missing(self):
        artifact = fetch.load_catalogue(self.tiny_wheel())[0]
        message = fetch.download_failure(artifact, artifact.archive(), 1, "python3: No module named pip")
        self.assertIn("apt-get install python3-pip", message)

    def test_network_trouble_is_tried_again(self):
        catalogue = self.tiny_wheel()
        del os.environ[fetch.ARCHIVE_DIR_VARIABLE]
        broken = mock.Mock(returncode=1, stdout="ERROR: Connection reset by peer\n")
        with mock.patch.object(fetch.subprocess, "run", return_value=broken) as run:
            with mock.patch.object(fetch.time, "sleep"):
                _, _, err = self.run_fetch(catalogue)
        self.assertEqual(run.call_count, fetch.PIP_ATTEMPTS)
        self.assertIn("tried 2 times", err)

    def test_platform_without_archive(self):
        catalogue = self.tiny_wheel()
        catalogue.write_text(catalogue.read_text().replace("file =", 'platform = "plan9-mips"\nfile ='))
        status, _, err = self.run_fetch(catalogue)
        self.assertEqual(status, 1)
        self.assertIn("catalogued for plan9-mips, not for", err)

    def test_unknown_name(self):
        status, _, err = self.run_fetch(self.tiny_wheel(), "tinny")
        self.assertEqual(status, 2)
        self.assertIn("'tinny' is not in the catalogue; it has tiny", err)

    def test_paths_out_of_the_root(self):
        catalogue = self.tiny_wheel()
        good = catalogue.read_text()
        for old, new in (("models/fetched/tiny", "../tiny"), ('"model.bin"', '"../model.bin"')):
            catalogue.write_text(good.replace(old, new))
            status, _, err = self.run_fetch(catalogue)
            self.assertEqual(status, 2)
            self.assertRegex(err, "is not a (path inside|plain file name)")

    def test_key_left_out_of_the_catalogue(self):
        catalogue = self.tiny_wheel()
        catalogue.write_text(catalogue.read_text().replace('version = "1.0"', ""))
        status, _, err = self.run_fetch(catalogue)
        self.assertEqual(status, 2)
        self.assertIn("tiny: 'version' is missing", err)


class DemoData(TemporaryRoot):
    def rows(self, files: dict[str, bytes], task: str, split: str) -> list[dict[str, str]]:
        text = files[f"{task}/{split}.csv"].decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def splits_holding(self, files: dict[str, bytes], review_id: str) -> list[str]:
        holds = lambda split: any(row["review_id"] == review_id for row in self.rows(files, "review-intensity", split))
        return [split for split in demo_data.SPLITS if holds(split)]

    def test_same_input_gives_the_same_bytes(self):
        self.assertEqual(demo_data.build(SNIPPETS), demo_data.build(SNIPPETS))

    def test_other_reviews_do_not_move_a_review(self):
        files, more = demo_data.build(SNIPPETS), demo_data.build(b"900_1\t1\tanother one.\n" + SNIPPETS)
        for review_id in ("1", "50", "100"):
            self.assertEqual(self.splits_holding(files, review_id), self.splits_holding(more, review_id))

    def test_split_of_a_review_is_fixed(self):
        splits = [demo_data.split_of(review) for review in ("1", "2", "3", "12", "309")]
        self.assertEqual(splits, ["train", "train", "dev", "train", "dev"])

    def test_splits_share_no_review_and_no_text_across_both_tasks(self):
        files = demo_data.build(SNIPPETS)
        for column in ("review_id", "text"):
            of_split = {
                split: {row[column] for task in demo_data.TASKS for row in self.rows(files, task, split)}
                for split in demo_data.SPLITS
            }
            self.assertTrue(all(of_split.values()))
            self.assertFalse(of_split["train"] & of_split["dev"])
            self.assertFalse(of_split["train"] & of_split["test"])
            self.assertFalse(of_split["dev"] & of_split["test"])

    def test_polarity_takes_clear_ratings_only(self):
        source = b"1_1\t1.0\tgood\n1_2\t-1\tbad\n1_3\t0.95\tmeh\n1_4\t-0.99\thm\n"
        rows = self.rows(demo_data.build(source), "review-polarity", demo_data.split_of("1"))
        self.assertEqual([(row["text"], row["sentiment"]) for row in rows], [("good", "positive"), ("bad", "negative")])

    def test_blanks_quotes_and_repeats(self):
        source = b'1_1\t1.50\t a "fine", player \r\n1_2\t2\t  \r\n2_1\t-3\tA  "FINE", player\r\n'
        files = demo_data.build(source)
        rows = [row for split in demo_data.SPLITS for row in self.rows(files, "review-intensity", split)]
        self.assertEqual(rows, [{"text": 'a "fine", player', "rating": "1.50", "review_id": "1"}])

    def test_bad_rows_are_named(self):
        cases = {
            b"1_1\t1\tfine\n1_2\t1\n": "line 2: expected id, rating and text, found 2 columns",
            b"one\t1\tfine\n": "line 1: the id 'one' is not of the form 12_3",
            b"1_1\tnan\tfine\n": "line 1: the rating 'nan' is not a number from -4 to 4",
            b"1_1\t4.5\tfine\n": "line 1: the rating '4.5' is not",
            b"1_1\t1\tf\xffne\n": "not UTF-8 text",
        }
        for source, message in cases.items():
            with self.subTest(source=source), self.assertRaises(demo_data.BadSource) as caught:
                demo_data.build(source)
            self.assertIn(message, str(caught.exception))

    def with_reviews(self, source: bytes, made: dict[str, bytes]) -> Path:
        """A catalogue whose wheel holds the source and that wants what was made."""
        wheel = wheel_of({"pkg/reviews.txt": source})
        (self.archives / self.WHEEL).write_bytes(wheel)
        text = artifact_text("tiny", self.WHEEL, wheel, [file_line("reviews.txt", source, member="pkg/reviews.txt")])
        files = [file_line(f"{s}.csv", made[f"review-polarity/{s}.csv"]) for s in demo_data.SPLITS]
        prepared = f"""
[[artifact.prepared]]
task = "review-polarity"
target = "models/data/review-polarity"
from = "reviews.txt"
files = [{", ".join(files)}]
"""
        return self.catalogue(text, prepared)

    def test_prepared_data_is_part_of_being_complete(self):
        made = demo_data.build(SNIPPETS)
        catalogue = self.with_reviews(SNIPPETS, made)
        self.assertEqual(self.run_fetch(catalogue)[0], 0)
        test = self.root / "models/data/review-polarity/test.csv"
        self.assertEqual(test.read_bytes(), made["review-polarity/test.csv"])
        test.write_bytes(b"text\n")
        self.assertIn("ok, was there", self.run_fetch(catalogue)[1])
        self.assertEqual(test.read_bytes(), made["review-polarity/test.csv"])

    def test_prepared_data_that_comes_out_differently(self):
        catalogue = self.with_reviews(SNIPPETS + b"101_1\t3\tone more.\n", demo_data.build(SNIPPETS))
        status, _, err = self.run_fetch(catalogue)
        self.assertEqual(status, 1)
        self.assertIn("came out with sha256", err)
        self.assertFalse((self.root / "models/data/review-polarity").exists())

    def test_bad_source_names_file_and_line(self):
        catalogue = self.with_reviews(b"1_1\tgreat\tfine\n", demo_data.build(SNIPPETS))
        status, _, err = self.run_fetch(catalogue)
        self.assertEqual(status, 1)
        self.assertRegex(err, r"reviews\.txt: line 1: the rating 'great'")


class RealCatalogue(unittest.TestCase):
    def test_it_is_sound(self):
        artifacts = fetch.load_catalogue(fetch.CATALOGUE)
        names = [artifact.name for artifact in artifacts]
        encoders = ["minilm-l6", "bert-tiny", "mpnet-base"]
        self.assertEqual(names, ["onnxruntime", "onnxruntime-gpu", *encoders, "vader-amazon-reviews"])
        on_request = [artifact.name for artifact in artifacts if artifact.on_request]
        self.assertEqual(on_request, ["onnxruntime-gpu", "mpnet-base"])
        for artifact in artifacts:
            takes = [artifact.joined.members] if artifact.joined else [archive.members for archive in artifact.archives]
            archives = artifact.joined.archives if artifact.joined else artifact.archives
            for members in takes:
                names = {file.name for file in members}
                # A model card states its model's licence.
                self.assertTrue(names & {"LICENSE", "README.md"}, names)
                if artifact.name in encoders:
                    self.assertLessEqual({"config.json", "model.safetensors", "tokenizer.json"}, names)
            for item in (*archives, *(file for archive in archives for file in archive.members), *sum(takes, ())):
                self.assertRegex(item.sha256, r"^[0-9a-f]{64}$")
                self.assertGreater(item.size_bytes, 0)

    def test_marker_is_json(self):
        folder = fetch.Folder("somewhere", ())
        self.assertIn("catalogue_sha256", json.loads(fetch.marker_text(Path("."), folder)))


if __name__ == "__main__":
    unittest.main()
