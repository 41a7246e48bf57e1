#!/usr/bin/env bash
# The main job on an emulated ConnectX-6 Dx: a real driver node where the machine allows it, else in process.
set -euo pipefail
cd "$(dirname "$0")/.."
run() { printf '\n$ %s\n' "$*"; "$@"; }
export PATH="$PWD/node_modules/.bin:$PATH"
mlx5ctl() { node bin/mlx5ctl.js "$@"; }

if mlx5ctl emulate -- true 2>/dev/null; then
  run mlx5ctl emulate -- mlx5ctl list
  run mlx5ctl emulate -- mlx5ctl info mlx5_core.ctl.0
  run mlx5ctl emulate -- mlx5ctl cmd fwctl0 QUERY_ISSI
else
  printf 'No device nodes can be emulated here, so the device is emulated in process. The reason:\n'
  mlx5ctl emulate -- true || true
  run mlx5ctl info emu:connectx6dx
  run mlx5ctl cmd emu:connectx6dx QUERY_ISSI
fi
