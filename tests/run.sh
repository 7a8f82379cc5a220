#!/bin/bash
# Checks the whole project on a Debian machine with Rust: form, lints, build,
# the Rust tests, and the black-box tests in Python against the built server.
#
#     tests/run.sh [arguments for pytest]      e.g. tests/run.sh tests/blackbox/test_scan.py
#
# Quiet where all is well: it ends with the summary lines of cargo test and of
# pytest. Exit status 0 when everything passed. What is missing of Debian's
# packages is installed; where nothing is missing, apt is not called. Two tests
# use client libraries that Debian lacks or has in older versions: pip and npm
# put those of tests/clients into target/clients, once.
#
# DIFF_COMMANDS (50000) and SEED go through to the tests; so does
# REFERENCE_BIN, the reference server of the differential test.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

# Debian's own interpreter, whatever else stands first on PATH: its packages hold redis and pytest.
PYTHON=/usr/bin/python3
export PATH="$PATH:$HOME/.cargo/bin"
export PYTHONDONTWRITEBYTECODE=1
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs a step in silence; where it fails, shows all that it said.
step() {
    if ! "$@" >"$log" 2>&1; then
        echo "FAILED: $*"
        cat "$log"
        exit 1
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

missing=()
need() { # package, and the check that tells whether its content is there
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
has() { [ -n "$(command -v "$1")" ]; }
need gcc has cc
need libc6-dev test -e /usr/include/stdio.h
need make has make
need python3 test -x "$PYTHON"
need python3-redis "$PYTHON" -c "import redis"
need python3-pytest "$PYTHON" -c "import pytest"
need python3-pip "$PYTHON" -m pip --version
need nodejs has node
need npm has npm
need redis-tools has redis-cli
need redis-server has redis-server
need postgresql compgen -G "/usr/lib/postgresql/*/bin/initdb"
need python3-psycopg2 "$PYTHON" -c "import psycopg2"
need python3-asyncpg "$PYTHON" -c "import asyncpg"
need python3-django "$PYTHON" -c "import django"
need python3-django-redis "$PYTHON" -c "import django_redis"
need python3-cachetools "$PYTHON" -c "import cachetools"
need prometheus has promtool
if [ ${#missing[@]} -gt 0 ]; then
    step as_root env DEBIAN_FRONTEND=noninteractive apt-get update
    step as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
fi

step cargo fmt --check
step cargo clippy --quiet --all-targets -- -D warnings
step cargo build --quiet --release
step cargo test --quiet --release
summary=$(grep '^test result' "$log")

export LARDER_BIN="${LARDER_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/release/larder}"
status=0
[ $# -gt 0 ] || set -- tests/blackbox
"$PYTHON" -m pytest -q --tb=short -p no:cacheprovider "$@" >"$log" 2>&1 || status=$?
[ "$status" -eq 0 ] || cat "$log"

echo "$summary"
tail -n 1 "$log"
exit "$status"
