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

# A tree of its own, with a stand-in for its Python environment: which wheels are asked for, where a toolkit has what.
tree=$fake/tree
mkdir -p "$tree/tools" "$tree/.venv/bin" "$fake/toolkit/bin" "$fake/toolkit/lib64"
cp "$setup" "$1/tools/requirements.txt" "$1/tools/requirements-cuda.txt" "$tree/tools/"
cp "$1/tools/requirements.txt" "$tree/.venv/requirements.installed"
cat >"$tree/.venv/bin/python" <<'TEXT'
#!/bin/sh
case "$*" in
  *pip*) echo "$@" >>"${0%/*}/calls" ;;
  *importlib*) exit 1 ;;
esac
TEXT
chmod +x "$tree/.venv/bin/python"
stand_in dpkg-query 'echo installed'
wheels() { # WHAT ROOTS OPTION…
  local what=$1 roots=$2
  shift 2
  : >"$tree/.venv/bin/calls"
  PATH="$fake:$PATH" CIUIC_CUDA_ROOTS=$roots bash "$tree/tools/setup" "$@" >/dev/null
  echo "$what: $(grep -o 'nvidia-[a-z0-9-]*==[0-9.]*' "$tree/.venv/bin/calls" | sed 's/==.*//' | tr '\n' ' ')"
}
wheels "no toolkit" "" --gpu
: >"$fake/toolkit/bin/ptxas"
: >"$fake/toolkit/lib64/libcublasLt.so.13"
wheels "a toolkit" "$fake/toolkit" --gpu
wheels "no GPU" "" --no-gpu
