# Airflow with Boxloop, in three sizes:
#   one   for one person's machine: SQLite, LocalExecutor, no login        docker compose up boxloop
#   team  every service of docker-compose.yaml and of a cluster, on CPUs   the last stage but one
#   gpu   team, with CUDA: the worker on a machine with an NVIDIA GPU      the last stage
# Build: docker build -f docker/airflow.Dockerfile --target team -t boxloop-airflow:0.1.0 .
# Compilers and installers stay in the stages that build; an image has the interpreter, tini, the
# environment and the project, which belongs to root. A change of the project leaves the layer of the
# environment as it is.
FROM python:3.11.14-slim-bookworm AS base
# As process 1 a Python without a handler ignores SIGTERM; tini passes it on
RUN apt-get update && apt-get install --no-install-recommends --yes tini \
    && rm -rf /var/lib/apt/lists/*
# Volumes take their owner from the folders that they are mounted on
RUN useradd --uid 10001 --create-home boxloop \
    && install --directory --owner boxloop --group boxloop \
      /app /app/.boxloop /app/.airflow /app/.airflow/logs
WORKDIR /app

FROM base AS tools
RUN pip install --no-cache-dir --quiet uv==0.13.9 && python -m venv --without-pip .venv
COPY requirements.txt requirements-dev.txt ./
COPY docker/airflow.txt docker/cuda.txt docker/

# Bytecode now: importing TensorFlow takes 6 s with it, 16 s without
FROM tools AS packages-one
RUN uv pip install --no-cache --compile-bytecode --python .venv/bin/python \
    -r requirements.txt -c requirements-dev.txt docker kubernetes

FROM tools AS packages-team
RUN uv pip install --no-cache --compile-bytecode --python .venv/bin/python -r docker/airflow.txt

FROM tools AS cuda
RUN uv pip install --no-cache --no-deps --python .venv/bin/python --target /cuda -r docker/cuda.txt

# What installing the project leaves: a link to /app/include, the command `boxloop`
FROM tools AS project
COPY pyproject.toml README.md LICENSE ./
COPY include include
RUN uv pip install --no-cache --no-deps --python .venv/bin/python --target /project -e .

FROM base AS one
COPY --from=packages-one /app/.venv .venv
COPY --from=project /project .venv/lib/python3.11/site-packages
COPY --from=project /project/bin/boxloop .venv/bin/boxloop
COPY . .
RUN python -m compileall -q include plugins dags
ENV PATH=/app/.venv/bin:$PATH
USER 10001:10001
ENTRYPOINT ["tini", "--", "boxloop"]
CMD ["airflow"]

FROM base AS team
COPY --from=packages-team /app/.venv .venv
COPY --from=project /project .venv/lib/python3.11/site-packages
COPY --from=project /project/bin/boxloop .venv/bin/boxloop
COPY . .
RUN python -m compileall -q include plugins dags
# The official Helm chart's probes call it
COPY docker/entrypoint.sh /entrypoint
# The cache of weights is where any user may write: a cluster may choose the user
ENV PATH=/app/.venv/bin:$PATH \
    AIRFLOW_HOME=/app/.airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/app/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/app/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    PYTHONUNBUFFERED=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    TF_USE_LEGACY_KERAS=1 \
    XDG_CACHE_HOME=/tmp/cache
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["airflow", "version"]

# CUDA comes in packages, about 3 GB; of the machine only the driver is needed
FROM team AS gpu
COPY --from=cuda /cuda .venv/lib/python3.11/site-packages
