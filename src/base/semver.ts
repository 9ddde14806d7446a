// Versions such as 1.4.0 or 2.0.0-rc.1, ordered as semver.org 2.0.0 says.

interface Version {
  readonly numbers: readonly [number, number, number]
  /** What follows a hyphen; such a version comes before the one without. */
  readonly pre: readonly string[]
}

const MAX_LENGTH = 64
const NUMBER = String.raw`(0|[1-9]\d{0,8})`
const PRE = String.raw`(?:0|[1-9]\d{0,8}|\d*[A-Za-z-][\dA-Za-z-]*)`
const VERSION = new RegExp(
  String.raw`^${NUMBER}\.${NUMBER}\.${NUMBER}(?:-(${PRE}(?:\.${PRE})*))?(?:\+[\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*)?$`,
)

export function isVersion(text: string): boolean {
  return read(text) !== undefined
}

/** Negative, zero or positive, as for `toSorted`; what follows a plus sign does not count. What is no version comes first. */
export function compareVersions(a: string, b: string): number {
  const [one, other] = [read(a), read(b)]
  if (one === undefined || other === undefined)
    return Number(one !== undefined) - Number(other !== undefined)
  for (const [index, number] of one.numbers.entries()) {
    const difference = number - (other.numbers[index] ?? 0)
    if (difference !== 0) return difference
  }
  return comparePre(one.pre, other.pre)
}

/** The next version without new features: of 1.4.0 that is 1.4.1, of 2.0.0-rc.1 it is 2.0.0. */
export function nextPatch(text: string): string {
  const { numbers, pre } = read(text) ?? { numbers: [0, 0, 0] as const, pre: [] }
  const [major, minor, patch] = numbers
  return `${major}.${minor}.${pre.length === 0 ? patch + 1 : patch}`
}

function read(text: string): Version | undefined {
  if (text.length > MAX_LENGTH) return undefined
  const [whole, major, minor, patch, pre] = VERSION.exec(text) ?? []
  if (whole === undefined) return undefined
  return {
    numbers: [Number(major), Number(minor), Number(patch)],
    pre: pre === undefined ? [] : pre.split('.'),
  }
}

function comparePre(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) return b.length - a.length
  for (const [index, part] of a.entries()) {
    const other = b[index]
    if (other === undefined) return 1
    if (part === other) continue
    const [isNumber, isOther] = [/^\d+$/.test(part), /^\d+$/.test(other)]
    if (isNumber && isOther) return Number(part) - Number(other)
    if (isNumber !== isOther) return isNumber ? -1 : 1
    return part < other ? -1 : 1
  }
  return a.length - b.length
}
