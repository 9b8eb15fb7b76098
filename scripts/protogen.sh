#!/usr/bin/env bash
# Writes the generated Python beside the .proto files. With --check: regenerates into a
# temporary folder and fails when the committed files differ.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
out=proto
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ "${1:-}" = "--check" ]; then out="$work/out"; mkdir "$out"; fi
"$bin/python" scripts/protos.py rules "$work/rules.binpb"
PATH="$PWD/$bin:$PATH" "$bin/python" -m grpc_tools.protoc -Iproto --descriptor_set_in="$work/rules.binpb" \
  --python_out="$out" --mypy_out="$out" --grpc_python_out="$out" --mypy_grpc_out="$out" \
  proto/verifield/v1/*.proto 2>&1 | { grep -v '^Writing mypy to' || true; }
# Rules are checked in the cloud alone: elsewhere the contract loads without the library for them.
sed -i -E 's/^(from|import) buf\.validate.*( as [a-z0-9_]+)$/from verifield import contract_rules\2/' \
  "$out"/verifield/v1/*_pb2.py
# Message-only files get an empty service module: not wanted.
for grpc_file in "$out"/verifield/v1/*_pb2_grpc.py; do
  grep -q "Servicer" "$grpc_file" || rm -f "$grpc_file" "${grpc_file}i"
done
if [ "$out" != proto ]; then
  for made in "$out"/verifield/v1/*; do
    diff -u "proto/verifield/v1/$(basename "$made")" "$made" || {
      echo "generated code is stale: run 'make proto' and commit the result" >&2; exit 1; }
  done
fi
