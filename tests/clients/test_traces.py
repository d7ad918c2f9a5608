"""Traces of the real binary, as a collector in another language gets them, and what the log says of them.

`make test-clients` installs what this needs and runs it; `DYNAMAR` names another binary.
"""

import json
import os
import queue
import signal
import socket
import subprocess
import tempfile
import unittest
from concurrent import futures
from pathlib import Path

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from stage import DYNAMAR, ROOT, SERVICE, Caller, dynamar

TASK = "review-intensity"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def make_models(home):
    """A checkpoint with one task, trained as little as possible."""
    encoder, data = home / "encoder", ROOT / "models/data" / TASK
    dynamar("import", ROOT / "models/fetched/bert-tiny", "--out", encoder)
    dynamar(
        "train", "--task", ROOT / f"models/tasks/{TASK}.toml", "--encoder", encoder,
        "--out", home / "serving/reviews", "--train", data / "train.csv", "--dev", data / "dev.csv",
        "--tune", "head", "--steps", "5",
    )  # fmt: skip


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self):
        self.requests = queue.Queue()
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, request, context):
        self.requests.put(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self):
        """All that was sent, with the names of the services they are of."""
        services, spans = set(), []
        while not self.requests.empty():
            for resource in self.requests.get().resource_spans:
                services |= {
                    one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
                }
                spans += [span for scope in resource.scope_spans for span in scope.spans]
        return services, spans


class Server:
    """The binary, told where its traces go; all that it logs is kept."""

    def __init__(self, port, **settings):
        environment = {
            **os.environ,
            "DYNAMAR_LOG__FORMAT": "json",
            "DYNAMAR_SERVER__STOP_DELAY_MS": "0",
            "DYNAMAR_TRACES__ENDPOINT": f"http://127.0.0.1:{port}" if port else "",
            **settings,
        }
        self.process = subprocess.Popen(
            [DYNAMAR, "serve", "--models", str(Path(HOME.name) / "serving"), "--address", "127.0.0.1:0"],
            cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.log = []
        for text in self.process.stderr:
            self.log.append(text)
            if '"message":"serving"' in text or "INFO serving" in text:
                return
        raise AssertionError(self.log)

    def address(self):
        return next(json.loads(line)["address"] for line in self.log if "listening" in line)

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.log += self.process.stderr.readlines()
        self.process.stderr.close()
        return self.process.wait(timeout=60)

    def lines(self, message):
        return [line for line in map(json.loads, self.log) if line["message"] == message]


def regress(address, text, traceparent=None):
    """One call by a real client."""
    metadata = [("traceparent", traceparent)] if traceparent else []
    with grpc.insecure_channel(address) as channel:
        request, answer = Caller(channel).types("Regress")
        call = channel.unary_unary(
            f"/{SERVICE}/Regress",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        asked = request(task=TASK, examples=[{"fields": {"text": text}}])
        return call(asked, timeout=30, metadata=metadata)


def setUpModule():
    global HOME
    HOME = tempfile.TemporaryDirectory()
    make_models(Path(HOME.name))


def tearDownModule():
    HOME.cleanup()


class Traces(unittest.TestCase):
    def test_a_call_is_told_within_its_callers_trace_and_the_log_names_it(self):
        collector = Collector()
        self.addCleanup(collector.server.stop, None)
        server = Server(collector.port, DYNAMAR_TRACES__SERVICE_NAME="reviews")
        regress(server.address(), "Absolutely wonderful.", f"00-{TRACE}-{PARENT}-01")
        self.assertEqual(server.stop(), 0)
        services, spans = collector.spans()
        self.assertEqual(services, {"reviews"})
        self.assertEqual({span.trace_id.hex() for span in spans}, {TRACE})
        (call,) = (span for span in spans if span.parent_span_id.hex() == PARENT)
        self.assertEqual(call.name, f"{SERVICE}/Regress")
        parts = [span for span in spans if span is not call]
        self.assertEqual(sorted(span.name for span in parts), ["encode", "head", "queue", "tokenise"])
        for part in parts:
            self.assertEqual(part.parent_span_id, call.span_id)
            times = (
                call.start_time_unix_nano, part.start_time_unix_nano,
                part.end_time_unix_nano, call.end_time_unix_nano,
            )  # fmt: skip
            self.assertEqual(sorted(times), list(times), part.name)
        (line,) = server.lines("answered")
        self.assertEqual(line["span"]["trace_id"], TRACE)
        self.assertEqual(line["span"]["span_id"], call.span_id.hex())

    def test_the_log_for_people_names_the_trace_too(self):
        collector = Collector()
        self.addCleanup(collector.server.stop, None)
        server = Server(collector.port, DYNAMAR_LOG__FORMAT="pretty")
        listening = next(line for line in server.log if "listening" in line)
        regress(listening.split("address=")[1].strip(), "Fine.", f"00-{TRACE}-{PARENT}-01")
        server.stop()
        (line,) = (line for line in server.log if " answered code=" in line)
        self.assertIn(f"trace_id={TRACE}", line)

    def test_a_collector_that_is_away_holds_up_nobody_and_is_told_of_once(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = Server(port)
        for _ in range(20):
            self.assertEqual(len(regress(server.address(), "Terrible.").results), 1)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(len(server.lines("answered")), 20)
        lost = server.lines("traces are lost")
        self.assertIn(len(lost), (1, 2), "while it runs, and of the last")
        self.assertEqual(sum(line["spans"] for line in lost), 20 * 5)

    def test_without_a_collector_nothing_is_said_of_traces(self):
        server = Server(None)
        regress(server.address(), "Fine.", f"00-{TRACE}-{PARENT}-01")
        self.assertEqual(server.stop(), 0)
        (line,) = server.lines("answered")
        self.assertNotIn("trace_id", line["span"])


if __name__ == "__main__":
    unittest.main()
