#!/bin/bash
# Run the suites of language models with vLLM on a GPU host without network that has its torch already.
#   bash bench/gpu_host_vllm.sh pack VENV HAVE     here: folders .vllm/NN with one part of 42 MiB each, to be carried
#   bash bench/gpu_host_vllm.sh keep               there, after each load: moves what came to $PACKED
#   bash bench/gpu_host_vllm.sh run OUT [LEVEL ...]  there: unpacks, runs, leaves reports and what was printed in OUT
# VENV holds vLLM for the Python and torch of the host; HAVE names a file with the distributions that the host has.
#   ONLY=EXPRESSION   -k for the levels ("vllm")
#   SERVE=1           the server too: its form, batching and decoding through it
set -eu
. "${BASH_SOURCE[0]%/*}/packed.sh"
here=$PWD

pack() {
  local site names
  site=$(echo "$1"/lib/python3.*/site-packages)
  # What distributions that the host lacks have installed, by their RECORD.
  mapfile -t names < <("$1/bin/python" -I - "$2" <<'LIST'
import re, sys
from importlib.metadata import distributions
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
have = {plain(line.strip()) for line in open(sys.argv[1])}
found = {
    file.parts[0]
    for found in distributions() if plain(found.name) not in have
    for file in found.files or () if ".." not in file.parts and not file.is_absolute()
}
print("\n".join(sorted(found - {"__pycache__", "tests", "test"})))
LIST
  )
  rm -rf .vllm && mkdir .vllm
  local copy
  copy=$(thinned "$site" "${names[@]}")
  tar -c -C "$copy" . | gzip -2 >.vllm/site
  rm -rf "$copy"
  parts .vllm
}

run() {
  local out level site=$kept/vllm tools
  out=$(mkdir -p "$1" && cd "$1" && pwd)
  shift
  [ -d "$site" ] || unpack site "$site"
  tools=$(mktemp -d)
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$tools" "$here"/.whl/*.whl
  export PYTHONPATH=$tools:$site PYTHONUNBUFFERED=1 PATH=$tools/bin:$PATH
  nvidia-smi -L | tee "$out/gpu.txt"
  cd "$(mktemp -d)"
  for level in "$@"; do
    (time python3 -m pytest -p no:cacheprovider --trtcheck --trtcheck-level "$level" -k "${ONLY:-vllm}" \
      --trtcheck-report "report-$level" || true) 2>&1 | tee "$out/$level.txt"
    cp -r "report-$level" "$out/" || true
  done
  [ "${SERVE:-}" = 1 ] || return 0
  local model
  model=$(python3 -c 'import pytest_trtcheck._suites.probe_llm as s, pathlib; print(pathlib.Path(s.__file__).parent / "model")')
  HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 python3 -m vllm.entrypoints.openai.api_server --model "$model" --port 8123 \
    --host 127.0.0.1 --enforce-eager --gpu-memory-utilization 0.3 >"$out/server.txt" 2>&1 &
  local server=$!
  for _ in $(seq 90); do curl -sf http://127.0.0.1:8123/health >/dev/null && break || sleep 1; done
  (time python3 -m pytest -p no:cacheprovider --trtcheck --trtcheck-openai-url http://127.0.0.1:8123/v1 -k openai \
    --trtcheck-report report-openai || true) 2>&1 | tee "$out/openai.txt"
  cp -r report-openai "$out/" || true
  kill $server && wait $server || true
}

case ${1:-} in
  pack) pack "$2" "$3" ;;
  keep) keep .vllm ;;
  run) shift && run "$@" ;;
  *) sed -n 2,8p "$0" && exit 2 ;;
esac
