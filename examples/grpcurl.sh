#!/usr/bin/env bash
# Asks a running server whatever it tells about itself: grpcurl.sh [HOST:PORT]
set -euo pipefail

address=${1:-127.0.0.1:50051}

ask() {
  echo "== $1"
  grpcurl -plaintext -max-time 10 -d "$2" "$address" "$1"
}

# In JSON, bytes are in base64.
base64_of() {
  printf %s "$1" | base64 --wrap 0
}

echo "== services"
grpcurl -plaintext -max-time 10 "$address" list
ask grpc.health.v1.Health/Check '{"service": "dynamar.v1.Inference"}'
ask dynamar.v1.Inference/GetTask '{"task": "review-polarity"}'
ask dynamar.v1.Inference/Classify '{
  "task": "review-polarity",
  "examples": [{"fields": {"text": "I love it, great quality."}}, {"fields": {"text": "A waste of money."}}],
  "options": {"top_k": 1}
}'
ask dynamar.v1.Inference/Regress '{
  "task": "review-intensity",
  "examples": [{"fields": {"text": "I love it, great quality."}}]
}'
ask inference.GRPCInferenceService/ModelInfer '{
  "model_name": "review-polarity",
  "inputs": [{
    "name": "text", "datatype": "BYTES", "shape": [1],
    "contents": {"bytes_contents": ["'"$(base64_of "I love it, great quality.")"'"]}
  }],
  "outputs": [{"name": "labels"}]
}'
