#!/usr/bin/env bash
# Pins every package with its digests: locks/run.lock for the product and its demonstration,
# locks/dev.lock for all of that and the checks, locks/bench.lock for what benchmarks compare with,
# locks/train.lock for training the liveness network.
# No address of any registry is written.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  .venv/bin/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-header \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host "$@" pyproject.toml
}
compile --extra edge --extra cloud --extra demo --extra build --output-file locks/run.lock
everything=(--extra edge --extra cloud --extra demo --extra build --extra documents --extra dev)
compile "${everything[@]}" --constraint locks/run.lock --output-file locks/dev.lock
compile "${everything[@]}" --extra bench --constraint locks/dev.lock --output-file locks/bench.lock
compile --extra edge --extra demo --extra build --extra train --constraint locks/run.lock --output-file locks/train.lock
.venv/bin/python -m scripts.cloud_lock
