# Boxloop with its own Airflow: everything `make demo` and `make airflow` need, on the CPU, and the
# clients that start training elsewhere (docs/operator.md).
# Build: docker compose build        Run: docker compose up
FROM python:3.11-slim-bookworm

RUN useradd --create-home boxloop && mkdir /app && chown boxloop /app
USER boxloop
WORKDIR /app

RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --quiet uv==0.13.9
COPY --chown=boxloop requirements.txt requirements-dev.txt ./
# Bytecode now: importing TensorFlow takes 6 s with it, 16 s without
RUN .venv/bin/uv pip install --no-cache --compile-bytecode --python .venv/bin/python \
    -r requirements.txt -c requirements-dev.txt docker kubernetes
COPY --chown=boxloop . .
RUN .venv/bin/uv pip install --no-cache --no-deps --python .venv/bin/python -e . \
    && mkdir .boxloop .airflow  # volumes take their owner from here

ENV PATH=/app/.venv/bin:$PATH
ENTRYPOINT ["boxloop"]
CMD ["airflow"]
