// Who may import whom: the table of the design, as a rule. A room may always import itself.
const allow = {
  commands: '^src/(commands|bundle|device|render|prm)/|^src/transport/(open|contract)\\.ts$',
  device: '^src/(device|prm)/|^src/transport/contract\\.ts$',
  emulator: '^src/(emulator|prm)/|^src/transport/contract\\.ts$',
  transport: '^src/transport/|^src/native\\.ts$',
  bundle: '^src/(bundle|prm)/',
  render: '^src/render/',
  prm: '^src/prm/',
}
const rooms = Object.entries(allow).map(([room, to]) => ({
  name: `${room}-imports`,
  severity: 'error',
  from: { path: `^src/${room}/`, pathNot: '^src/commands/emulate\\.ts$|^src/transport/open\\.ts$' },
  to: { path: '^src/', pathNot: to },
}))
module.exports = {
  forbidden: [
    ...rooms,
    {
      name: 'emulate-imports',
      severity: 'error',
      from: { path: '^src/commands/emulate\\.ts$' },
      to: { path: '^src/', pathNot: `${allow.commands}|^src/emulator/` },
    },
    {
      name: 'open-imports',
      severity: 'error',
      from: { path: '^src/transport/open\\.ts$' },
      to: { path: '^src/', pathNot: `${allow.transport}|^src/emulator/` },
    },
    {
      name: 'nothing-imports-commands',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(commands/|program\\.ts|execute\\.ts)' },
      to: { path: '^src/commands/' },
    },
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'bundled-packages-only',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'unknown', 'undetermined'] },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
}
