"""Real clients against the real binary: grpcio without generated code, and grpcurl.

`make test-clients` installs the clients and runs this; `stage` has the server.
"""

import datetime
import ipaddress
import json
import re
import subprocess
import sys
import unittest

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

import stage
from stage import (
    BLAME, DYNAMAR, PACKAGES, PRAISE, ROOT, SERVICE, Caller, Server, dynamar, examples,
)


def setUpModule():
    global HOME, SERVER, CHANNEL, CALL
    HOME, SERVER = stage.home(), stage.serving()
    CHANNEL = grpc.insecure_channel(SERVER.address)
    CALL = Caller(CHANNEL)


def tearDownModule():
    CHANNEL.close()


class Grpcio(unittest.TestCase):
    def test_classify_answers_in_order_best_label_first(self):
        answer = CALL("Classify", task="review-polarity", examples=examples(PRAISE, BLAME))
        best = [result.labels[0].label for result in answer.results]
        self.assertEqual(best, ["positive", "negative"])
        for result in answer.results:
            shares = [score.probability for score in result.labels]
            self.assertEqual(shares, sorted(shares, reverse=True))
            self.assertAlmostEqual(sum(shares), 1.0, places=5)
        self.assertRegex(answer.metadata.model, "^[0-9a-f]{12}$")
        self.assertGreater(answer.metadata.tokens, 20)

    def test_regress_tells_praise_from_blame(self):
        answer = CALL("Regress", task="review-intensity", examples=examples(PRAISE, BLAME))
        praise, blame = (result.value for result in answer.results)
        self.assertGreater(praise, 0)
        self.assertLess(blame, 0)

    def test_predict_asks_several_tasks_in_one_call(self):
        tasks = ["review-intensity", "review-polarity"]
        answer = CALL("Predict", tasks=tasks, examples=examples(PRAISE, BLAME))
        self.assertEqual([one.task for one in answer.predictions], tasks)
        intensity, polarity = answer.predictions
        self.assertGreater(intensity.regress.results[0].value, 0)
        best = [result.labels[0].label for result in polarity.classify.results]
        self.assertEqual(best, ["positive", "negative"])
        self.assertEqual(answer.metadata.model, polarity.classify.metadata.model)

    def test_a_stream_answers_in_order(self):
        requests = [
            {"task": "review-polarity", "examples": examples(text)} for text in [PRAISE, BLAME] * 100
        ]
        answers = CALL.stream("ClassifyStream", *requests)
        best = [answer.results[0].labels[0].label for answer in answers]
        self.assertEqual(best, ["positive", "negative"] * 100)
        requests[1]["examples"] = []
        with self.assertRaises(grpc.RpcError) as caught:
            CALL.stream("ClassifyStream", *requests)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("request 1 of the stream", caught.exception.details())

    def test_compressed_calls_are_answered_as_others(self):
        texts = examples(*[PRAISE, BLAME] * 40)
        plain = CALL("Classify", task="review-polarity", examples=texts)
        compressed = CALL(
            "Classify", compression=grpc.Compression.Gzip, task="review-polarity", examples=texts
        )
        self.assertEqual(list(compressed.results), list(plain.results))

    def test_options(self):
        answer = CALL(
            "Classify", task="review-polarity", examples=examples(PRAISE),
            options={"top_k": 1, "template_mode": 2},
        )
        self.assertEqual(len(answer.results[0].labels), 1)
        self.assertGreater(answer.results[0].template_spread, 0)

    def test_tasks_describe_themselves(self):
        tasks = CALL("ListTasks").tasks
        self.assertEqual([task.name for task in tasks], ["review-intensity", "review-polarity"])
        task = CALL("GetTask", task="review-polarity")
        self.assertEqual(list(task.labels), ["negative", "positive"])
        self.assertIn("accuracy", task.metrics)

    def test_mistakes_have_their_codes(self):
        for method, task, texts, code, words in [
            ("Classify", "nothing", examples(PRAISE), grpc.StatusCode.NOT_FOUND, "review-polarity"),
            ("Classify", "review-polarity", [], grpc.StatusCode.INVALID_ARGUMENT, "examples"),
            ("Classify", "review-polarity", examples(" "), grpc.StatusCode.INVALID_ARGUMENT,
             "examples[0].fields.text"),
            ("Regress", "review-polarity", examples(PRAISE), grpc.StatusCode.FAILED_PRECONDITION,
             "Classify"),
        ]:
            with self.assertRaises(grpc.RpcError) as caught:
                CALL(method, task=task, examples=texts)
            self.assertEqual(caught.exception.code(), code)
            self.assertIn(words, caught.exception.details())

    def test_health(self):
        stub = health_pb2_grpc.HealthStub(CHANNEL)
        for service in ["", SERVICE]:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
        self.assertIn("SERVING", dynamar("health", "--addr", SERVER.address))


class Grpcurl(unittest.TestCase):
    def grpcurl(self, *arguments):
        """Speaks reflection v1alpha alone, as many installed ones do."""
        done = subprocess.run(
            [sys.executable, str(PACKAGES / "bin/grpcurl"), "-plaintext", *arguments],
            capture_output=True, text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_lines_of_the_readme(self):
        readme = (ROOT / "README.md").read_text()
        lines = re.findall(r"grpcurl -plaintext -d '([^']+)' (?:\\\n\s+)?127.0.0.1:50051 (\S+)", readme)
        told = []
        for body, method in lines:
            answer = self.grpcurl("-d", body, SERVER.address, method)
            told.append((method.split("/")[1], answer.count("probability"), answer.count("value")))
        expected = [
            ("Classify", 2, 0), ("Regress", 0, 1), ("Classify", 2, 0), ("Predict", 2, 1),
            ("ClassifyStream", 4, 0),
        ]
        self.assertEqual(told, expected)

    def test_list_describe_and_health(self):
        listed = self.grpcurl(SERVER.address, "list").split()
        self.assertIn(SERVICE, listed)
        self.assertIn("inference.GRPCInferenceService", listed)
        self.assertIn("grpc.health.v1.Health", listed)
        self.assertIn("rpc Classify", self.grpcurl(SERVER.address, "describe", SERVICE))
        answer = self.grpcurl(SERVER.address, "grpc.health.v1.Health/Check")
        self.assertEqual(json.loads(answer)["status"], "SERVING")


class Authority:
    """Signs certificates for 127.0.0.1 and further names; everything in PEM."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        basic = x509.BasicConstraints(ca=True, path_length=None)
        self.pem = self.signed(self.name, self.key, (basic, True))

    def signed(self, name, key, *extensions):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder().subject_name(name).issuer_name(self.name)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def certificate(self, name):
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        pem = self.signed(subject, key, (x509.SubjectAlternativeName(names), False))
        return pem, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


class Access(unittest.TestCase):
    """A server with mTLS, a token and a certificate with a scope."""

    @classmethod
    def setUpClass(cls):
        cls.home = HOME
        cls.authority = Authority()
        cls.shop = cls.authority.certificate("shop.example")
        files = {"ca.pem": cls.authority.pem, "shop.pem": cls.shop[0], "shop.key": cls.shop[1]}
        files["server.pem"], files["server.key"] = cls.authority.certificate("server.example")
        for name, content in files.items():
            (cls.home / name).write_bytes(content)
        made = subprocess.run([DYNAMAR, "token", "batch"], capture_output=True, text=True, check=True)
        cls.token = re.search("dynamar_[0-9a-f]{64}", made.stderr).group()
        callers = cls.home / "callers.toml"
        callers.write_text(made.stdout + """
[[caller]]
certificate = "shop.example"
tasks = ["review-polarity"]
""")
        cls.server = Server(
            cls.home / "serving",
            DYNAMAR_TLS__CERTIFICATE=str(cls.home / "server.pem"),
            DYNAMAR_TLS__PRIVATE_KEY=str(cls.home / "server.key"),
            DYNAMAR_TLS__CLIENT_CA=str(cls.home / "ca.pem"),
            DYNAMAR_AUTH__TOKENS=str(callers),
        )

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def channel(self, token=None, identity=True):
        pem, key = self.shop if identity else (None, None)
        credentials = grpc.ssl_channel_credentials(self.authority.pem, key, pem)
        if token is not None:
            call = grpc.access_token_call_credentials(token)
            credentials = grpc.composite_channel_credentials(credentials, call)
        return grpc.secure_channel(self.server.address, credentials)

    def test_a_certificate_may_ask_the_tasks_of_its_scope_and_a_token_all(self):
        with self.channel() as channel:
            call = Caller(channel)
            self.assertEqual([task.name for task in call("ListTasks").tasks], ["review-polarity"])
            call("Classify", task="review-polarity", examples=examples(PRAISE))
            line = self.server.line("answered")
            while line["span"]["method"] != f"{SERVICE}/Classify":
                line = self.server.line("answered")
            self.assertEqual(line["span"]["caller"], "shop.example")
            with self.assertRaises(grpc.RpcError) as caught:
                call("Regress", task="review-intensity", examples=examples(PRAISE))
            self.assertEqual(caught.exception.code(), grpc.StatusCode.PERMISSION_DENIED)
        with self.channel(self.token) as channel:
            call = Caller(channel)
            call("Regress", task="review-intensity", examples=examples(PRAISE))

    def test_a_wrong_token_and_no_certificate_are_refused(self):
        request = health_pb2.HealthCheckRequest()
        with self.channel("wrong") as channel:
            stub = channel.unary_unary(f"/{SERVICE}/ListTasks")
            with self.assertRaises(grpc.RpcError) as caught:
                stub(b"", timeout=30)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
        with self.channel(identity=False) as channel:
            with self.assertRaises(grpc.RpcError) as caught:
                health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)

    def test_probes(self):
        home = self.home
        shown = ["--tls-cert", home / "shop.pem", "--tls-key", home / "shop.key"]
        asked = ["health", "--addr", self.server.address, "--tls-ca", home / "ca.pem"]
        self.assertIn("SERVING", dynamar(*asked, *shown))
        # With TLS 1.3 a client learns that its certificate is missing after it has connected.
        with self.assertRaisesRegex(AssertionError, "no server answers|does not tell its health"):
            dynamar(*asked)

    def test_probes_have_a_port_of_their_own_without_certificates(self):
        asked = {"DYNAMAR_HEALTH__ADDRESS": self.server.probes}
        self.assertEqual(dynamar("health", **asked), f"{self.server.probes} is SERVING\n")
        # As the configuration of the server itself has it.
        with_tls = {"DYNAMAR_TLS__CERTIFICATE": str(self.home / "server.pem")}
        with_tls["DYNAMAR_TLS__PRIVATE_KEY"] = str(self.home / "server.key")
        self.assertEqual(dynamar("health", **asked, **with_tls), f"{self.server.probes} is SERVING\n")
        with grpc.insecure_channel(self.server.probes) as channel:
            request = health_pb2.HealthCheckRequest(service=SERVICE)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
            with self.assertRaises(grpc.RpcError) as caught:
                channel.unary_unary(f"/{SERVICE}/ListTasks")(b"", timeout=30)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)


class Stop(unittest.TestCase):
    def test_sigterm_ends_the_server_cleanly(self):
        server = Server(HOME / "serving")
        with grpc.insecure_channel(server.address) as channel:
            Caller(channel)("Classify", task="review-polarity", examples=examples(PRAISE))
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
