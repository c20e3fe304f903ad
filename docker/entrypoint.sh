#!/bin/sh
# In images /entrypoint: the official Helm chart's probes call Airflow by this name, which its own images have.
exec "$@"
