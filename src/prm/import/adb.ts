import { emptyEntries, type Entries } from '../entries'
import { MalformedData } from '../errors'
import type { Register } from '../layout'
import { adbFieldAt, adbLayouts } from './adb-layouts'
import { adbEnum } from './adb-values'
import { parseAdb, type AdbDocument, type AdbNode } from './adb-xml'
import type { Problem } from './declarations'

export interface AdbImport {
  readonly entries: Entries
  readonly problems: readonly Problem[]
  /** "Rev 0.62" */
  readonly version: string | undefined
}

/**
 * Reads register_access_table.adb of mstflint: of an HCA, a switch or a GPU.
 * @param options.texts keep descriptions
 * @throws MalformedData with file and line when the file is no ADB file, or names no access registers
 */
export function importAdb(text: string, file: string, options: { readonly texts?: boolean } = {}): AdbImport {
  const document = parseAdb(text, file)
  const { registers, problems: registerProblems } = findRegisters(document)
  const nodes = registers.flatMap(({ layout }) => layout ?? [])
  const { layouts, enumerations, problems } = adbLayouts(document, nodes, options.texts === true)
  const kept = registers.map(({ layout, ...register }) =>
    layout !== undefined && layouts.has(layout) ? { ...register, layout } : register,
  )
  return {
    entries: {
      ...emptyEntries(),
      layouts: [...layouts.values()],
      enumerations: [...enumerations],
      registers: kept.sort((a, b) => a.id - b.id || (a.name < b.name ? -1 : 1)),
    },
    problems: [...problems, ...registerProblems],
    version: document.version,
  }
}

/** The union of all registers, its selector (an enumeration of their ids), and by name the layout of each. */
function findRegisters(document: AdbDocument): { registers: Register[]; problems: Problem[] } {
  const { file } = document
  const [selector, holder, union] = registerSelector(document)
  const ids = adbEnum(adbFieldAt(document, holder, selector)?.attributes.enum ?? '')
  if (ids === undefined)
    throw new MalformedData(`${file}:${holder.line}`, 'the ids of the access registers are not there')
  const problems: Problem[] = []
  const registers = Object.entries(ids).flatMap(([name, id]): Register[] => {
    if (id > 0xffff) {
      problems.push({ file, line: holder.line, message: `register ${name} is left out: 0x${id.toString(16)} is no id` })
      return []
    }
    const member = union.fields.find(({ attributes }) => attributes.selected_by === name)
    const layout = member?.attributes.subnode
    if (layout === undefined) problems.push({ file, line: union.line, message: `register ${name} has no layout` })
    return [{ name, id, ...(layout === undefined ? {} : { layout }) }]
  })
  return { registers, problems }
}

/** Internal files have the same nodes without _ext. */
function registerSelector(document: AdbDocument): readonly [selector: string, holder: AdbNode, union: AdbNode] {
  for (const name of ['access_reg_summary_selector_ext', 'access_reg_summary_selector']) {
    const holder = document.nodes.get(name)
    const field = holder?.fields.find(({ attributes }) => attributes.union_selector !== undefined)
    const union = document.nodes.get(field?.attributes.subnode ?? '')
    const path = field?.attributes.union_selector?.replace(/^[$#]\(parent\)\./, '')
    if (holder !== undefined && union !== undefined && path !== undefined) return [path, holder, union]
  }
  throw new MalformedData(document.file, 'names no access registers (access_reg_summary_selector_ext)')
}
