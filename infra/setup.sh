#!/bin/sh
# Creates .venv with the files that constraints.txt lists by their hashes. `make` runs this when
# that list changes.
# Uses uv if it is installed, else python3's venv and pip.
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf '%s\n%s\n' "$1" "$2" >&2
    exit 1
}

# Run each candidate: a command may exist and still fail (pyenv's shims).
find_python() {
    # Lambda's version first: only that version can build the package.
    for candidate in python3.11 python3 python3.13 python3.12; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

python=$(find_python) || fail \
    "Slipway needs Python 3.11 or newer; found: $(python3 --version 2>/dev/null || echo none)." \
    "Install one (Debian 12: apt-get install python3 python3-venv) and run this again."

# Only wheels: a source distribution fetches its build tools without hashes.
set -- --require-hashes --only-binary :all: -r constraints.txt
installing="Installing Python packages into .venv with"
wrong_hash="A wrong hash means that the index holds another file than constraints.txt lists."
started=$(date +%s)
rm -rf .venv
if command -v uv >/dev/null 2>&1; then
    with=uv
    echo "$installing uv: some seconds." >&2
    { uv venv --quiet --python "$python" .venv &&
        uv pip install --quiet --python .venv/bin/python "$@"; } ||
        fail "uv could not install the requirements: its message is above." \
            "Check the network or the package index (UV_INDEX_URL) and run this again. $wrong_hash"
else
    with=pip
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail \
        "$("$python" --version) has no venv module." \
        "Install it (Debian: apt-get install python3-venv), or install uv, and run this again."
    echo "$installing pip: one to two minutes." >&2
    "$python" -m venv .venv
    # --no-compile: compiling takes as long as the rest, and Python compiles on first import.
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        .venv/bin/pip install -qq --no-compile "$@" ||
        fail "pip could not install the requirements: its message is above." \
            "Check the network or the package index (PIP_INDEX_URL) and run this again. $wrong_hash"
fi
touch .venv/ready
echo ".venv is ready: $("$python" --version), installed by $with in $(($(date +%s) - started)) s." >&2
