// What do units.parse and units.parse_bytes answer? Exact: no quantity goes through a float.

import { type RegoValue } from '../value.ts'
import { type BuiltinTable, fail, type Operands, textAt, toNumber } from './operands.ts'

interface Ratio {
  readonly top: bigint
  readonly bottom: bigint
}

/** Powers of 1000 and of 1024, by first letter. */
const LETTERS = ['k', 'm', 'g', 't', 'p', 'e']
const MAX_EXPONENT_DIGITS = 6
/** Digits of a result; Go would go on to a million. */
const MAX_EXPONENT = 5000

export const UNIT_BUILTINS: BuiltinTable = {
  'units.parse': parseUnits,
  'units.parse_bytes': parseBytes,
}

function parseUnits(operands: Operands): RegoValue {
  const { number, unit } = split(textAt(operands, 0).replaceAll('"', ''))
  const scale = scaleOf(unit)
  const top = number.top * scale.top
  const bottom = number.bottom * scale.bottom
  if (top % bottom === 0n) return toNumber(top / bottom)
  // Ten decimals, halves away from zero, as big.Rat.FloatString.
  const negative = top < 0n
  const scaled = (negative ? -top : top) * 10n ** 10n
  const rounded = (scaled * 2n + bottom) / (bottom * 2n)
  const digits = rounded.toString().padStart(11, '0')
  return Number(`${negative ? '-' : ''}${digits.slice(0, -10)}.${digits.slice(-10)}`)
}

function parseBytes(operands: Operands): RegoValue {
  const { number, unit } = split(textAt(operands, 0).toLowerCase().replaceAll('"', ''))
  const [, letter = '', rest = ''] = /^([a-z]?)(.*)$/s.exec(unit) ?? []
  const power = BigInt(LETTERS.indexOf(letter) + 1)
  if (unit !== '' && (power === 0n || !/^i?b?$/.test(rest))) return fail('an unknown unit')
  const scale = (rest.startsWith('i') ? 1024n : 1000n) ** power
  return toNumber((number.top * scale) / number.bottom)
}

/** Only the first letter tells `m` (milli) from `M` (mega). */
function scaleOf(unit: string): Ratio {
  const known = unit.slice(0, 1) + unit.slice(1).toLowerCase()
  if (known === '') return { top: 1n, bottom: 1n }
  // Go's own constant: the float nearest to a thousandth, as a ratio.
  if (known === 'm') return { top: 1_152_921_504_606_847n, bottom: 1n << 60n }
  const power = BigInt(LETTERS.indexOf(known.slice(0, 1).toLowerCase()) + 1)
  if (power === 0n || !/^i?$/.test(known.slice(1))) return fail('an unknown unit')
  return { top: (known.endsWith('i') ? 1024n : 1000n) ** power, bottom: 1n }
}

function split(text: string): { number: Ratio; unit: string } {
  if (text.includes(' ')) fail('spaces in a quantity')
  const end = endOfNumber(text)
  if (end === 0) fail('no amount')
  return { number: ratioOf(text.slice(0, end)), unit: text.slice(end) }
}

function endOfNumber(text: string): number {
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? ''
    if (!/[\d.eE+-]/.test(character)) return at
    if (!/[eE]/.test(character)) continue
    const next = text[at + 1] ?? ''
    if (!/[\d+-]/.test(next)) return at
    if (/[+-]/.test(next)) at += 1
    const [digits = ''] = /^\d*/.exec(text.slice(at + 1)) ?? []
    if (digits.length > MAX_EXPONENT_DIGITS) fail('the exponent is too large')
  }
  return text.length
}

function ratioOf(text: string): Ratio {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? []
  if ((whole === '' && fraction === '') || text.length > MAX_EXPONENT) return fail('no number')
  const power = Number(exponent) - fraction.length
  if (Math.abs(power) > MAX_EXPONENT) return fail('the exponent is too large')
  const digits = BigInt(`${whole}${fraction}`) * (sign === '-' ? -1n : 1n)
  const scale = 10n ** BigInt(Math.abs(power))
  return power >= 0 ? { top: digits * scale, bottom: 1n } : { top: digits, bottom: scale }
}
