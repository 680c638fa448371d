# Two images from one file, of which the second is the default:
#   docker build --target coordinator -t tuner-coordinator .
#   docker build --build-arg FLAVOUR=gpu -t tuner-worker .         FLAVOUR: gpu, cpu or jax
# Study files are mounted into /studies, or copied there by an image FROM this one.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm
ARG FLAVOUR=gpu

FROM ${PYTHON_IMAGE} AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
RUN pip install --no-cache-dir uv==0.13.9

# Copied, not bound: what is bound into a RUN does not tell Podman 4 that its cache is out of date.
FROM build AS coordinator-packages
COPY deploy/image/coordinator.lock /packages.lock
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv /opt/tuner && uv pip sync --python /opt/tuner --require-hashes /packages.lock

FROM build AS worker-packages
ARG FLAVOUR
COPY deploy/image/worker-${FLAVOUR}.lock /packages.lock
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv /opt/tuner && uv pip sync --python /opt/tuner --require-hashes /packages.lock

FROM build AS project
WORKDIR /project
COPY pyproject.toml requirements.lock README.md LICENSE CHANGELOG.md ./
COPY tuner_service tuner_service
RUN --mount=type=cache,target=/root/.cache/uv \
    uv build --wheel --out-dir /wheel --require-hashes --build-constraints requirements.lock \
    && uv venv /opt/tuner && uv pip install --python /opt/tuner --no-deps /wheel/*.whl

FROM ${PYTHON_IMAGE} AS base
# Process 1: hands SIGTERM on, and buries what a study's code leaves behind.
# Not by version (DL3008): Debian keeps only the newest, so that the image would not build for long.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --no-install-recommends --yes tini && rm -rf /var/lib/apt/lists/*
# Everything that is written goes below /tmp, so that the root file system may be read-only.
ENV PATH=/opt/tuner/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    KERAS_HOME=/tmp/keras \
    MPLCONFIGDIR=/tmp/matplotlib \
    XDG_CACHE_HOME=/tmp/cache
WORKDIR /tmp
ENTRYPOINT ["tini", "--", "tuner"]

FROM base AS coordinator
COPY --from=coordinator-packages /opt/tuner /opt/tuner
# A layer of its own: a change of the code moves a megabyte, not the packages.
COPY --from=project /opt/tuner /opt/tuner
USER 10001:10001
CMD ["coordinator"]

# Which GPUs a container sees is said by whoever runs it; here is only what it needs of the node's driver.
FROM base AS worker-gpu
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility CUDA_CACHE_PATH=/tmp/cuda

FROM base AS worker-cpu

FROM worker-gpu AS worker-jax
ENV KERAS_BACKEND=jax

# A stage of this file, which has no tag (DL3006).
# hadolint ignore=DL3006
FROM worker-${FLAVOUR} AS worker
COPY --from=worker-packages /opt/tuner /opt/tuner
COPY --from=project /opt/tuner /opt/tuner
USER 10001:10001
CMD ["worker", "--help"]
