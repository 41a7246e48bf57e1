import { MalformedData, NameError } from '../../src/prm/errors'

/** Whether hostile input was taken. Anything else that is thrown than what says that it is bad is a defect. */
export function orMalformed(work: () => unknown): boolean {
  try {
    work()
    return true
  } catch (error) {
    if (error instanceof MalformedData || error instanceof NameError) return false
    throw error
  }
}
