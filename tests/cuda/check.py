"""The real ONNX Runtime for CUDA, on a machine with a GPU or without: what each setting comes to.

`make cuda-check` fetches the library (256 MB) and runs this; `DYNAMAR` names another binary. A checkpoint of
BERT, one of each further kind of attention and a graph of another exporter are made by training; what they
answer is asked of the binary once through the CPU library and once through this one.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DYNAMAR = os.environ.get("DYNAMAR", str(ROOT / "target/debug/dynamar"))
CPU = ROOT / "target/onnxruntime/libonnxruntime.so"
GPU = ROOT / "target/onnxruntime-gpu/libonnxruntime.so"
TASK = "review-intensity"
DATA = ROOT / "models/data" / TASK
FAMILIES = ROOT / "tests/data/families"
FOREIGN = "foreign-distilbert"
# The encoder under each task that is served: real weights, then small ones with rotary positions and windows,
# a relative position bias, disentangled attention, and a graph that torch exported.
ENCODERS = {
    "bert-tiny": ROOT / "models/fetched/bert-tiny",
    **{name: FAMILIES / name for name in ("modernbert", "mpnet", "deberta-v3")},
    FOREIGN: None,
}


def dynamar(*arguments):
    done = subprocess.run([DYNAMAR, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"dynamar {arguments[0]}: {done.stderr}")
    return done.stdout


def make_models(home):
    exported = home / FOREIGN
    shutil.copytree(ROOT / "tests/data/foreign/distilbert", exported)
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(FAMILIES / "distilbert" / name, exported)
    text = (ROOT / f"models/tasks/{TASK}.toml").read_text(encoding="utf-8")
    for name, source in ENCODERS.items():
        encoder, task = home / "encoders" / name, home / f"{name}.toml"
        # The small encoders read fewer tokens than the task file asks for.
        of_encoder = text.replace(f'name = "{TASK}"', f'name = "{name}"')
        task.write_text(re.sub("max_length = .*", "max_length = 48", of_encoder), encoding="utf-8")
        dynamar("import", source or exported, "--out", encoder)
        dynamar(
            "train", "--task", task, "--encoder", encoder, "--out", home / "serving" / name,
            "--train", DATA / "train.csv", "--dev", DATA / "dev.csv", "--tune", "head", "--steps", "20",
        )  # fmt: skip


def environment(library, provider):
    return {
        **os.environ,
        "DYNAMAR_LOG__FORMAT": "json",
        "DYNAMAR_SERVER__STOP_DELAY_MS": "0",
        "DYNAMAR_ONNXRUNTIME__PATH": str(library),
        "DYNAMAR_INFERENCE__EXECUTION_PROVIDER": provider,
    }


class Server:
    """A server on a free port, and all that it logged until it served."""

    def __init__(self, library, provider):
        self.process = subprocess.Popen(
            [DYNAMAR, "serve", "--models", str(HOME / "serving"), "--address", "127.0.0.1:0"],
            cwd=ROOT, env=environment(library, provider), stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines = []
        for text in self.process.stderr:
            self.lines.append(json.loads(text))
            if self.lines[-1]["message"] == "serving":
                return
        self.process.stderr.close()
        raise AssertionError(f"ended with {self.process.wait()}: {self.lines}")

    def said(self, message):
        return [line for line in self.lines if line["message"] == message]

    def devices(self):
        """Where the encoders compute; there must be as many as are served."""
        ready = self.said("an encoder is ready")
        if len(ready) != len(ENCODERS):
            raise AssertionError(ready)
        return {line["device"] for line in ready}

    def address(self):
        return self.said("listening")[0]["address"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(timeout=60)


def answers(address):
    """What a real client is told of some texts, by the encoder."""
    return {name: answers_of(address, name) for name in ENCODERS}


def answers_of(address, task):
    grpcurl = ROOT / "target/client-packages/bin/grpcurl"
    texts = ["Absolutely wonderful.", "Terrible, it broke after two days.", "It is a phone. " * 30]
    examples = [{"fields": {"text": text}} for text in texts]
    request = json.dumps({"task": task, "examples": examples})
    done = subprocess.run(
        [str(grpcurl), "-plaintext", "-d", request, address, "dynamar.v1.Inference/Regress"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "target/client-packages")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [one["value"] for one in json.loads(done.stdout)["results"]]


def has_gpu():
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True)
    except FileNotFoundError:
        return False
    return listed.returncode == 0 and "GPU 0" in listed.stdout


def setUpModule():
    global HOLDER, HOME, EXPECTED
    HOLDER = tempfile.TemporaryDirectory()
    HOME = Path(HOLDER.name)
    make_models(HOME)
    server = Server(CPU, "auto")
    EXPECTED = answers(server.address())
    server.stop()


def tearDownModule():
    HOLDER.cleanup()


class Everywhere(unittest.TestCase):
    def test_the_cpu_is_used_without_a_word_when_it_is_asked_for(self):
        server = Server(GPU, "cpu")
        self.addCleanup(server.stop)
        self.assertEqual([line for line in server.lines if line["level"] != "INFO"], [])
        self.assertEqual(server.devices(), {"cpu"})
        self.assertEqual(answers(server.address()), EXPECTED)

    def test_a_library_for_cpus_is_no_reason_for_a_warning(self):
        server = Server(CPU, "auto")
        self.addCleanup(server.stop)
        self.assertEqual([line for line in server.lines if line["level"] != "INFO"], [])
        self.assertEqual(len(server.said("this ONNX Runtime computes on the CPU alone")), 1)


@unittest.skipIf(has_gpu(), "there is a GPU")
class WithoutGpu(unittest.TestCase):
    def test_auto_warns_once_and_answers_rightly_on_the_cpu(self):
        server = Server(GPU, "auto")
        self.addCleanup(server.stop)
        (warning,) = (line for line in server.lines if line["level"] != "INFO")
        self.assertEqual(warning["message"], "no GPU: encoders compute on the CPU")
        self.assertEqual(warning["level"], "WARN")
        self.assertIn("the libraries of CUDA cannot be loaded (", warning["reason"])
        self.assertEqual(server.devices(), {"cpu"})
        self.assertEqual(answers(server.address()), EXPECTED)

    def test_cuda_ends_the_start_with_one_sentence(self):
        done = self.refused(GPU)
        self.assertIn("the libraries of CUDA cannot be loaded (", done)
        self.assertIn(".so", done)
        self.assertIn("LD_LIBRARY_PATH", done)

    def test_a_library_without_its_provider_is_named(self):
        alone = HOME / "libonnxruntime.so"
        shutil.copy(GPU, alone)
        done = self.refused(alone)
        self.assertIn(f"{HOME}/libonnxruntime_providers_shared.so is not there", done)

    def refused(self, library):
        """What serving with CUDA alone says last; the lines before are of the log."""
        done = subprocess.run(
            [DYNAMAR, "serve", "--models", str(HOME / "serving"), "--address", "127.0.0.1:0"],
            cwd=ROOT, env=environment(library, "cuda"), capture_output=True, text=True,
        )  # fmt: skip
        *log, last = done.stderr.splitlines()
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual({json.loads(line)["level"] for line in log}, {"INFO"})
        self.assertTrue(last.startswith('error: inference.execution_provider is "cuda", but '), last)
        return last


@unittest.skipUnless(has_gpu(), "there is no GPU")
class WithGpu(unittest.TestCase):
    def test_the_gpu_answers_as_the_cpu_does(self):
        for provider in ("auto", "cuda"):
            with self.subTest(provider):
                server = Server(GPU, provider)
                self.addCleanup(server.stop)
                self.assertEqual(server.devices(), {"cuda:0"})
                found = answers(server.address())
                for name, expected in EXPECTED.items():
                    with self.subTest(name):
                        differences = [abs(a - b) for a, b in zip(found[name], expected, strict=True)]
                        self.assertLess(max(differences), 1e-3)


if __name__ == "__main__":
    unittest.main()
