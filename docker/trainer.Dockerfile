# The trainer for NVIDIA GPUs: what the launchers docker, kubernetes and vertex run. No Airflow runs
# in it; airflow-core comes along, since the environment is that of `make setup`.
# Build: docker build -f docker/trainer.Dockerfile -t boxloop-trainer .
# Try:   docker run --rm --gpus all boxloop-trainer nvidia-smi
FROM python:3.11.14-slim-bookworm AS base
# As process 1 a Python without a handler ignores SIGTERM; tini passes it on
RUN apt-get update && apt-get install --no-install-recommends --yes tini \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home boxloop \
    && install --directory --owner boxloop --group boxloop /app
WORKDIR /app

FROM base AS tools
RUN pip install --no-cache-dir --quiet uv==0.13.9 && python -m venv --without-pip .venv
COPY requirements.txt ./
COPY docker/cuda.txt docker/

# Bytecode now: importing TensorFlow takes 6 s with it, 16 s without
FROM tools AS packages
RUN uv pip install --no-cache --compile-bytecode --python .venv/bin/python -r requirements.txt

FROM tools AS cuda
RUN uv pip install --no-cache --no-deps --python .venv/bin/python --target /cuda -r docker/cuda.txt

FROM tools AS project
COPY pyproject.toml README.md LICENSE ./
COPY include include
RUN uv pip install --no-cache --no-deps --python .venv/bin/python --target /project -e .

# CUDA comes in packages, about 3 GB; of the machine only the driver is needed
FROM base AS trainer
COPY --from=packages /app/.venv .venv
COPY --from=cuda /cuda .venv/lib/python3.11/site-packages
COPY --from=project /project .venv/lib/python3.11/site-packages
COPY --from=project /project/bin/boxloop .venv/bin/boxloop
COPY . .
RUN python -m compileall -q include
# The cache of weights is where any user may write, since docker's option `user` may name any
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TF_USE_LEGACY_KERAS=1 \
    XDG_CACHE_HOME=/tmp/cache
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["boxloop", "--help"]
