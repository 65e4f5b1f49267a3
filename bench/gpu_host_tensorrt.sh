#!/bin/bash
# Run the engine suite with TensorRT 8.6.0 on a GPU host without network and without a Python 3.10.
#   bash bench/gpu_host_tensorrt.sh pack VENV PYTHON_PREFIX   here: folders .trt86/NN with one part of 42 MiB, to be carried
#   bash bench/gpu_host_tensorrt.sh keep                      there, after each load: moves what came to $PACKED
#   bash bench/gpu_host_tensorrt.sh run OUT [LEVEL ...]       there: unpacks, runs, leaves reports and figures in OUT
#   bash bench/gpu_host_tensorrt.sh try OUT [LEVEL ...]       here: pack's parts through keep and run, in a folder of its own
# VENV holds tensorrt==8.6.0, nvidia-cudnn-cu12<9, numpy<2 and this project, for Python 3.10; PYTHON_PREFIX is that Python.
#   WITHOUT_CUBLAS=1   pack leaves cuBLAS out: the host has libcublas.so.12 and libcublasLt.so.12 where its loader looks
set -eu
. "${BASH_SOURCE[0]%/*}/packed.sh"
here=$PWD

pack() {
  local venv=$1 prefix=$2 site
  site=$(echo "$venv"/lib/python3.10/site-packages)
  rm -rf .trt86 && mkdir .trt86
  local wanted=(tensorrt numpy numpy.libs nvidia/cuda_runtime/lib nvidia/cuda_nvrtc/lib)
  # cuDNN's shim is NEEDED by the plugin library; its larger parts are loaded by tactics that are cuDNN's own only.
  wanted+=(nvidia/cudnn/lib/libcudnn.so.8 nvidia/cudnn/lib/libcudnn_ops_infer.so.8)
  [ "${WITHOUT_CUBLAS:-}" = 1 ] || wanted+=(nvidia/cublas/lib/libcublas.so.12 nvidia/cublas/lib/libcublasLt.so.12)
  wanted+=(_pytest pytest py.py iniconfig pluggy packaging xdist execnet elftools junitparser parameterized pynvml.py yaml _yaml)
  wanted+=(exceptiongroup tomli typing_extensions.py pygments)
  local there=() name
  for name in "${wanted[@]}" $(cd "$site" && ls -d ./*.dist-info); do
    [ -e "$site/$name" ] && there+=("$name")
  done
  local copy
  copy=$(thinned "$site" "${there[@]}")
  tar -c -C "$copy" . | gzip -2 >.trt86/site
  rm -rf "$copy"
  (cd "$prefix" && tar -c --exclude=__pycache__ --exclude=test --exclude='*.a' --exclude=site-packages --exclude='config-3*' \
    bin/python3.10 lib/python3.10 $(cd "$prefix" && ls lib/libpython3.10.so* 2>/dev/null)) | gzip -2 >.trt86/python
  git ls-files -z pytest_trtcheck suites matrix bench | tar -c --null -T - | gzip -2 >.trt86/tool
  parts .trt86
}

run() {
  local out level python site tool
  out=$(mkdir -p "$1" && cd "$1" && pwd)
  shift
  site=$kept/site tool=$kept/tool
  local part
  for part in site python tool; do [ -d "$kept/$part" ] || unpack "$part" "$kept/$part"; done
  python=$kept/python/bin/python3.10
  ln -sfn ../suites "$tool/pytest_trtcheck/_suites" && ln -sfn ../matrix "$tool/pytest_trtcheck/_matrix"
  unset PYTHONHOME
  export PYTHONPATH=$tool:$site PYTHONDONTWRITEBYTECODE=1
  LD_LIBRARY_PATH=$kept/python/lib:$(echo "$site"/nvidia/*/lib | tr ' ' :)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export LD_LIBRARY_PATH
  command -v nvidia-smi >/dev/null && nvidia-smi -L | tee "$out/gpu.txt"
  "$python" -c 'import sys, numpy, tensorrt; print(sys.version, numpy.__version__, tensorrt.__version__)' | tee "$out/versions.txt"
  cd "$(mktemp -d)"
  for level in "$@"; do
    (time "$python" -m pytest -p no:cacheprovider --trtcheck \
      --trtcheck-level "$level" --trtcheck-report "report-$level" --trtcheck-format all || true) 2>&1 |
      tee "$out/$level.txt"
    cp -r "report-$level" "$out/" || true
  done
  PYTHONPATH=$tool:$site "$python" -m bench.engines 2>&1 | tee "$out/bench.txt" || true
}

case ${1:-} in
  pack) pack "$2" "$3" ;;
  keep) keep .trt86 ;;
  run) shift && run "$@" ;;
  try)
    shift
    kept=$(mktemp -d)
    trap 'rm -rf "$kept"' EXIT
    mkdir "$kept/parts" && cp "$here"/.trt86/*/part-* "$kept/parts/"
    run "$@"
    ;;
  *) sed -n 2,8p "$0" && exit 2 ;;
esac
