#!/usr/bin/env bash
# fetch-sources.sh [DIR]: the kernel headers that the catalogue is made from and compared with, and the tools that the emulated
# device is tried with, and promtool, out of Debian packages, into DIR (default .sources): one folder a package. The system's own apt state is not touched. What is there is kept.
set -uo pipefail
dir=$(mkdir -p "${1:-.sources}" && cd "${1:-.sources}" && pwd)
say() { printf 'fetch-sources: %s\n' "$*" >&2; }

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[[ -r $keyring ]] || { say "no Debian keyring ($keyring): apt-get install debian-archive-keyring"; exit 1; }
command -v apt-get >/dev/null || { say 'no apt-get here'; exit 1; }
mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -1 | tr -d ' ')
mirror=${mirror:-http://deb.debian.org/debian}
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT

# use SUITE: makes `apt` the apt-get of that suite, with lists of its own.
use() {
  local suite=$1
  apt=(apt-get -qq -o Dir::Etc::sourcelist="$state/$suite.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$state/$suite/lists" -o Dir::Cache="$state/$suite/cache" -o Dir::State::status=/var/lib/dpkg/status
    -o APT::Sandbox::User=root)
  [[ -d $state/$suite ]] && return 0
  mkdir -p "$state/$suite/lists/partial" "$state/$suite/cache/archives/partial"
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$state/$suite.list"
  "${apt[@]}" update >/dev/null || { say "the package lists of $suite cannot be had"; return 1; }
}

# fetch SUITE SERIES PATTERN: the headers of the newest package of a suite whose name matches, unless one of the series is there.
fetch() {
  local suite=$1 series=$2 pattern=$3 package
  if compgen -G "$dir/linux-headers-$series*" >/dev/null; then return 0; fi
  use "$suite" || return 1
  package=$(apt-cache "${apt[@]:2}" search --names-only "$pattern" | awk '{print $1}' | sort -V | tail -1)
  [[ -n $package ]] || { say "$suite has no package $pattern"; return 1; }
  (cd "$state" && rm -f ./*.deb && "${apt[@]}" download "$package") || { say "$package cannot be downloaded"; return 1; }
  dpkg -x "$state"/*.deb "$state/root-$series" || return 1
  mkdir "$dir/.$package.partial" &&
    cp "$state/root-$series"/usr/src/*/include/linux/mlx5/*.h "$dir/.$package.partial/" &&
    mv "$dir/.$package.partial" "$dir/$package" && say "$package"
}

# tools SUITE PACKAGE...: the unmodified mstflint of a suite with the libraries it needs, under DIR/mstflint-SUITE.
tools() {
  local suite=$1 into=$dir/mstflint-$1
  shift
  [[ -d $into ]] && return 0
  use "$suite" || return 1
  rm -rf "$state/tools" "$state/root-tools"
  mkdir -p "$state/tools" && (cd "$state/tools" && "${apt[@]}" download "$@") || { say "mstflint of $suite cannot be downloaded"; return 1; }
  for deb in "$state/tools"/*.deb; do dpkg -x "$deb" "$state/root-tools" || return 1; done
  mv "$state/root-tools" "$into" && say "mstflint of $suite"
}

# program SUITE PACKAGE NAME: one program of a package of a suite, which needs no other, as DIR/NAME/usr/bin/NAME.
program() {
  local suite=$1 package=$2 name=$3
  [[ -d $dir/$name ]] && return 0
  use "$suite" || return 1
  rm -rf "$state/program" "$state/root-program"
  mkdir -p "$state/program" "$state/root-program/usr/bin"
  (cd "$state/program" && "${apt[@]}" download "$package") || { say "$package of $suite cannot be downloaded"; return 1; }
  dpkg -x "$state/program"/*.deb "$state/program/root" && cp "$state/program/root/usr/bin/$name" "$state/root-program/usr/bin/" || return 1
  mv "$state/root-program" "$dir/$name" && say "$name of $suite"
}

status=0
fetch sid 7.2 '^linux-headers-7\.2\.[0-9]+.*-common$' || status=1
fetch bookworm 6.1 '^linux-headers-6\.1\.[0-9]+-[0-9]+-common$' || status=1
fetch bookworm 6.12 '^linux-headers-6\.12\..*-common$' || fetch bookworm-backports 6.12 '^linux-headers-6\.12\..*-common$' ||
  fetch trixie 6.12 '^linux-headers-6\.12\..*-common$' || status=1
tools bookworm mstflint libc6 libstdc++6 libgcc-s1 zlib1g liblzma5 libexpat1 libssl3 libmuparser2v5 libgomp1 libsqlite3-0 libboost-filesystem1.74.0 || status=1
tools sid mstflint libc6 libstdc++6 libgcc-s1 zlib1g libzstd1 libexpat1 libssl3t64 libmuparser2v5 libsqlite3-0 || status=1
program bookworm prometheus promtool || status=1
exit $status
