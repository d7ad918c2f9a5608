"""Asks a running server several tasks about texts: predict.py HOST:PORT TEXT..."""

import sys

import grpc
from dynamar.v1 import inference_pb2, inference_pb2_grpc

TASKS = ["review-polarity", "review-intensity"]


def main(address, *texts):
    request = inference_pb2.PredictRequest(
        tasks=TASKS,
        examples=[inference_pb2.Example(fields={"text": text}) for text in texts],
    )
    with grpc.insecure_channel(address) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        try:
            # A server that cannot answer in time says so at once, and computes nothing in vain.
            answer = stub.Predict(request, timeout=5)
        except grpc.RpcError as error:
            # The details say what is wrong with which example.
            sys.exit(f"{error.code().name}: {error.details()}")
    polarity, intensity = answer.predictions
    for text, label, value in zip(texts, polarity.classify.results, intensity.regress.results):
        best = label.labels[0]
        print(f"{best.label}\t{best.probability:.3f}\t{value.value:+.2f}\t{text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
