/** Kernel headers into catalogue entries. Pure: text in, entries and problems out. */
import { emptyEntries, type Entries } from '../entries'
import type { Command, Enumeration, Field, Layout } from '../layout'
import { commonPrefix } from '../value-text'
import { ConstantTable } from './constants'
import { readDeclarations, type EnumDeclaration, type Problem } from './declarations'
import { BadExpression } from './expression'
import { buildLayouts } from './layouts'
import { tokenize, type SourceFile } from './tokenizer'

export interface HeaderImport {
  readonly entries: Entries
  /** What was left out, with file and line. */
  readonly problems: readonly Problem[]
}

/**
 * Reads mlx5_ifc.h, mlx5_ifc_fpga.h (layouts, opcodes), device.h (statuses, capability types, events) and driver.h
 * (register ids), or any of them; constants may refer to each other across files.
 * @throws MalformedData with file and line when a text cannot be a header
 */
export function importHeaders(files: readonly SourceFile[]): HeaderImport {
  const constants = new ConstantTable()
  const tokens = files.flatMap((file) => {
    const tokenized = tokenize(file)
    for (const define of tokenized.defines) constants.addDefine(define)
    return tokenized.tokens
  })
  const { aggregates, enums, problems } = readDeclarations(tokens)
  for (const { enumerators } of enums) for (const enumerator of enumerators) constants.addEnumerator(enumerator)
  const built = buildLayouts(aggregates, constants)
  const told = [...problems, ...built.problems]
  const enumerations = buildEnumerations(enums, constants, told)
  const opcode = Object.fromEntries(opcodes(enumerations))
  if (Object.keys(opcode).length > 0) enumerations.push({ name: 'opcode', values: opcode })
  const layouts = linkEnumerations(built.layouts, enumerations)
  return { entries: describe(layouts, enumerations), problems: told }
}

/**
 * Masks whose constants are bit numbers, not values (OUTER_HEADERS = 0 is bit 0, written as 1): named after them, a value
 * would get the name of another bit.
 */
const bitNumbers = new Set([
  'create_flow_group_in.match_criteria_enable',
  'initial_seg.nic_interface_supported',
  'rx_hash_field_select.selected_fields',
])

/** One enumeration for each enum; constants that cannot be worked out are left out and told. */
function buildEnumerations(
  enums: readonly EnumDeclaration[],
  constants: ConstantTable,
  told: Problem[],
): Enumeration[] {
  const taken = new Set<string>()
  const result: Enumeration[] = []
  for (const declaration of enums) {
    const values: Record<string, number | bigint> = {}
    for (const { name, file, line } of declaration.enumerators) {
      try {
        const { value } = constants.constant(name)
        values[name] = value > BigInt(Number.MAX_SAFE_INTEGER) ? value : Number(value)
      } catch (error) {
        if (!(error instanceof BadExpression)) throw error
        told.push({ file, line, message: `${name} is left out: ${error.message}` })
      }
    }
    const [first] = Object.keys(values)
    if (first === undefined) continue
    const prefix = commonPrefix({ name: '', values }).replace(/_$/, '')
    const wanted = declaration.name ?? (prefix.includes('_') ? prefix : first).toLowerCase()
    let name = wanted
    for (let again = 2; taken.has(name); again++) name = `${wanted}.${again}`
    taken.add(name)
    result.push({ name, values })
  }
  return result
}

/**
 * A field has the enumeration whose constants are all named MLX5_<LAYOUT>_<FIELD>_... and fit into it; so has op_mod in
 * MLX5_<COMMAND>_IN_OP_MOD_.... Opcodes and statuses have theirs.
 */
function linkEnumerations(layouts: readonly Layout[], enumerations: readonly Enumeration[]): Layout[] {
  const families = enumerations.map((enumeration) => {
    const names = Object.keys(enumeration.values)
    const most = Object.values(enumeration.values).reduce(
      (max: bigint, value) => (BigInt(value) > max ? BigInt(value) : max),
      0n,
    )
    return { name: enumeration.name, names, most }
  })
  const statuses = enumerations.find((enumeration) => 'MLX5_CMD_STAT_INT_ERR' in enumeration.values)
  const familyOf = (layout: string, field: Field): string | undefined => {
    if (field.name === 'opcode' && field.offset === 0 && field.width === 16) return 'opcode'
    if (field.name === 'status' && field.offset === 0 && layout.endsWith('_out')) return statuses?.name
    if (bitNumbers.has(`${layout}.${field.name}`)) return undefined
    const prefix = `MLX5_${layout}_${field.name}_`.toUpperCase()
    const family = families.find(({ names }) => names.every((name) => name.startsWith(prefix)))
    return family !== undefined && family.most < 1n << BigInt(field.width) ? family.name : undefined
  }
  return layouts.map((layout) => ({
    ...layout,
    fields: layout.fields.map((field) => {
      if (field.layout !== undefined || field.name === '') return field
      const family = familyOf(layout.name, field)
      return family === undefined ? field : { ...field, enum: family }
    }),
  }))
}

function describe(layouts: Layout[], enumerations: Enumeration[]): Entries {
  const known = new Set(layouts.map((layout) => layout.name))
  const all = enumerations
    .flatMap(({ values }) => Object.entries(values))
    .map(([name, value]) => [name, Number(value)] as const)
  const named = (prefix: RegExp): { name: string; number: number }[] => {
    const found = new Map<number, string>()
    for (const [name, number] of all) {
      const match = prefix.exec(name)
      if (match?.[1] !== undefined && !found.has(number)) found.set(number, match[1])
    }
    return [...found].map(([number, name]) => ({ name, number })).sort((a, b) => a.number - b.number)
  }
  const layoutOf = (...candidates: string[]): { layout?: string } => {
    const layout = candidates.find((name) => known.has(name))
    return layout === undefined ? {} : { layout }
  }
  const capabilities = enumerations.find(({ values }) => 'MLX5_CAP_GENERAL' in values)
  return {
    ...emptyEntries(),
    layouts,
    enumerations,
    commands: opcodes(enumerations).map(([name, opcode]) => command(name, opcode, known)),
    registers: named(/^MLX5_REG_(\w+)$/).map(({ name, number }) => ({
      name,
      id: number,
      ...layoutOf(`${name.toLowerCase()}_reg`, name.toLowerCase()),
    })),
    capabilities: Object.entries(capabilities?.values ?? {})
      .filter(([name]) => /^MLX5_CAP_(?!NUM|RESERVED)/.test(name))
      .map(([name, type]) => ({ name: name.replace('MLX5_CAP_', ''), type: Number(type) }))
      .map(({ name, type }) => ({
        name,
        type,
        ...layoutOf(`${name.toLowerCase()}_cap`, `${name.toLowerCase()}_caps`),
      })),
    objects: named(/^MLX5_(?:OBJ_TYPE|GENERAL_OBJECT_TYPES)_(\w+)$/).map(({ name, number }) => ({
      name,
      type: number,
      ...layoutOf(`${name.toLowerCase()}_obj`, name.toLowerCase(), `${name.toLowerCase()}_object`),
    })),
    statuses: named(/^MLX5_CMD_STAT_(\w+)$/).map(({ name, number }) => ({ name, code: number, text: '' })),
  }
}

/** The enum that has QUERY_HCA_CAP: other families share its prefix. */
function opcodes(enumerations: readonly Enumeration[]): [string, number][] {
  const family = enumerations.find(({ values }) => 'MLX5_CMD_OP_QUERY_HCA_CAP' in values)
  return Object.entries(family?.values ?? {})
    .map(([name, value]): [string, number] => [name.replace(/^MLX5_CMD_OP(?:CODE)?_/, ''), Number(value)])
    .filter(([name]) => name !== 'MAX')
}

function command(name: string, opcode: number, known: ReadonlySet<string>): Command {
  const lower = name.toLowerCase()
  return {
    name,
    opcode,
    ...(known.has(`${lower}_in`) ? { inbox: `${lower}_in` } : {}),
    ...(known.has(`${lower}_out`) ? { outbox: `${lower}_out` } : {}),
    scope: null,
  }
}
