#!/bin/sh
# Once before the services start, and after each upgrade: tables, the pool of GPUs, the first user.
# What is there already stays as it is: the pool's slots and the user's password are changed in
# Airflow itself.
set -eu
airflow db migrate
airflow pools get gpu > /dev/null 2>&1 || airflow pools set gpu 1 "GPUs: tasks that train, at once"
# The password goes in by standard input, twice as the command asks: arguments can be read by others
password=$(cat "$ADMIN_PASSWORD_FILE")
printf '%s\n%s\n' "$password" "$password" | airflow users create \
  --username admin --role Admin --firstname Admin --lastname of-Boxloop --email admin@localhost.local
