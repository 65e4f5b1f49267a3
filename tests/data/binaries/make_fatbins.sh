#!/bin/sh
# Made the files beside it, with nvcc 13.0.88 (CUDA 13.0): sh make_fatbins.sh, in this folder. Kept so that the parser is
# tested where there is no nvcc.
set -e
cat > /tmp/k.cu <<'CU'
__global__ void scale(float *data, float factor) { data[threadIdx.x] *= factor; }
extern "C" void launch(float *data) { scale<<<1, 32>>>(data, 2.0f); }
CU
code() { for one in "$@"; do printf -- '-gencode arch=compute_%s,code=%s ' "${one#*_}" "$one"; done; }
shared="nvcc -shared -cudart shared -Xcompiler -fPIC -Xlinker -s"
$shared $(code sm_75 sm_80 sm_90a sm_100f sm_120 compute_120) -o linked.so /tmp/k.cu
$shared -rdc=true $(code sm_86 sm_120f compute_86) -o relocatable.so /tmp/k.cu
for mode in none size speed; do
  nvcc -fatbin -compress-mode=$mode $(code sm_75 sm_90a sm_121a compute_90a compute_120f) -o $mode.fatbin /tmp/k.cu
done
nvcc -fatbin $(code lto_89 compute_80) -o lto.fatbin /tmp/k.cu
for sm in 75 90 90a 100 100a 100f; do nvcc -cubin -arch=sm_$sm -o sm_$sm.cubin /tmp/k.cu; done
nvcc -ptx -arch=compute_103a -o compute_103a.ptx /tmp/k.cu
