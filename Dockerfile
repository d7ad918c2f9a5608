# The server, the trainer and ONNX Runtime in one image without a shell. docs/deployment.md says how it is run.
#
#   make image                      for CPUs
#   make image IMAGE_TAG=… IMAGE_ARGS='--build-arg ORT=gpu --build-arg RUNTIME=docker.io/nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04'
#
# Every base can be replaced, by a mirror's or by one with a digest.
ARG RUST=docker.io/library/rust:1.95-slim-bookworm
ARG PYTHON=docker.io/library/python:3.11-slim-bookworm
# Has the C and C++ libraries that the binary and ONNX Runtime are linked with. A base with CUDA and cuDNN for ORT=gpu needs glibc 2.36 or newer.
ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot
# cpu or gpu: which ONNX Runtime of models/catalogue.toml.
ARG ORT=cpu

# ---- the libraries that dynamar uses: built again only when Cargo.toml or Cargo.lock changes
FROM ${RUST} AS libraries
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
# Cargo wants something to build. The build script is there for its own libraries.
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs && cp src/main.rs build.rs \
    && cargo build --locked --profile dist \
    && rm -r src build.rs

# ---- dynamar
FROM libraries AS dynamar
COPY build.rs ./
COPY proto proto
COPY src src
# Cargo goes by times, and those of the sources are older than what was built in their place.
RUN find build.rs proto src -exec touch {} + && cargo build --locked --profile dist

# ---- ONNX Runtime with its hash checked, and all that is put into the image: one layer, with nothing in it twice
FROM ${PYTHON} AS files
ARG ORT
COPY models/fetch.py models/demo_data.py models/catalogue.toml /build/models/
# The library and its providers lie in one directory, where ONNX Runtime looks for them.
RUN name=onnxruntime; [ "$ORT" = cpu ] || name="onnxruntime-$ORT"; \
    python3 /build/models/fetch.py "$name" \
    && mkdir -p /files/usr/local/lib/onnxruntime /files/usr/share/doc/onnxruntime /files/models /files/etc/dynamar \
    && mv "/build/target/$name"/*.so /files/usr/local/lib/onnxruntime/ \
    && mv "/build/target/$name"/* /files/usr/share/doc/onnxruntime/ \
    && chmod -R a+rX /files
COPY LICENSE NOTICE /files/usr/share/doc/dynamar/
COPY --from=dynamar /build/target/dist/dynamar /files/usr/local/bin/dynamar

# hadolint ignore=DL3006
FROM ${RUNTIME}
COPY --from=files /files /
# The environment goes over /etc/dynamar/dynamar.toml, so that no mounted file has to repeat these. The last is ONNX Runtime's:
# its telemetry otherwise begins with the library, before it can be told not to.
ENV DYNAMAR_SERVER__ADDRESS=0.0.0.0:50051 \
    DYNAMAR_HEALTH__ADDRESS=0.0.0.0:8081 \
    DYNAMAR_METRICS__ADDRESS=0.0.0.0:9090 \
    DYNAMAR_MODELS__DIRECTORY=/models \
    DYNAMAR_ONNXRUNTIME__PATH=/usr/local/lib/onnxruntime/libonnxruntime.so \
    DYNAMAR_LOG__FORMAT=json \
    ORT_DISABLE_TELEMETRY=1
# dynamar.toml is read from here if there is one, and its relative paths lead from here.
WORKDIR /etc/dynamar
# In numbers: Kubernetes cannot see of a name that it is not root.
USER 65532:65532
EXPOSE 8081 9090 50051
# No VOLUME: an image made of this one may have its models in /models (deploy/examples/Dockerfile.with-models).
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["/usr/local/bin/dynamar", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/dynamar"]
CMD ["serve"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dynamar" \
      org.opencontainers.image.description="Serves and trains prompt-tuned classifiers and regressors over text (DynaMaR)" \
      org.opencontainers.image.licenses="Apache-2.0 AND MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
