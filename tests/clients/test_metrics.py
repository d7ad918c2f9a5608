"""The page of metrics of the real binary, as the dashboard and the alerts in deploy/ expect it, and by promtool where that is."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

import grpc

import stage
from stage import BLAME, PRAISE, ROOT, Caller, Server, examples

sys.path.append(str(ROOT / "deploy/check"))
import metric_names  # noqa: E402


def page_after_calls():
    """What a server with everything switched on tells when each kind of call was made."""
    with tempfile.TemporaryDirectory() as place:
        server = Server(
            stage.home() / "serving", DYNAMAR_CACHE__MAX_BYTES="1000000",
            DYNAMAR_PREDICTION_LOG__PATH=str(Path(place) / "predictions.jsonl"),
        )
        try:
            with grpc.insecure_channel(server.address) as channel:
                call = Caller(channel)
                call("Classify", task="review-polarity", examples=examples(PRAISE, BLAME))
                call("Regress", task="review-intensity", examples=examples(PRAISE))
                call.stream("ClassifyStream", {"task": "review-polarity", "examples": examples(BLAME)})
                with contextlib.suppress(grpc.RpcError):
                    call("Classify", task="nothing", examples=examples(PRAISE))
            with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
                return page.read().decode()
        finally:
            server.stop()


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.page = page_after_calls()

    def test_dashboard_and_alerts_ask_for_what_there_is(self):
        page = metric_names.exported(self.page)
        known = {**page, **dict.fromkeys(metric_names.in_sources() - page.keys())}
        asked = metric_names.expressions()
        wrong = [
            complaint for where, expression in asked
            for complaint in metric_names.complaints(where, expression, known)
        ]  # fmt: skip
        self.assertEqual(wrong, [])
        self.assertGreater(len(asked), 50)
        # Labels are compared with samples, so there have to be some.
        for name in ["requests_total", "refused_total", "predicted_labels_total", "predicted_value"]:
            self.assertTrue(page[f"dynamar_{name}"], name)

    def test_promtool_has_nothing_to_say(self):
        if not (promtool := shutil.which("promtool")):
            self.skipTest("no promtool")
        done = subprocess.run(
            [promtool, "check", "metrics"], input=self.page, capture_output=True, text=True
        )
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
