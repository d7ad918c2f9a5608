"""Restarts two servers behind Envoy, one after the other, under load: no call may fail.

Trains both demo tasks on bert-tiny, serves them twice, puts Envoy before both, and calls through it all
the time. In every round each server gets SIGTERM, ends, is started again and takes calls again before it
is the other one's turn. Every answer is compared with what one server said of the same texts alone. Envoy
tries no call twice here, so what fails is seen.

`make rolling-restart` installs Envoy and runs this; `DYNAMAR` names another binary.
"""

import argparse
import sys
import time

import fleet

<<<<<<< HEAD
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/clients"))
import stage as clients  # noqa: E402

OUT = ROOT / "target/rolling-restart"
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

    def __init__(self, models, port):
        self.models, self.address = models, f"127.0.0.1:{port}"
        self.start()

    def start(self):
        log = open(OUT / f"server-{self.address.split(':')[1]}.log", "a")
        command = [clients.DYNAMAR, "serve", "--models", str(self.models), "--address", self.address]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=log)
        log.close()

    def stop(self):
        """SIGTERM; the seconds that it took to end well."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=PATIENCE_S)
        if code != 0:
            raise AssertionError(f"{self.address} ended with {code}; see {OUT}")
        return time.monotonic() - begin


class Envoy:
    """Envoy before servers at these ports."""

    def __init__(self, servers):
        self.admin, self.listener = free_ports(2)
        text = (Path(__file__).parent / "envoy.yaml").read_text()
        names = ["ADMIN", "LISTENER", "FIRST", "SECOND"]
        for name, port in zip(names, [self.admin, self.listener, *servers]):
            text = text.replace(f"port_value: {name}", f"port_value: {port}")
        config = OUT / "envoy.yaml"
        config.write_text(text)
        command = [
            str(ENVOY), "--config-path", str(config), "--concurrency", "1", "--log-level", "warning",
            "--disable-hot-restart", "--log-path", str(OUT / "envoy.log"),
        ]
        self.process = subprocess.Popen(command)

    def of_server(self, address, key):
        """What Envoy knows of a server; `None` if it does not answer yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/clusters", timeout=5) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return None
        start = f"dynamar::{address}::{key}::"
        return next((line[len(start):] for line in lines if line.startswith(start)), None)

    def until_it_sends(self, server):
        """Waits until a server is healthy and answers calls."""
        address = server.address
        wait_until(
            f"{address} is healthy",
            lambda: self.of_server(address, "health_flags") == "healthy",
        )
        before = int(self.of_server(address, "rq_success"))
        wait_until(
            f"{address} answers",
            lambda: int(self.of_server(address, "rq_success")) > before,
        )


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
=======
OUT = fleet.ROOT / "target/rolling-restart"
>>>>>>> 5d132a9 (Give Envoy one configuration, which leaves a dead server out at once, and show it: make dead-server)


def restart_all(servers, envoy, load, rounds):
    for number in range(1, rounds + 1):
        for server in servers:
            took = server.stop()
            server.start()
            begin = time.monotonic()
            envoy.until_it_sends(server)
            back = time.monotonic() - begin
            print(
                f"round {number}: {server.address} ended in {took:.1f} s and took calls again "
                f"{back:.1f} s later; {load.calls} calls, {len(load.failures)} failed", flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="times that each server is restarted")
    parser.add_argument("--callers", type=int, default=8)
    arguments = parser.parse_args()
    with fleet.trained() as models:
        with fleet.under_load(models, OUT, arguments.callers, retries=False) as (servers, envoy, load):
            restart_all(servers, envoy, load, arguments.rounds)
    for failure in load.failures[:10]:
        print(failure)
    print(
        f"rolling-restart: {load.calls} calls, {len(load.failures)} failed, in {arguments.rounds} "
        f"rounds with {2 * arguments.rounds} restarts"
    )
    return 1 if load.failures or load.calls == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
