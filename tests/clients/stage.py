"""What the tests of clients share: a server over both demo tasks, and what is asked of it.

The checkpoint is made once: bert-tiny imported, both tasks trained. `DYNAMAR` names another binary.
"""

import atexit
import functools
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

ROOT = Path(__file__).resolve().parents[2]
DYNAMAR = os.environ.get("DYNAMAR", str(ROOT / "target/debug/dynamar"))
PACKAGES = Path(grpc.__file__).resolve().parents[1]
SERVICE = "dynamar.v1.Inference"
PRAISE = "Absolutely wonderful, I love it, great quality."
BLAME = "Terrible, it broke after two days, a waste of money."


def dynamar(*arguments, **settings):
    """Runs a verb to its end, with settings as environment variables have them, and returns what it printed."""
    done = subprocess.run(
        [DYNAMAR, *map(str, arguments)], cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True,
    )
    if done.returncode != 0:
        raise AssertionError(f"dynamar {arguments[0]}: {done.stderr}")
    return done.stdout


def train(home):
    """Makes a checkpoint with both demo tasks."""
    encoder, model = home / "encoder", home / "serving" / "reviews"
    dynamar("import", ROOT / "models/fetched/bert-tiny", "--out", encoder)
    begin = encoder
    for task, tune, length in [
        ("review-intensity", "full", ("--steps", "150", "--learning-rate", "3e-4")),
        ("review-polarity", "head", ("--epochs", "3")),
    ]:
        data = ROOT / "models/data" / task
        dynamar(
            "train", "--task", ROOT / f"models/tasks/{task}.toml", "--encoder", begin, "--out", model,
            "--train", data / "train.csv", "--dev", data / "dev.csv", "--tune", tune, *length,
        )
        begin = model
    return model


class Server:
    """A server on a free port, with further settings as environment variables have them."""

    def __init__(self, models, **settings):
        environment = {
            **os.environ,
            "DYNAMAR_HEALTH__ADDRESS": "127.0.0.1:0",
            "DYNAMAR_LOG__FORMAT": "json",
            "DYNAMAR_METRICS__ADDRESS": "127.0.0.1:0",
            "DYNAMAR_SERVER__STOP_DELAY_MS": "0",
            **settings,
        }
        self.process = subprocess.Popen(
            [DYNAMAR, "serve", "--models", str(models), "--address", "127.0.0.1:0"],
            cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
        )
        # Read all the time: a server that cannot write its log stands still.
        self.log = queue.SimpleQueue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        self.probes = self.line("health for probes")["address"]
        self.metrics = self.line("metrics at /metrics")["address"]
        self.address = self.line("listening")["address"]
        self.line("serving")

    def read(self):
        for text in self.process.stderr:
            self.log.put(text)
        self.log.put(None)

    def line(self, message):
        """Reads the log up to the line with this message."""
        while (text := self.log.get(timeout=60)) is not None:
            line = json.loads(text)
            if line["message"] == message:
                return line
        raise AssertionError(f"the server ended without saying {message!r}")

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self.reader.join()
        self.process.stderr.close()
        return code


@functools.cache
def home():
    """A directory with the checkpoint of both tasks in `serving`, until the process ends."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    train(Path(directory.name))
    return Path(directory.name)


@functools.cache
def serving():
    """A server of them, until the process ends."""
    server = Server(home() / "serving")
    atexit.register(server.stop)
    return server


class Caller:
    """Calls methods by what reflection says of them; no generated code."""

    def __init__(self, channel):
        self.channel = channel
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        self.service = pool.FindServiceByName(SERVICE)

    def __call__(self, method, compression=None, **fields):
        request, answer = self.types(method)
        call = self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return call(request(**fields), timeout=30, compression=compression)

    def stream(self, method, *requests):
        """All answers to requests, each given as a dictionary."""
        request, answer = self.types(method)
        call = self.channel.stream_stream(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        return list(call(iter([request(**fields) for fields in requests]), timeout=30))

    def types(self, method):
        descriptor = self.service.FindMethodByName(method)
        of = message_factory.GetMessageClass
        return of(descriptor.input_type), of(descriptor.output_type)


def examples(*texts):
    return [{"fields": {"text": text}} for text in texts]
