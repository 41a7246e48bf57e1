/** How other programs read what mstflint and mstfwmanager say of a device (facts: users, 2). */

/** The three expressions of ironic-python-agent. */
export function ironic(text: string): {
  stored: string | undefined
  running: string | undefined
  psid: string | undefined
} {
  return {
    stored: /FW Version:\s*\t*(\d+\.\d+\.\d+)/.exec(text)?.[1],
    running: /FW Version\(Running\):\s*\t*(\d+\.\d+\.\d+)/.exec(text)?.[1],
    psid: /PSID:\s*\t*(\w+)/.exec(text)?.[1],
  }
}

/** nic-configuration-operator: trimmed lines that begin with FW; the last one counts. */
export function nicConfigurationOperator(text: string): { burned: string; running: string } {
  let [burned, running] = ['', '']
  for (const line of text.split('\n').map((one) => one.trim())) {
    const parts = line.split(/\s+/)
    if (line.startsWith('FW (Running)')) running = parts[2] ?? ''
    else if (line.startsWith('FW')) burned = parts[1] ?? ''
  }
  return { burned, running: running === '' ? burned : running }
}

/** What a device says of itself under -j. */
interface Said {
  readonly psid: string
  readonly versions: { readonly running: string; readonly pending: string | null }
}

/** What both find in the text of a device is what JSON says. */
export function expectParsersAgree(text: string, { psid, versions }: Said): void {
  const { running, pending } = versions
  const stored = pending ?? running
  expect(ironic(text)).toEqual({ stored, running: pending === null ? undefined : running, psid })
  expect(nicConfigurationOperator(text)).toEqual({ burned: stored, running })
}
