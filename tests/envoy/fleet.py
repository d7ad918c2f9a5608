"""Two servers behind Envoy, and callers that ask all the time, with every answer compared.

Envoy runs deploy/envoy/envoy.yaml with the addresses changed, and without its retries where a test wants to see what fails.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import grpc
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/clients"))
import stage as clients  # noqa: E402

CONFIG = ROOT / "deploy/envoy/envoy.yaml"
ENVOY = Path(sys.executable).parent / "envoy"
TASK = "review-polarity"
TEXTS = [
    clients.PRAISE, clients.BLAME, "It works.", "The colour is not what the picture shows.",
    "I bought it twice. The first one broke, and this one does not even start.",
]
# What shares a batch changes the last digits.
TOLERANCE = 1e-4
PATIENCE_S = 60


def free_ports(count):
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(what, condition):
    """Asks every tenth of a second."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"in {PATIENCE_S} s it did not come true that {what}")
        time.sleep(0.1)


class Server:
    """A server on a port that stays its own."""

    def __init__(self, models, port, out):
        self.models, self.address, self.out = models, f"127.0.0.1:{port}", out
        self.start()

    def start(self):
        log = open(self.out / f"server-{self.address.split(':')[1]}.log", "a")
        command = [clients.DYNAMAR, "serve", "--models", str(self.models), "--address", self.address]
        # Two of them on one machine cannot have the same address for metrics.
        environment = {**os.environ, "DYNAMAR_METRICS__ADDRESS": ""}
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=log, env=environment)
        log.close()

    def stop(self):
        """SIGTERM; the seconds that it took to end well."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=PATIENCE_S)
        if code != 0:
            raise AssertionError(f"{self.address} ended with {code}; see {self.out}")
        return time.monotonic() - begin

    def kill(self):
        """SIGKILL: no good-bye to anybody."""
        self.process.kill()
        self.process.wait()


class Envoy:
    """Envoy before servers at these ports."""

    def __init__(self, ports, out, retries, **manager):
        self.admin, self.listener = free_ports(2)
        config = out / "envoy.yaml"
        config.write_text(yaml.safe_dump(configuration(self.admin, self.listener, ports, retries, manager)))
        command = [
            str(ENVOY), "--config-path", str(config), "--concurrency", "1", "--log-level", "warning",
            "--disable-hot-restart", "--log-path", str(out / "envoy.log"),
        ]
        self.process = subprocess.Popen(command)

    def page(self, name):
        """A page of its administration; `None` if it does not answer yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/{name}", timeout=5) as page:
                return page.read().decode()
        except OSError:
            return None

    def of_server(self, address, key):
        """What Envoy knows of a server; `None` if it does not answer yet."""
        start = f"dynamar::{address}::{key}::"
        lines = (self.page("clusters") or "").splitlines()
        return next((line[len(start):] for line in lines if line.startswith(start)), None)

    def counter(self, name):
        """A number of calls since it started."""
        line = self.page(f"stats?filter=^{name}$") or ""
        return int(line.rsplit(":", 1)[-1])

    def until_healthy(self, server):
        """Waits until a server may get calls."""
        flags = lambda: self.of_server(server.address, "health_flags")  # noqa: E731
        wait_until(f"{server.address} is healthy", lambda: flags() == "healthy")

    def until_it_sends(self, server):
        """Waits until a server is healthy and answers calls."""
        self.until_healthy(server)
        answered = lambda: int(self.of_server(server.address, "rq_success"))  # noqa: E731
        before = answered()
        wait_until(f"{server.address} answers", lambda: answered() > before)


def configuration(admin, listener, ports, retries, further):
    """deploy/envoy/envoy.yaml for these ports of this machine, with further settings of the connection manager."""
    config = yaml.safe_load(CONFIG.read_text())
    at = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}  # noqa: E731
    config["admin"]["address"] = at(admin)
    (front,) = config["static_resources"]["listeners"]
    front["address"] = at(listener)
    manager = front["filter_chains"][0]["filters"][0]["typed_config"]
    manager.update(further)
    if not retries:
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
            route["route"].pop("retry_policy", None)
    (cluster,) = config["static_resources"]["clusters"]
    endpoints = [{"endpoint": {"address": at(port)}} for port in ports]
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
    return config


class Load:
    """Callers that ask all the time, each on a connection of its own, one call after the other."""

    def __init__(self, address, expected, callers):
        self.address, self.expected = address, expected
        self.calls, self.failures = 0, []
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.threads = [
            threading.Thread(target=self.run, args=(number,), daemon=True)
            for number in range(callers)
        ]

    def start(self):
        for thread in self.threads:
            thread.start()

    def run(self, number):
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.address, options=options) as channel:
            call = clients.Caller(channel)
            at = number
            while not self.stopping.is_set():
                failure = self.one(call, at % len(TEXTS))
                with self.lock:
                    self.calls += 1
                    self.failures += [failure] if failure else []
                at += 1

    def one(self, call, at):
        """What is wrong with a call, if anything."""
        try:
            answer = call("Classify", task=TASK, examples=clients.examples(TEXTS[at]))
        except grpc.RpcError as error:
            return f"{time.strftime('%H:%M:%S')} {error.code()}: {error.details()}"
        return compare(answer, self.expected[at])

    def counts(self):
        """Calls and failures until now."""
        with self.lock:
            return self.calls, len(self.failures)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def compare(answer, expected):
    """How an answer differs from what it must be, if it does."""
    if answer.metadata.model != expected.metadata.model:
        return f"answered by {answer.metadata.model!r}, expected {expected.metadata.model!r}"
    shares = {score.label: score.probability for score in answer.results[0].labels}
    for score in expected.results[0].labels:
        share = shares.get(score.label, float("nan"))
        if not abs(share - score.probability) < TOLERANCE:
            return f"{score.label} is {share}, expected {score.probability}"
    return None


def expected_of(server):
    """What one server says of each text."""
    with grpc.insecure_channel(server.address) as channel:
        grpc.channel_ready_future(channel).result(timeout=PATIENCE_S)
        call = clients.Caller(channel)
        ask = lambda text: call("Classify", task=TASK, examples=clients.examples(text))  # noqa: E731
        return [ask(text) for text in TEXTS]


@contextmanager
def trained():
    """A models directory with both demo tasks."""
    with tempfile.TemporaryDirectory() as home:
        clients.train(Path(home))
        yield Path(home) / "serving"


@contextmanager
def under_load(models, out, callers, retries):
    """Two servers, Envoy and callers, when all three work; none of them afterwards."""
    with idle(models, out, retries) as (servers, envoy):
        load = Load(f"127.0.0.1:{envoy.listener}", expected_of(servers[0]), callers)
        load.start()
        for server in servers:
            envoy.until_it_sends(server)
        yield servers, envoy, load
        load.stop()


@contextmanager
def idle(models, out, retries=True, **manager):
    """Two servers and Envoy, when they work; neither afterwards."""
    out.mkdir(parents=True, exist_ok=True)
    processes = []
    try:
        ports = free_ports(2)
        servers = [Server(models, port, out) for port in ports]
        processes += servers
        envoy = Envoy(ports, out, retries, **manager)
        processes.append(envoy)
        for server in servers:
            envoy.until_healthy(server)
        yield servers, envoy
    finally:
        for one in processes:
            one.process.kill()
            one.process.wait()
