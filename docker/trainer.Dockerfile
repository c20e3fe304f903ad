# The trainer for NVIDIA GPUs: what the launchers docker, kubernetes and vertex run.
# Build: docker build -f docker/trainer.Dockerfile -t boxloop-trainer .
# Try:   docker run --rm --gpus all boxloop-trainer nvidia-smi
FROM python:3.11-slim-bookworm

# As process 1 a Python without a handler ignores SIGTERM; tini passes it on
RUN apt-get update && apt-get install --no-install-recommends --yes tini \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home boxloop && mkdir /app && chown boxloop /app
USER boxloop
WORKDIR /app

RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --quiet uv==0.13.9
COPY --chown=boxloop requirements.txt ./
# CUDA comes in packages, about 3 GB; of the machine only the driver is needed.
# Bytecode now: importing TensorFlow takes 6 s with it, 16 s without
RUN .venv/bin/uv pip install --no-cache --compile-bytecode --python .venv/bin/python \
    -r requirements.txt "tensorflow[and-cuda]"
COPY --chown=boxloop . .
RUN .venv/bin/uv pip install --no-cache --no-deps --python .venv/bin/python -e .

# The cache of weights is where any user may write, since docker's option `user` may name any
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TF_USE_LEGACY_KERAS=1 \
    XDG_CACHE_HOME=/tmp/cache
ENTRYPOINT ["tini", "--"]
CMD ["boxloop", "--help"]
