// Published check digits, each by its standard. Digits come as text without separators.

/** ISO/IEC 7812-1 annex B (Luhn). */
export function luhn(digits: string): boolean {
  let sum = 0
  for (let index = 0; index < digits.length; index++) {
    const digit = digits.charCodeAt(digits.length - 1 - index) - 48
    const doubled = index % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}

/** ISO 7064 mod 97-10 over digits and capitals (A = 10). */
export function isOneMod97(text: string): boolean {
  let rest = 0
  for (const character of text) {
    const value = Number.parseInt(character, 36)
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97
  }
  return rest === 1
}

/** ISO 7064 mod 11,10, as German tax numbers use it. */
export function mod11And10(digits: string): boolean {
  let product = 10
  for (const character of digits.slice(0, -1)) {
    const sum = (Number(character) + product) % 10
    product = ((sum === 0 ? 10 : sum) * 2) % 11
  }
  return (11 - product) % 10 === Number(digits.slice(-1))
}

/** ISO 7064 mod 11-2, with X for ten. */
export function mod11And2(text: string): boolean {
  let product = 0
  for (const character of text.slice(0, -1)) product = ((product + Number(character)) * 2) % 11
  const check = (12 - (product % 11)) % 11
  return text.slice(-1).toUpperCase() === (check === 10 ? 'X' : String(check))
}

const D5 = [
  '0123456789',
  '1234067895',
  '2340178956',
  '3401289567',
  '4012395678',
  '5987604321',
  '6598710432',
  '7659821043',
  '8765932104',
  '9876543210',
]
const PERMUTED = [
  '0123456789',
  '1576283094',
  '5803796142',
  '8916043527',
  '9453126870',
  '4286573901',
  '2793806415',
  '7046913258',
]

/** Verhoeff's dihedral check, as UIDAI uses it. */
export function verhoeff(digits: string): boolean {
  let check = 0
  for (let index = 0; index < digits.length; index++) {
    const digit = Number(digits.charAt(digits.length - 1 - index))
    const permuted = Number(PERMUTED[index % 8]?.charAt(digit))
    check = Number(D5[check]?.charAt(permuted))
  }
  return check === 0
}

/** The sum of digits times weights; digits beyond the weights do not count. */
export function weighted(digits: string, weights: readonly number[]): number {
  let sum = 0
  for (let index = 0; index < weights.length; index++)
    sum += (digits.charCodeAt(index) - 48) * (weights[index] ?? 0)
  return sum
}

/** Does a day of the calendar have these numbers? A year of two digits stands for any century. */
export function isDate(
  year: number | string,
  month: number | string,
  day: number | string,
): boolean {
  const [y, m, d] = [Number(year), Number(month), Number(day)]
  if (!(m >= 1 && m <= 12 && d >= 1)) return false
  // 2000 was a leap year, so two digits of year 00 pass where some century had that day.
  const full = y < 100 ? 2000 + y : y
  return d <= new Date(Date.UTC(full, m, 0)).getUTCDate()
}

/** Shannon entropy in bits a character. */
export function entropy(text: string): number {
  const counts = new Map<string, number>()
  let size = 0
  for (const character of text) {
    counts.set(character, (counts.get(character) ?? 0) + 1)
    size += 1
  }
  let bits = 0
  for (const count of counts.values()) {
    const share = count / size
    bits -= share * Math.log2(share)
  }
  return bits
}
