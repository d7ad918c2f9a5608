"""Triton's client, which knows nothing of dynamar, against the real binary."""

import queue
import unittest

import numpy
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

import stage
from stage import BLAME, PRAISE, SERVICE, Caller, examples

POLARITY, INTENSITY = "review-polarity", "review-intensity"
# What shares a batch changes the last digits.
TOLERANCE = 1e-5


def setUpModule():
    global CLIENT, CALL
    address = stage.serving().address
    CLIENT = grpc.InferenceServerClient(address)
    CHANNEL = stage.grpc.insecure_channel(address)
    CALL = Caller(CHANNEL)
    unittest.addModuleCleanup(CLIENT.close)
    unittest.addModuleCleanup(CHANNEL.close)


def texts(texts, shape=None, name="text"):
    """An input of these texts."""
    array = numpy.array(texts, dtype=numpy.object_).reshape(shape or [len(texts)])
    tensor = grpc.InferInput(name, list(array.shape), "BYTES")
    tensor.set_data_from_numpy(array)
    return tensor


class Infer(unittest.TestCase):
    def test_a_batch_is_classified_as_by_classify(self):
        batch = [PRAISE, BLAME, "Ganz gut, für das Geld.", "x " * 1000] * 8
        answer = CLIENT.infer(POLARITY, [texts(batch)], request_id="batch-1")
        probabilities, labels = answer.as_numpy("probabilities"), answer.as_numpy("labels")
        self.assertEqual((probabilities.shape, probabilities.dtype), ((32, 2), numpy.float32))
        self.assertEqual(list(labels[:2]), [b"positive", b"negative"])
        self.assertEqual(list(answer.as_numpy("truncated")), [False, False, False, True] * 8)
        said = CALL("Classify", task=POLARITY, examples=examples(*batch))
        order = CALL("GetTask", task=POLARITY).labels
        for result, row, label in zip(said.results, probabilities, labels, strict=True):
            self.assertEqual(result.labels[0].label, label.decode())
            for score in result.labels:
                found = row[list(order).index(score.label)]
                self.assertAlmostEqual(score.probability, found, delta=TOLERANCE)
        response = answer.get_response()
        self.assertEqual((response.id, response.model_name), ("batch-1", POLARITY))
        self.assertEqual(response.model_version, said.metadata.model)

    def test_a_column_is_scored_as_by_regress(self):
        answer = CLIENT.infer(INTENSITY, [texts([PRAISE, BLAME], [2, 1])])
        value = answer.as_numpy("value")
        self.assertEqual((value.shape, value.dtype), ((2,), numpy.float64))
        said = CALL("Regress", task=INTENSITY, examples=examples(PRAISE, BLAME))
        for result, found in zip(said.results, value, strict=True):
            self.assertAlmostEqual(result.value, found, delta=TOLERANCE * 10)

    def test_outputs_and_parameters(self):
        asked = [grpc.InferRequestedOutput(name) for name in ["truncated", "labels"]]
        answer = CLIENT.infer(
            POLARITY, [texts([PRAISE, BLAME])], outputs=asked, compression_algorithm="gzip",
            parameters={"top_k": 2, "template_mode": "single", "template_ids": "overall"},
            # Meant for other servers; these change nothing.
            sequence_id=7, sequence_start=True, priority=1, timeout=60_000_000, client_timeout=60,
        )
        names = [output.name for output in answer.get_response().outputs]
        self.assertEqual(names, ["truncated", "labels"])
        self.assertIsNone(answer.as_numpy("probabilities"))
        labels = answer.as_numpy("labels")
        self.assertEqual(labels.shape, (2, 2))
        self.assertEqual({*labels[0]}, {b"positive", b"negative"})

    def test_many_calls_at_a_time(self):
        told = queue.SimpleQueue()
        tell = lambda result, error: told.put((result, error))  # noqa: E731
        for _ in range(20):
            CLIENT.async_infer(POLARITY, [texts([PRAISE, BLAME])], tell)
        for _ in range(20):
            answer, error = told.get(timeout=60)
            self.assertIsNone(error)
            self.assertEqual(list(answer.as_numpy("labels")), [b"positive", b"negative"])


class Metadata(unittest.TestCase):
    def test_the_server_and_its_models_are_ready(self):
        self.assertTrue(CLIENT.is_server_live())
        self.assertTrue(CLIENT.is_server_ready())
        self.assertTrue(CLIENT.is_model_ready(POLARITY))
        self.assertFalse(CLIENT.is_model_ready("nothing"))
        self.assertFalse(CLIENT.is_model_ready(POLARITY, "9"))
        server = CLIENT.get_server_metadata(as_json=True)
        self.assertEqual(server["name"], "dynamar")

    def test_a_model_tells_what_it_takes_and_answers(self):
        told = CLIENT.get_model_metadata(POLARITY)
        model = CALL("GetTask", task=POLARITY).model
        self.assertEqual(list(told.versions), [model])
        tensors = [(one.name, one.datatype, list(one.shape)) for one in [*told.inputs, *told.outputs]]
        self.assertEqual(tensors, [
            ("text", "BYTES", [-1]),
            ("probabilities", "FP32", [-1, 2]), ("labels", "BYTES", [-1]), ("truncated", "BOOL", [-1]),
            ("decision", "BYTES", [-1]),
        ])
        told = CLIENT.get_model_metadata(INTENSITY, told.versions[0])
        self.assertEqual([one.name for one in told.outputs], ["value", "truncated"])
        answer = CLIENT.infer(POLARITY, [texts([PRAISE])], model_version=model)
        self.assertEqual(answer.get_response().model_version, model)


class Mistakes(unittest.TestCase):
    def check(self, code, words, model=POLARITY, inputs=None, **options):
        with self.assertRaises(InferenceServerException) as caught:
            CLIENT.infer(model, inputs or [texts([PRAISE])], **options)
        self.assertEqual(caught.exception.status(), f"StatusCode.{code}")
        self.assertIn(words, caught.exception.message())

    def test_mistakes_have_their_codes(self):
        invalid = "INVALID_ARGUMENT"
        number = grpc.InferInput("text", [1], "FP32")
        number.set_data_from_numpy(numpy.ones([1], dtype=numpy.float32))
        shared = grpc.InferInput("text", [1], "BYTES").set_shared_memory("region", 64)
        self.check("NOT_FOUND", POLARITY, model="nothing")
        self.check("NOT_FOUND", POLARITY, model_version="9")
        self.check(invalid, "\"FP32\" is not BYTES", inputs=[number])
        self.check(invalid, "inputs[0].name: no field \"review\"", inputs=[texts(["x"], name="review")])
        self.check(invalid, "inputs.text[1]: empty", inputs=[texts([PRAISE, " "])])
        self.check(invalid, "inputs.text[0]: not UTF-8", inputs=[texts([b"\xff"])])
        self.check(invalid, "[1, 2]: [n] or [n, 1]", inputs=[texts([PRAISE, BLAME], [1, 2])])
        self.check(invalid, "no shared memory", inputs=[shared])
        self.check(invalid, "parameters.colour", parameters={"colour": "red"})
        self.check(invalid, "outputs[0].name", outputs=[grpc.InferRequestedOutput("value")])
        classes = [grpc.InferRequestedOutput("labels", class_count=2)]
        self.check(invalid, "top_k", outputs=classes)
        self.check("UNIMPLEMENTED", "", inputs=[texts([PRAISE])], compression_algorithm="deflate")


if __name__ == "__main__":
    unittest.main()
