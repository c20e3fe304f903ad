# An emulated Google Cloud Storage, to try the stack without an account (profile `local`).
# It checks no credentials: for a machine's own network only.
# Build: docker build -f docker/emulator.Dockerfile -t boxloop-gcs:0.1.0 .
FROM python:3.11.14-slim-bookworm AS base
RUN useradd --uid 10001 --create-home boxloop \
    && install --directory --owner boxloop --group boxloop /app /app/buckets
WORKDIR /app

FROM base AS packages
RUN pip install --no-cache-dir --quiet uv==0.13.9 && python -m venv --without-pip .venv
COPY docker/emulator.txt docker/
RUN uv pip install --no-cache --python .venv/bin/python -r docker/emulator.txt

FROM base AS emulator
COPY --from=packages /app/.venv .venv
COPY docker/emulator.py docker/
ENV PATH=/app/.venv/bin:$PATH \
    STORAGE_BASE=/app/buckets \
    STORAGE_DIR=objects
USER 10001:10001
CMD ["python", "docker/emulator.py", "start", "--host=0.0.0.0", "--port=9023", "--default-bucket=boxloop"]
