/** Paints text on terminals. */
type Paint = (text: string) => string

export interface Colours {
  readonly error: Paint
  readonly hint: Paint
}

const plain: Paint = (text) => text

/** Colours where they are wanted; chalk is loaded only then. */
export async function colours(wanted: boolean): Promise<Colours> {
  if (!wanted) return { error: plain, hint: plain }
  const { Chalk } = await import('chalk')
  const chalk = new Chalk({ level: 1 })
  return { error: (text) => chalk.red(text), hint: (text) => chalk.dim(text) }
}
