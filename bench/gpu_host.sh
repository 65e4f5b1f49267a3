#!/bin/bash
# Run the tool on a GPU host and leave what it printed and reported in a folder.
#   make wheels && bash bench/gpu_host.sh OUT quick standard
# The host may be without network: what it lacks is installed from .whl/, this project's wheel included.
#   SELFTEST=1        the self-test with its GPU faults first
#   BENCH=1           python -m bench.attention
#   PROVE="attention batching decoding quantization"   the proofs of these suites on the GPU
#   PROVE_SEEDS=200   the sound variants over so many seeds, spread over the processors
#   ONLY=EXPRESSION   -k for the levels
set -u
out=$(mkdir -p "${1:?folder for reports}" && cd "$1" && pwd)
shift
checkout=$PWD
site=$(mktemp -d)
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl || exit 1
export PYTHONPATH=$site PYTHONUNBUFFERED=1 PATH=$site/bin:$PATH
nvidia-smi -L
cd "$(mktemp -d)" || exit 1
if [ "${SELFTEST:-}" = 1 ]; then
  (time python3 -m pytest --trtcheck-selftest) 2>&1 | tee "$out/selftest.txt"
fi
for level in "$@"; do
  (time python3 -m pytest -p no:cacheprovider --trtcheck --trtcheck-level "$level" ${ONLY:+-k "$ONLY"} \
    --trtcheck-report "report-$level") 2>&1 | tee "$out/$level.txt"
  for file in report.json report.md TEST-trtcheck.xml; do
    cp "report-$level/$file" "$out/$level-$file"
  done
done
if [ "${BENCH:-}" = 1 ]; then
  PYTHONPATH=$site:$checkout python3 -W ignore -m bench.attention "$@" 2>&1 | tee "$out/bench.txt"
fi
for suite in ${PROVE:-}; do
  (time python3 -W ignore -m pytest_trtcheck prove "$suite" --device cuda) 2>&1 | tee "$out/prove-$suite.txt"
done
if [ -n "${PROVE_SEEDS:-}" ]; then
  processes=$(nproc)
  each=$(((PROVE_SEEDS + processes - 1) / processes))
  for ((process = 0; process < processes; process++)); do
    OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES= python3 -W ignore -m pytest_trtcheck prove attention --device cpu \
      --first-seed $((process * each)) --seeds "$each" >"$process.txt" 2>&1 &
  done
  wait
  cat -- *.txt >"$out/prove-seeds.txt"
  grep -h "^sound variants" -- *.txt
fi
