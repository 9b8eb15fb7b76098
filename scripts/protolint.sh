#!/usr/bin/env bash
# Lints the contract, and judges its changes against the image that was kept at the last release.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv/bin/python scripts/protos.py image "$folder/image.binpb"
.venv/bin/buf lint "$folder/image.binpb" --config buf.yaml
.venv/bin/buf breaking "$folder/image.binpb" --config buf.yaml --against proto/verifield.binpb
