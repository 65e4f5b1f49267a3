#!/bin/bash
# Run the tool on a GPU host and leave its reports under a folder: the self-test with its GPU faults, then each level.
#   make wheels && bash bench/gpu_host.sh OUT quick standard
# The host may be without network: what it lacks is installed from .whl/, this project's wheel included.
set -u
out=${1:?folder for reports}
shift
mkdir -p "$out"
site=$(mktemp -d)
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl || exit 1
export PYTHONPATH=$site PYTHONUNBUFFERED=1 PATH=$site/bin:$PATH
nvidia-smi -L
cd "$(mktemp -d)" || exit 1
if [ "${SELFTEST:-1}" = 1 ]; then
  (time python3 -m pytest --trtcheck-selftest) 2>&1 | tee "$out/selftest.txt"
fi
for level in "$@"; do
  (time python3 -m pytest -p no:cacheprovider --trtcheck --trtcheck-level "$level" --trtcheck-report "$out/$level") 2>&1 |
    tee "$out/$level.txt"
done
