// International bank account numbers: ISO 13616 structure with the lengths of the SWIFT IBAN registry,
// check digits by ISO 7064 mod 97-10.

import type { Candidate } from './candidate.ts'
import { matchAt } from './characters.ts'
import { isOneMod97 } from './check-digits.ts'

const LENGTHS: ReadonlyMap<string, number> = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 ' +
    'DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 ' +
    'GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 ' +
    'LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 ' +
    'PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 ' +
    'SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
)

/** In the electronic form or in groups; all letters of one case, because a mixture is no way to write one. */
const SHAPE = /[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,32}|[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11,32}/y

export function findIban(text: string, at: number): Candidate | undefined {
  const length = LENGTHS.get(text.slice(at, at + 2).toUpperCase())
  if (length === undefined) return undefined
  const shape = matchAt(SHAPE, text, at)
  if (shape === null) return undefined
  // The candidate may run into the words that follow: take exactly the country's length.
  const size = placeAfter(shape[0], length)
  if (size === undefined || /[A-Za-z0-9]/.test(text.charAt(at + size))) return undefined
  const iban = shape[0].slice(0, size).replaceAll(/[ -]/g, '').toUpperCase()
  if (!isOneMod97(iban.slice(4) + iban.slice(0, 4)) || /^..00|^(..)?0+$/.test(iban))
    return undefined
  return { type: 'iban', category: 'financial', start: at, end: at + size, confidence: 0.95 }
}

/** Where the n-th letter or digit ends. */
function placeAfter(shape: string, count: number): number | undefined {
  let taken = 0
  for (let index = 0; index < shape.length; index++) {
    const character = shape.charAt(index)
    if (character !== ' ' && character !== '-' && ++taken === count) return index + 1
  }
  return undefined
}
