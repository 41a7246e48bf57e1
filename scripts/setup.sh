#!/usr/bin/env bash
# Everything the project needs on Debian or Ubuntu with Node 20.19 or newer: packages, dependencies, build. Run it as
# often as you like. With --test also what the tests compare with. What cannot be had is named and left out.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf 'setup: %s\n' "$*" >&2; }

node -e 'const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>20||(a===20&&b>=19)?0:1)' ||
  { say "Node 20.19 or newer is needed, this is $(node --version)"; exit 1; }

want=()
command -v cc >/dev/null || command -v gcc >/dev/null || want+=(gcc libc6-dev)
command -v unshare >/dev/null || want+=(util-linux)
command -v mount >/dev/null || want+=(mount)
if [[ ${1:-} == --test ]]; then
  command -v gcc >/dev/null || want+=(gcc libc6-dev)
  command -v valgrind >/dev/null || want+=(valgrind)
  command -v jq >/dev/null || want+=(jq)
  command -v setpriv >/dev/null || want+=(util-linux)
fi
if ((${#want[@]})); then
  if ! command -v apt-get >/dev/null; then
    say "not found: ${want[*]} (no apt-get here: install them by hand); what needs them is left out"
  elif ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
    say "not found: ${want[*]}; run: sudo apt-get install ${want[*]}; what needs them is left out"
  else
    as_root=(); ((EUID == 0)) || as_root=(sudo -n)
    "${as_root[@]}" apt-get -qq update >&2 || say 'apt-get update failed; trying with the lists there are'
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get -qq install -y --no-install-recommends "${want[@]}" >&2 ||
      say "could not install: ${want[*]}; what needs them is left out"
  fi
fi

if [[ ! -f node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
  npm ci --no-audit --no-fund --loglevel=error >&2
fi

if [[ ${1:-} == --test ]]; then
  node scripts/build.mjs --types
  bash scripts/fetch-sources.sh .sources || say 'some kernel headers could not be fetched: the comparisons that need them are skipped'
  bash scripts/fetch-nodes.sh .sources || say 'other versions of Node could not be fetched: the runs on them are skipped'
else
  node scripts/build.mjs
fi
