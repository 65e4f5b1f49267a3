# Shared by the scripts that carry a big library to a GPU host without network, in parts of 42 MiB.
#   SM=90   code for other architectures than this one is blanked in the copies that travel (python -m bench.thin)

kept=${PACKED:-/tmp/packed}

# thinned FROM NAME...: copies what stands in FROM to a new folder, without other GPUs' code, and prints the folder.
# TensorRT's own libraries stay whole: it holds its kernels against a digest, and makes no builder where that differs.
thinned() {
  local from=$1 copy
  shift
  copy=$(mktemp -d)
  (cd "$from" && tar -c --exclude=__pycache__ --exclude='*.a' --exclude='*/include/*' "$@") | tar -x -C "$copy"
  find "$copy" -type f -name '*.so*' ! -name 'libnvinfer*' -size +1M -print0 | xargs -0 python3 -m bench.thin "${SM:-90}" >&2
  echo "$copy"
}

# parts FOLDER: splits every file of FOLDER into FOLDER/NN/part-FILE-nnn, one part in each NN.
parts() {
  local file part number=0
  for file in "$1"/*; do
    split -b 42M -d -a 3 "$file" "$1/part-${file##*/}-" && rm "$file"
  done
  for part in "$1"/part-*; do
    number=$((number + 1))
    mkdir "$1/$(printf %02d $number)" && mv "$part" "$1/$(printf %02d $number)/"
  done
  du -sm "$1" && ls -l "$1"/*
}

# keep FOLDER: moves what came there out of the checkout.
keep() { mkdir -p "$kept/parts" && mv "$1"/*/part-* "$kept/parts/" && ls "$kept/parts"; }

# unpack NAME TARGET
unpack() { mkdir -p "$2" && cat "$kept"/parts/part-"$1"-* | gzip -dc | tar -x -C "$2"; }
