#!/bin/sh
# Makes the peers' environments: benchmarks/peers/install.sh [ENVIRONMENT ...], all of them without one named.
#
# Each peer has its own, from a file of pinned versions, in .environments/ beside this script (ignored by git;
# about 1 GB each). torch goes first and by itself, so that no resolver trades the CPU build for CUDA's.
# TorchServe needs Java 17 on the path. PYTHON names the interpreter, which must be a CPython 3.11.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3.11}
[ $# -gt 0 ] || set -- triton mosec fastapi ray litserve bentoml torchserve
for name in "$@"; do
    pins="$here/constraints/$name.txt"
    [ -f "$pins" ] || { echo "no peer $name; there are: $(cd "$here/constraints" && ls | sed 's/.txt//' | xargs)" >&2; exit 2; }
    target="$here/.environments/$name"
    "$python" -m venv "$target"
    "$target/bin/python" -m pip install --quiet --disable-pip-version-check "$(grep '^torch==' "$pins")"
    "$target/bin/python" -m pip install --quiet --disable-pip-version-check -r "$pins"
    echo "$name is ready"
done
