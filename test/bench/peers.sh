#!/usr/bin/env bash
# Prints a Python that has what `make bench PEERS=1` compares with: the one that is named where it does, else one in
# .cache/peers, which is made here. Where that cannot be, says so in one line.
set -euo pipefail

python="$1"
packages=(torch==2.13.0 transformers==5.23.0) # as in docs/benchmarks.md
folder=.cache/peers
log=.cache/peers.log

give_up() {
  echo "make bench PEERS=1: $1; name a Python that has torch and transformers: make bench PYTHON=/path/to/python" >&2
  exit 1
}

for candidate in "$python" "$folder/bin/python"; do
  if "$candidate" -c 'import torch, transformers' > /dev/null 2>&1; then
    echo "$candidate"
    exit
  fi
done

command -v "$python" > /dev/null || give_up "there is no $python"
echo "installing ${packages[*]} into $folder: 0.3 GB to download where pip knows an index with PyTorch's CPU builds, some 3 GB (the CUDA build) where it does not" >&2
rm -rf "$folder"
mkdir -p .cache
"$python" -m venv "$folder" > "$log" 2>&1 || give_up "$python cannot make a virtual environment ($log)"
"$folder/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >> "$log" 2>&1 \
  || give_up "pip cannot install them ($(grep -i error "$log" | tail -1))"
"$folder/bin/python" -c 'import torch, transformers' >> "$log" 2>&1 || give_up "they do not load ($(tail -1 "$log"))"
echo "$folder/bin/python"
