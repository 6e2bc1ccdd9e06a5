# syntax=docker/dockerfile:1.9
# The service on CPUs: `--target api` and `--target worker`. GPUs: Dockerfile.gpu.
# Each target holds what it needs and nothing else: no compiler, no tests, no CUDA libraries.

ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /source
RUN python -m venv /opt/nigaoe
ENV PATH=/opt/nigaoe/bin:$PATH
# PyTorch first and alone: the layer changes only with its version. This index has wheels without CUDA libraries.
COPY constraints.txt ./
RUN pip install --constraint constraints.txt --index-url https://download.pytorch.org/whl/cpu torch torchvision

FROM build AS build-api
COPY . .
RUN pip install --constraint constraints.txt ".[api,c2pa,s3]"

FROM build AS build-worker
COPY . .
RUN pip install --constraint constraints.txt ".[worker,c2pa,s3]"

FROM python:${PYTHON} AS base
RUN groupadd --system --gid 10001 nigaoe \
    && useradd --system --uid 10001 --gid nigaoe --home-dir /tmp --shell /usr/sbin/nologin nigaoe \
    && install --directory --owner=nigaoe --group=nigaoe --mode=0700 /data
ENV PATH=/opt/nigaoe/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NIGAOE_DATA_DIR=/data \
    NIGAOE_LOG_FORMAT=json
# /tmp and /data are the only places that are written to: the rest may be mounted read-only.
WORKDIR /tmp
VOLUME /data
USER 10001:10001

FROM base AS api
COPY --from=build-api /opt/nigaoe /opt/nigaoe
ENV NIGAOE_HOST=0.0.0.0 NIGAOE_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
ENTRYPOINT ["nigaoe"]
CMD ["api"]

FROM base AS worker
COPY --from=build-worker /opt/nigaoe /opt/nigaoe
ENV NIGAOE_WORKER_METRICS_PORT=9100
EXPOSE 9100
# Alive is not ready: warming up may take a minute, and draining is no illness.
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9100/livez', timeout=4)"]
# SIGTERM drains: running jobs finish or are handed back.
STOPSIGNAL SIGTERM
ENTRYPOINT ["nigaoe"]
CMD ["worker"]
