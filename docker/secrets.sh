#!/bin/sh
# Write the stack's secrets, one random value a file, into docker/secrets/; what is there stays.
#   sh docker/secrets.sh           then the first user is admin, its password in admin_password
# The folder is closed to others on this machine; the files are open, since Docker hands them to the
# services as they are, and those run as users of their own.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "$folder/$1" ] || { cat > "$folder/$1"; chmod 444 "$folder/$1"; }; }
random 24 | keep postgres_password
random 24 | keep redis_password
random 12 | keep admin_password
random 64 | keep jwt_secret
random 32 | keep api_secret_key
# Fernet's form: 32 bytes in base64's alphabet for addresses
head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' | keep fernet_key
