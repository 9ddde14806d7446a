// How long is `1h30m`? Go's time.ParseDuration, with OPA's days, weeks and years.

const UNITS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1000n],
  ['µs', 1000n],
  ['μs', 1000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
  ['d', 86_400_000_000_000n],
  ['w', 604_800_000_000_000n],
  ['y', 31_536_000_000_000_000n],
])
const SEGMENT = /(\d*)(?:(\.)(\d*))?([^\d.]+)/y
const MAX = 1n << 63n

/** Nanoseconds; undefined where the text is no duration or beyond 64 bits. */
export function parseDuration(text: string): bigint | undefined {
  const [, sign = '', rest = ''] = /^([-+]?)(.*)$/s.exec(text) ?? []
  if (rest === '0') return 0n
  if (rest === '') return undefined
  let total = 0n
  let at = 0
  while (at < rest.length) {
    SEGMENT.lastIndex = at
    const [whole = '', digits = '', , fraction = '', unit = ''] = SEGMENT.exec(rest) ?? []
    const scale = UNITS.get(unit)
    if (scale === undefined || (digits === '' && fraction === '') || digits.length > 25)
      return undefined
    const kept = fraction.slice(0, 18)
    total += BigInt(digits || '0') * scale
    if (kept !== '') total += (BigInt(kept) * scale) / 10n ** BigInt(kept.length)
    if (total > MAX) return undefined
    at += whole.length
  }
  if (sign === '-') return -total
  return total === MAX ? undefined : total
}
