"""Asks a running server over the Open Inference Protocol: infer.py HOST:PORT TEXT..."""

import sys

import numpy
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

MODEL = "review-polarity"


def main(address, *texts):
    with grpc.InferenceServerClient(address) as client:
        if not client.is_model_ready(MODEL):
            sys.exit(f"{MODEL} is not ready")
        # An input for each field of the task; its texts are the examples.
        batch = grpc.InferInput("text", [len(texts)], "BYTES")
        batch.set_data_from_numpy(numpy.array(texts, dtype=numpy.object_))
        try:
            answer = client.infer(MODEL, [batch], client_timeout=5)
        except InferenceServerException as error:
            sys.exit(str(error))
    labels, probabilities = answer.as_numpy("labels"), answer.as_numpy("probabilities")
    for text, label, row in zip(texts, labels, probabilities):
        print(f"{label.decode()}\t{row.max():.3f}\t{text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
