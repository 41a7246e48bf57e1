/**
 * The names that resemble one that was typed, best first.
 * @param limit how many at the most
 */
export function nearest(name: string, among: Iterable<string>, limit = 5): string[] {
  const wanted = name.toLowerCase()
  const scored: { name: string; score: number }[] = []
  for (const candidate of among) {
    const score = dissimilarity(wanted, candidate.toLowerCase())
    if (score <= Math.max(2, wanted.length / 3)) scored.push({ name: candidate, score })
  }
  return scored
    .sort((a, b) => a.score - b.score || a.name.length - b.name.length || (a.name < b.name ? -1 : 1))
    .slice(0, limit)
    .map((entry) => entry.name)
}

/** Edit distance, and less than 1 for a part of the name. */
function dissimilarity(a: string, b: string): number {
  if (a.length > 2 && b.includes(a)) return 0.5 + (b.length - a.length) / 1000
  if (Math.abs(a.length - b.length) > a.length / 2 + 2) return Number.POSITIVE_INFINITY
  let above = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(substituted, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1))
    }
    above = row
  }
  return above[b.length] ?? 0
}
