// How long may a number of a country be? Calling codes and lengths of ITU-T E.164, from libphonenumber's table.

import { getCountries, getCountryCallingCode, Metadata } from 'libphonenumber-js/min'

const LENGTHS = new Map<string, Set<number>>()
for (const country of getCountries()) {
  const code = getCountryCallingCode(country)
  const metadata = new Metadata()
  metadata.selectNumberingPlan(country)
  const lengths = LENGTHS.get(code) ?? new Set()
  for (const length of metadata.numberingPlan?.possibleLengths() ?? []) lengths.add(length)
  LENGTHS.set(code, lengths)
}

/** `digits` without the plus sign. */
export function isPossibleNumber(digits: string): boolean {
  for (let size = 1; size <= 3; size++) {
    const lengths = LENGTHS.get(digits.slice(0, size))
    if (lengths === undefined) continue
    // A trunk zero is often written along: +44 (0)20 ..., +41 (0)44 ...
    const rest = digits.slice(size)
    return lengths.has(rest.length) || (rest.startsWith('0') && lengths.has(rest.length - 1))
  }
  return false
}
