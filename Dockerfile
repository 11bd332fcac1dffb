# docker build .                                 for the CPU; everything is made inside
# docker build --build-arg DEVICE=cuda .         for an NVIDIA GPU
# docker build --build-arg SERVER=prebuilt .     takes image/, which `make image-files` made; no compiler, no network
ARG DEVICE=cpu
ARG SERVER=compiled
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_CPU=docker.io/library/debian:bookworm-slim
ARG BASE_CUDA=docker.io/nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04

FROM ${RUST_IMAGE} AS compiled
ARG DEVICE
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Makefile Cargo.toml Cargo.lock ./
COPY models/fetch.py models/fetch.py
RUN make runtime weights DEVICE=$DEVICE
COPY packaging/notices.py packaging/notices.py
COPY benches benches
COPY build.rs build.rs
COPY load-tests/doors.rs load-tests/doors.rs
COPY proto proto
COPY src src
RUN make image-files DEVICE=$DEVICE && mv image /image

FROM scratch AS prebuilt
COPY image /image

FROM ${SERVER} AS made

FROM ${BASE_CPU} AS base-cpu
FROM ${BASE_CUDA} AS base-cuda

FROM base-${DEVICE}
ARG DEVICE
RUN useradd --uid 10001 --no-create-home --home-dir /srv/mimi --shell /usr/sbin/nologin mimi
WORKDIR /srv/mimi
# What changes seldom comes first, so that a new server is a small layer.
COPY --from=made /image/models models
COPY --from=made /image/onnxruntime onnxruntime
COPY LICENSE-APACHE LICENSE-MIT ./
COPY adapters adapters
COPY --from=made /image/THIRD-PARTY.txt ./
COPY --from=made /image/server /usr/local/bin/server
ENV MIMI_HOST=0.0.0.0 MIMI_PORT=8080 MIMI_DEVICE=${DEVICE} MIMI_STATE=none NO_COLOR=1 \
    MIMI_ONNXRUNTIME=/srv/mimi/onnxruntime/libonnxruntime.so.1.31.1
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["server", "health"]
ENTRYPOINT ["server"]
CMD ["serve"]
