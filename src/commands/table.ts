import type { CommandEntry } from './types'

const many = Number.POSITIVE_INFINITY

/** Every command. Modules are loaded when they run. */
export const commandTable: readonly CommandEntry[] = [
  {
    name: 'list',
    arguments: '',
    summary: 'every mlx5 function and the doors that are open',
    description:
      'Lists every mlx5 function with its PCI address, names, PSID and firmware where sysfs has them, and its doors: mlx5ctl, fwctl, pci. Nothing is opened. No device is an empty list and exit 0.',
    options: [],
    examples: ['mlx5ctl list', "mlx5ctl list -j | jq -r '.data.devices[].pci'"],
    abilities: [],
    takes: [0, 0],
    load: () => import('./list'),
  },
  {
    name: 'info',
    arguments: 'DEVICE',
    summary: 'the user context and what the device is',
    description:
      'Shows the user context that the driver gave this process, and model, PSID and firmware where they can be read.',
    options: [],
    examples: ['mlx5ctl info mlx5_core.ctl.0', 'mlx5ctl info 0000:03:00.0 -j', 'mlx5ctl info emu:connectx6dx'],
    abilities: ['device'],
    takes: [1, 1],
    load: () => import('./info'),
  },
  {
    name: 'cap',
    arguments: 'DEVICE [TYPE...]',
    summary: 'device capabilities, current or maximum',
    description:
      'Queries capability types by name or number; all of them by default. Types that the device does not know are named. With --raw one type, its 4096 bytes.',
    options: [['--max', 'maximum instead of current values']],
    examples: ['mlx5ctl cap fwctl0', 'mlx5ctl cap fwctl0 GENERAL DEBUG --max', 'mlx5ctl cap fwctl0 0x20 --hex'],
    abilities: ['device', 'raw', 'hex', 'reserved', 'dry-run'],
    takes: [1, many],
    load: () => import('./cap'),
  },
  {
    name: 'cmd',
    arguments: 'list | show OPCODE | DEVICE OPCODE [FIELD=VALUE...]',
    summary: 'any command of the PRM, by name and field',
    description:
      'list: every command. show: inbox, outbox and fwctl scope of one. Else the inbox is built from the fields given (names or unambiguous endings of them, elements as a.b[3].c; values decimal, 0x, 0b or names), sent, and the outbox decoded. The opcode and the uid are set by the tool and the driver.',
    options: [
      ['--in FILE', 'take the inbox from a file (raw bytes or any hex text; - is stdin); fields given change it'],
      ['--out-length BYTES', 'ask for an outbox of this length, for lists at its end'],
      ['--in-length BYTES', 'send an inbox of this length, for lists at its end'],
    ],
    examples: [
      'mlx5ctl cmd list',
      'mlx5ctl cmd show QUERY_VPORT_COUNTER',
      'mlx5ctl cmd fwctl0 QUERY_HCA_CAP op_mod=1',
      'mlx5ctl cmd mlx5_core.ctl.0 QUERY_MKEY mkey_index=0x1a2b -j',
      'mlx5ctl cmd emu:connectx6dx ALLOC_PD --dry-run --hex',
    ],
    abilities: ['device', 'raw', 'hex', 'reserved', 'dry-run'],
    takes: [1, many],
    load: () => import('./cmd'),
  },
  {
    name: 'reg',
    arguments:
      'list | show REG | get DEVICE REG [FIELD=VALUE...] | set DEVICE REG FIELD=VALUE... | dump DEVICE [REG...] [FIELD=VALUE...]',
    summary: 'access registers: list, show, get, set, dump',
    description:
      'list: every access register. show: the fields of one. get: reads one and decodes it; FIELD=VALUE are its INDEX and OP fields. set: reads, changes the given fields, shows what changes, asks (or --yes), writes and reads back. dump: reads many; index fields that are given are used where a register has them, local_port is 1 by default. Names may be unambiguous endings of paths; values decimal, 0x, 0b or names.',
    options: [
      ['--field NAME', 'get: only this field'],
      ['--id ID', 'get, set: a register by number, with --length; fields are then ADDRESS.BIT:SIZE=VALUE'],
      ['--length BYTES', 'get, set: bytes of the register'],
      ['--overwrite', 'set: do not read first; what is not given is written as 0'],
      ['--all-readable', 'dump: every register that the device says it has'],
      ['--full-path', 'get: whole paths instead of the short names of mstreg'],
      ['--detailed', 'get: decimal values and names of values too'],
    ],
    examples: [
      'mlx5ctl reg show PTYS',
      'mlx5ctl reg get fwctl0 PAOS local_port=1',
      'mlx5ctl reg get 0000:03:00.0 MTMP --field temperature',
      'mlx5ctl reg set mlx5_0 PTYS local_port=1 proto_mask=4 an_disable_admin=1 --yes',
      'mlx5ctl reg dump fwctl0 --all-readable --format ndjson',
      'mlx5ctl reg get fwctl0 --id 0x9020 --length 160',
    ],
    abilities: ['device', 'raw', 'hex', 'reserved', 'dry-run'],
    takes: [1, many],
    load: () => import('./reg'),
  },
  {
    name: 'obj',
    arguments: 'list | DEVICE TYPE [ID] [FIELD=VALUE...]',
    summary: 'query any object: QP, CQ, EQ, TIR, ..., general objects',
    description:
      'list: every object type. Else one object, or with --id many, as NDJSON on request. FIELD=VALUE set op_mod and what else the query takes (other_vport, table_type, ...). An id that is not there is refused by firmware: alone that is exit 6, in a range it is counted.',
    options: [['--id IDS', 'ids and ranges of them: 5, 0..63, 1,2,0x10..0x1f']],
    examples: [
      'mlx5ctl obj list',
      'mlx5ctl obj fwctl0 qp 0x52',
      'mlx5ctl obj fwctl0 eq --id 0..63 --format ndjson',
      'mlx5ctl obj mlx5_0 vport_counter 1 other_vport=1 -j',
      'mlx5ctl obj emu:bluefield3 sampler 1',
    ],
    abilities: ['device', 'raw', 'hex', 'dry-run'],
    takes: [1, many],
    load: () => import('./obj'),
  },
  {
    name: 'coredump',
    arguments: 'DEVICE',
    summary: 'all registers of the device through registered memory',
    description:
      'Firmware writes all of its registers (CR space) into registered memory, as a rule with one command: pairs of address and value, big-endian, 8 bytes each. Needs the mlx5ctl driver; regdump reads registers over other doors. Raw bytes go to a file or a pipe; --format text gives the lines of mstregdump, --hex a hex dump, JSON a summary.',
    options: [['--size BYTES', 'memory for one command: 64K, 2M (default: what the device asks for)']],
    examples: [
      'mlx5ctl coredump mlx5_core.ctl.0 -o core.bin',
      'mlx5ctl coredump mlx5_core.ctl.0 | zstd >core.zst',
      'mlx5ctl coredump 0000:03:00.0 --format text | grep 0x000f0014',
      'mlx5ctl coredump emu:connectx7 --size 64K -j',
    ],
    abilities: ['device', 'raw', 'hex'],
    takes: [1, 1],
    load: () => import('./coredump'),
  },
  {
    name: 'regdump',
    arguments: 'DEVICE | diff A B [C]',
    summary: 'register dump as mstregdump; compare dumps',
    description:
      'Reads CR space by the dump table of the chip over PCI, or by a core dump where there is only the mlx5ctl driver: "ADDRESS VALUE" lines as mstregdump prints them. --raw gives big-endian pairs, as coredump does. A read that fails ends it: what was read is kept, and the exit code is 8. diff tells which registers differ between dumps of any of these forms, and of three dumps which of those count.',
    options: [
      ['--via WAY', 'crspace, or coredump: firmware reads the registers'],
      ['--scan', 'no table: read what the device says can be read'],
      ['--table NAME', 'dump table of this chip or hardware id, for a chip that has none'],
      ['--from FILE', 'convert a dump: lines, JSON, coredump:FILE, or crdump:FILE of devlink health dump show'],
    ],
    examples: [
      'mlx5ctl regdump 0000:03:00.0 -o before.txt',
      'mlx5ctl regdump mlx5_core.ctl.0 --via coredump',
      'mlx5ctl regdump 03:00.0 --scan -j',
      'mlx5ctl regdump --from coredump:core.bin',
      'mlx5ctl regdump diff before.txt after.txt later.txt',
    ],
    abilities: ['device', 'raw', 'hex'],
    takes: [0, 4],
    load: () => import('./regdump'),
  },
  {
    name: 'decode',
    arguments: 'LAYOUT [FILE]',
    summary: 'decode bytes offline',
    description:
      'Decodes what a file or stdin holds with a layout of the catalogue, a register (PAOS) or the inbox or outbox of a command (QUERY_QP.in, QUERY_QP.out). Takes raw bytes, hex text, hexdump, xxd, the hex dumps of mlx5ctl, kernel logs, and the tables of mstreg, mlxreg and reg get.',
    options: [],
    examples: [
      'mlx5ctl decode query_issi_out dump.bin',
      'xxd -p out.bin | mlx5ctl decode QUERY_ISSI.out -j',
      'mstreg -d 03:00.0 --reg_name PAOS --get -i local_port=1 | mlx5ctl decode PAOS -j',
    ],
    abilities: ['raw', 'hex', 'reserved'],
    takes: [1, 2],
    load: () => import('./decode'),
  },
  {
    name: 'catalogue',
    arguments: 'info | import FILE...',
    summary: 'what the tool knows, and from where',
    description:
      'info: sources and counts. import: adds kernel headers (mlx5_ifc.h and, where you have them, mlx5_ifc_fpga.h, device.h, driver.h), or one register file of mstflint (register_access_table.adb of an HCA, a switch or a GPU), in front of the built-in catalogue, in $XDG_DATA_HOME/mlx5ctl/.',
    options: [['--name NAME', 'name of the import; one of the same name is replaced (default: import)']],
    examples: [
      'mlx5ctl catalogue info',
      'mlx5ctl catalogue import ./include/linux/mlx5/*.h --name linux-next',
      'mlx5ctl catalogue import /usr/share/mstflint/prm_dbs/hca/ext/register_access_table.adb --name mstflint',
    ],
    abilities: [],
    takes: [1, many],
    load: () => import('./catalogue'),
  },
  {
    name: 'emulate',
    arguments: '-- COMMAND [ARGUMENT...]',
    summary: 'run a command with emulated devices present',
    description:
      'Runs COMMAND in a private mount namespace with /dev/mlx5ctl-*, /dev/fwctl/* and their sysfs, as the drivers show them. Works as root, and without where /dev/fuse and user namespaces are open to users. The exit code is that of COMMAND.',
    options: [
      ['--profile NAME', 'a device of this profile; repeat it for several (default: connectx6dx)'],
      ['--uapi VERSION', 'version of the mlx5ctl driver interface: v1, v2, v3 or v4 (default: v4)'],
      ['--log FILE', 'append what the drivers see, one JSON record a line'],
    ],
    examples: [
      'mlx5ctl emulate -- mlx5ctl info mlx5_core.ctl.0',
      'mlx5ctl emulate --profile connectx6dx --profile connectx6dx -- mlx5ctl list',
      'mlx5ctl emulate --fault unplug@3 -- ./your-test',
    ],
    abilities: [],
    takes: [1, many],
    load: () => import('./emulate'),
  },
  {
    name: 'completion',
    arguments: 'bash | zsh | fish',
    summary: 'completions for a shell',
    description: 'Prints completions for a shell.',
    options: [],
    examples: ['source <(mlx5ctl completion bash)', 'mlx5ctl completion fish >~/.config/fish/completions/mlx5ctl.fish'],
    abilities: [],
    takes: [1, 1],
    load: () => import('./completion'),
  },
]
