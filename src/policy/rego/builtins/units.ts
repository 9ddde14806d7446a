// units.parse and units.parse_bytes: numbers with SI or binary suffixes.

import { fit, text, WrongArgument } from './arguments.ts'
import type { Builtin } from './registry.ts'

const BYTES: Readonly<Record<string, bigint>> = {
  '': 1n,
  kb: 10n ** 3n,
  k: 10n ** 3n,
  kib: 2n ** 10n,
  ki: 2n ** 10n,
  mb: 10n ** 6n,
  m: 10n ** 6n,
  mib: 2n ** 20n,
  mi: 2n ** 20n,
  gb: 10n ** 9n,
  g: 10n ** 9n,
  gib: 2n ** 30n,
  gi: 2n ** 30n,
  tb: 10n ** 12n,
  t: 10n ** 12n,
  tib: 2n ** 40n,
  ti: 2n ** 40n,
  pb: 10n ** 15n,
  p: 10n ** 15n,
  pib: 2n ** 50n,
  pi: 2n ** 50n,
  eb: 10n ** 18n,
  e: 10n ** 18n,
  eib: 2n ** 60n,
  ei: 2n ** 60n,
}
/** Case tells milli from mega, as in Kubernetes quantities. */
const UNITS_BY_SUFFIX: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  K: 1e3,
  ki: 2 ** 10,
  Ki: 2 ** 10,
  KI: 2 ** 10,
  kI: 2 ** 10,
  M: 1e6,
  mi: 2 ** 20,
  Mi: 2 ** 20,
  MI: 2 ** 20,
  mI: 2 ** 20,
  g: 1e9,
  G: 1e9,
  gi: 2 ** 30,
  Gi: 2 ** 30,
  GI: 2 ** 30,
  gI: 2 ** 30,
  t: 1e12,
  T: 1e12,
  ti: 2 ** 40,
  Ti: 2 ** 40,
  TI: 2 ** 40,
  tI: 2 ** 40,
  p: 1e15,
  P: 1e15,
  pi: 2 ** 50,
  Pi: 2 ** 50,
  PI: 2 ** 50,
  pI: 2 ** 50,
  e: 1e18,
  E: 1e18,
  ei: 2 ** 60,
  Ei: 2 ** 60,
  EI: 2 ** 60,
  eI: 2 ** 60,
}

export const UNITS: Readonly<Record<string, Builtin>> = {
  'units.parse_bytes': (value) => {
    const { amount, suffix } = split(text(value))
    const factor = BYTES[suffix.toLowerCase()]
    if (factor === undefined) throw new WrongArgument('unit')
    return fit(scale(amount, factor))
  },
  'units.parse': (value) => {
    const { amount, suffix } = split(text(value))
    const factor = UNITS_BY_SUFFIX[suffix]
    if (factor === undefined) throw new WrongArgument('unit')
    if (suffix === 'm') return Number(amount) / 1000
    if (!amount.includes('.')) return fit(BigInt(amount) * BigInt(factor))
    const product = Number(amount) * factor
    return Number(product.toPrecision(15))
  },
}

function split(value: string): { amount: string; suffix: string } {
  const plain = value.replaceAll('"', '')
  if (plain === '' || /\s/.test(plain)) throw new WrongArgument('amount')
  const [, amount, suffix = ''] = /^(\d+(?:\.\d*)?|\.\d+)([A-Za-z]*)$/.exec(plain) ?? []
  if (amount === undefined) throw new WrongArgument('amount')
  return { amount, suffix }
}

/** Truncated towards zero, exact for decimals. */
function scale(amount: string, factor: bigint): bigint {
  const [whole = '0', fraction = ''] = amount.split('.')
  return (
    (BigInt(`${whole === '' ? '0' : whole}${fraction}`) * factor) / 10n ** BigInt(fraction.length)
  )
}
