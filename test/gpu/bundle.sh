#!/usr/bin/env bash
# Packs what the check needs on a machine without a network: `make gpu-check-bundle`. That is emoq as compiled, its
# run-time packages, this Node, the check, and the CUDA provider's libraries if they are installed. Writes pieces of at
# most 60 MiB into the folder that is named; `cat emoq-gpu-check.tar.xz.* | tar -xJ` unpacks them.
set -euo pipefail

out="${1:-.cache/gpu-check-bundle}"
libraries=node_modules/onnxruntime-node/bin/napi-v6
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)

# Packages that are not for development alone, as the lock file has them; and onnxruntime for this system only.
packages=$(node -e '
  const { packages } = JSON.parse(require("fs").readFileSync("package-lock.json", "utf8"));
  const names = Object.keys(packages).filter((name) => name !== "" && !packages[name].dev && require("fs").existsSync(name));
  console.log(names.join("\n"));')
system=$(node -p '`${process.platform}/${process.arch}`')
others=$(cd "$libraries" && ls -d ./*/* | sed 's,^\./,,' | grep -vx "$system" || true)

cp "$(node -p process.execPath)" "$out/node"
strip "$out/node" 2> /dev/null || true # from 120 to 95 MB
# shellcheck disable=SC2086
tar --create $(for other in $others; do echo "--exclude=$libraries/$other"; done) \
  --exclude='*.map' --exclude='*.test.ts' --exclude=.tsbuildinfo \
  bin dist recipes data-manifests package.json test/gpu test/bench .cache/gpu-check $packages \
  --directory "$out" node | xz -3 -T0 | split -b 60M - "$out/emoq-gpu-check.tar.xz."
rm "$out/node"
ls -l "$out"
[ -e "$libraries/$system/libonnxruntime_providers_cuda.so" ] \
  || echo "without the CUDA provider: copy its two libraries to $libraries/$system there"
