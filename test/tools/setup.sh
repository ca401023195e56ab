#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Runs tools/setup of the source tree $1 against stand-ins for the package tools, so that nothing is installed.
set -uo pipefail
setup=$1/tools/setup
fake=$(mktemp -d)
trap 'rm -rf "$fake"' EXIT

stand_in() { # NAME BODY
  printf '#!/bin/sh\n%s\n' "$2" >"$fake/$1"
  chmod +x "$fake/$1"
}
run() { PATH="$fake:$PATH" bash "$setup" --no-python "$@"; }

stand_in id 'echo 0'
stand_in apt-get "echo \"\$@\" >>$fake/calls"
stand_in apt-cache 'echo "  Candidate: (none)"'
: >"$fake/calls"

run --colour >/dev/null 2>&1
echo "unknown option: $?"

stand_in dpkg-query 'echo installed'
run
echo "nothing missing: $?"
echo "calls of apt-get: $(wc -l <"$fake/calls")"

stand_in dpkg-query 'exit 1'
run 2>&1
status=$?
echo "without a source: $status"
echo "calls of apt-get: $(cat "$fake/calls")"

said=$(run --runtime-only 2>&1)
echo "runtime alone: $?"
echo "asked for LLVM: $(grep -c mlir <<<"$(head -n 1 <<<"$said")")"
