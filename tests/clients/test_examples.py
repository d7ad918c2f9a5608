"""The examples, run by the commands that their READMEs give."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import stage
from stage import PACKAGES, ROOT, SERVICE

ADDRESS = "127.0.0.1:50051"
# What is wanted of a load is told, not how fast this machine is.
SHORT = {"K6_VUS": "2", "K6_ITERATIONS": "60", "P95_MS": "60000"}


def commands(readme):
    """The lines in the code blocks of a README, but those that install what `make` has installed."""
    blocks = re.findall(r"^```\n(.*?)^```$", readme.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if "pip install" not in line]


def run(command, directory, address=None, **settings):
    """Runs a command as a shell does."""
    environment = {**os.environ, **settings, "PATH": f"{PACKAGES / 'bin'}:{os.environ['PATH']}"}
    command = command.replace(ADDRESS, address or stage.serving().address)
    return subprocess.run(
        ["bash", "-euc", command], cwd=directory, env=environment, capture_output=True, text=True,
        timeout=300,
    )


class Examples(unittest.TestCase):
    def said(self, command, directory=ROOT, **settings):
        done = run(command, directory, **settings)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def one(self, word):
        """The command of examples/README.md with this word, of which there is one."""
        [command] = [line for line in commands(ROOT / "examples/README.md") if word in line]
        return command

    def labels(self, said):
        """What the lines that a client printed begin with."""
        return [line.split("\t")[0] for line in said.splitlines()]

    def test_every_command_of_the_readme_is_run(self):
        words = ["--example classify", "infer.py", "grpcurl.sh", "k6 run"]
        found = sorted(commands(ROOT / "examples/README.md"))
        self.assertEqual(found, sorted(self.one(word) for word in words))

    def test_rust(self):
        command = self.one("--example classify").replace("cargo run", "cargo run --locked --quiet")
        self.assertEqual(self.labels(self.said(command)), ["positive", "negative"])
        wrong = run(command.replace("review-polarity", "nothing"), ROOT)
        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("this server has: review-intensity, review-polarity", wrong.stderr)

    def test_python(self):
        with tempfile.TemporaryDirectory() as home:
            # Beside it lies what it generates.
            directory = Path(home) / "examples/python"
            shutil.copytree(ROOT / "examples/python", directory)
            (Path(home) / "proto").symlink_to(ROOT / "proto")
            generate, ask = commands(directory / "README.md")
            self.said(generate, directory)
            said = self.said(ask, directory)
            self.assertEqual(self.labels(said), ["positive", "negative"])
            signs = [line.split("\t")[2][0] for line in said.splitlines()]
            self.assertEqual(signs, ["+", "-"])
            wrong = run(ask.replace("A waste of money.", " "), directory)
            self.assertEqual(wrong.returncode, 1)
            self.assertIn("INVALID_ARGUMENT: examples[1].fields.text", wrong.stderr)

    def test_open_inference(self):
        command = self.one("infer.py")
        self.assertEqual(self.labels(self.said(command)), ["positive", "negative"])
        wrong = run(command.replace("A waste of money.", " "), ROOT)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("inputs.text[1]: empty", wrong.stderr)

    def test_grpcurl(self):
        said = self.said(self.one("grpcurl.sh"))
        for words in [
            "inference.GRPCInferenceService", SERVICE, '"status": "SERVING"', '"probability":', '"value":',
            '"label": "positive"', '"label": "negative"', '"bytesContents":',
        ]:
            self.assertIn(words, said)
        nobody = run(self.one("grpcurl.sh"), ROOT, address="127.0.0.1:1")
        self.assertNotEqual(nobody.returncode, 0)

    def test_k6(self):
        command = self.one("k6 run")
        said = self.said(command, **SHORT)
        self.assertRegex(said, r"checks_succeeded\.*: 100\.00% 240 out of 240")
        # It fails where answers are wrong, and where they are slow.
        wrong = run(command, ROOT, **SHORT, TASK="review-intensity")
        self.assertEqual(wrong.returncode, 99, wrong.stderr)
        slow = run(command, ROOT, **{**SHORT, "P95_MS": "0.001"})
        self.assertEqual(slow.returncode, 99, slow.stderr)


if __name__ == "__main__":
    unittest.main()
