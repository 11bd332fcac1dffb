# The steps are the Makefile's own targets. CPU by default: docker build --build-arg DEVICE=cuda . for the GPU.
ARG DEVICE=cpu

FROM rust:1.95-bookworm AS build
ARG DEVICE
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Makefile Cargo.toml Cargo.lock ./
COPY models/fetch.py models/fetch.py
# Under one name for both builds, and not by a link: the library looks for its providers in its own folder.
RUN make runtime DEVICE=$DEVICE && cp -a vendor/onnxruntime* /onnxruntime
COPY src src
RUN make build
RUN make backbone

FROM debian:bookworm-slim AS base-cpu
FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04 AS base-cuda

FROM base-${DEVICE}
ARG DEVICE
RUN useradd --system --uid 10001 --home-dir /srv/mimi mimi
WORKDIR /srv/mimi
COPY --from=build /build/target/release/server /usr/local/bin/server
COPY --from=build /onnxruntime onnxruntime
COPY --from=build /build/models models
COPY adapters adapters
COPY LICENSE-APACHE LICENSE-MIT ./
ENV MIMI_HOST=0.0.0.0 MIMI_PORT=8080 MIMI_DEVICE=${DEVICE} \
    MIMI_ONNXRUNTIME=/srv/mimi/onnxruntime/libonnxruntime.so.1.31.1
USER mimi
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["server", "health"]
ENTRYPOINT ["server"]
CMD ["serve"]
