import { SaxesParser, type SaxesTagPlain } from 'saxes'
import { MalformedData } from '../errors'

/** A <field> or <node> of an ADB file: its attributes and the line it stands on. */
export interface AdbField {
  readonly attributes: Readonly<Record<string, string>>
  readonly line: number
}

export interface AdbNode extends AdbField {
  readonly name: string
  readonly fields: readonly AdbField[]
}

/** An ADB file as it is written: nothing in it has been understood yet. */
export interface AdbDocument {
  readonly file: string
  readonly nodes: ReadonlyMap<string, AdbNode>
  /** Attributes of all <config> elements that are no descriptions of attributes. */
  readonly config: Readonly<Record<string, string>>
  /** NAME=VALUE of <config define="...">. */
  readonly defines: ReadonlyMap<string, string>
  /** source_doc_version of <info>. */
  readonly version: string | undefined
}

/** The shipped files have up to 2.2 MB. */
const MAX_BYTES = 64 * 2 ** 20

/**
 * Reads the XML of an ADB file. Its grammar is flat: NodesDefinition holds config (which may hold enum), info, and node,
 * which holds field.
 * @throws MalformedData with file and line for XML that is none, for unknown elements, and for nodes without or with the
 *   same name
 */
export function parseAdb(text: string, file: string): AdbDocument {
  if (text.length > MAX_BYTES) throw new MalformedData(file, `is longer than ${MAX_BYTES} bytes`)
  const parser = new SaxesParser({ position: true, xmlns: false })
  const reader = new DocumentReader(file, () => parser.line)
  parser.on('error', (error) => {
    throw new MalformedData(`${file}:${parser.line}`, `is no XML: ${error.message.replace(/^\d+:\d+: /, '')}`)
  })
  parser.on('opentag', (tag) => reader.open(tag))
  parser.on('closetag', (tag) => reader.close(tag.name))
  parser.write(text).close()
  return reader.document()
}

/** Elements, and what may hold them. */
const parents: Readonly<Record<string, string>> = {
  NodesDefinition: '',
  config: 'NodesDefinition',
  enum: 'config',
  info: 'NodesDefinition',
  node: 'NodesDefinition',
  field: 'node',
}

class DocumentReader {
  private readonly nodes = new Map<string, AdbNode>()
  private readonly config: Record<string, string> = {}
  private readonly defines = new Map<string, string>()
  private readonly open_: string[] = []
  private fields: AdbField[] = []
  private version: string | undefined

  constructor(
    private readonly file: string,
    private readonly line: () => number,
  ) {}

  open({ name, attributes }: SaxesTagPlain): void {
    const parent = Object.hasOwn(parents, name) ? parents[name] : undefined
    if (parent === undefined) throw this.problem(`<${name}> is no element of an ADB file`)
    if (parent !== (this.open_.at(-1) ?? '')) throw this.problem(`<${name}> stands in the wrong place`)
    this.open_.push(name)
    if (name === 'config') this.readConfig(attributes)
    if (name === 'info') this.version = attributes.source_doc_version
    if (name === 'node') this.readNode(attributes)
    if (name === 'field') this.fields.push({ attributes, line: this.line() })
  }

  close(name: string): void {
    this.open_.pop()
    if (name === 'node') this.fields = []
  }

  document(): AdbDocument {
    const { file, nodes, config, defines, version } = this
    if (nodes.size === 0) throw new MalformedData(file, 'holds no nodes: it is no ADB file')
    return { file, nodes, config, defines, version }
  }

  private readConfig(attributes: Readonly<Record<string, string>>): void {
    if (attributes.field_attr !== undefined || attributes.node_attr !== undefined) return
    Object.assign(this.config, attributes)
    const [name = '', value] = (attributes.define ?? '').split('=')
    if (value !== undefined) this.defines.set(name.trim(), value.trim())
  }

  private readNode(attributes: Readonly<Record<string, string>>): void {
    const { name } = attributes
    if (name === undefined || name === '') throw this.problem('a node has no name')
    if (this.nodes.has(name)) throw this.problem(`node ${name} is there twice`)
    this.fields = []
    this.nodes.set(name, { name, attributes, line: this.line(), fields: this.fields })
  }

  private problem(message: string): MalformedData {
    return new MalformedData(`${this.file}:${this.line()}`, message)
  }
}
