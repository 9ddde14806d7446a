// What does a text say once its disguises are taken off, and where did each character come from?
//
// NFKC (UAX 15), characters that print nothing removed, digits of other scripts read as digits, look-alike
// letters folded (UTS 39). A text without any of these is its own view and costs nothing.

import { ViewBuilder, type View } from './view.ts'

// Zero-width and directional marks, soft hyphen, variation selectors, tags (Cf and Mn that print nothing).
const INVISIBLE =
  // oxlint-disable-next-line no-misleading-character-class -- ranges of single code points, none combined
  /[\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E\u2060-\u206F\u3164\uFE00-\uFE0F\uFEFF\uFFA0\u{E0000}-\u{E0FFF}]/u
const DECIMAL = /\p{Nd}/u

/** Letters of other scripts that look like Latin ones, as far as detectors care. */
const LOOK_ALIKES: ReadonlyMap<string, string> = pairs(
  'аaвbсcԁdеeһhіiјjкkӏlмmоoрpԛqѕsтtѵvԝwхxуy' +
    'АAВBСCЕEНHІIЈJКKМMОOРPЅSТTХXУY' +
    'αaοoρpνvιiκkΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧX' +
    '‐-‑-‒-–-—-−-‘\'’\'“"”"․.。.∕/⁄/﹫@',
)

function pairs(text: string): ReadonlyMap<string, string> {
  const characters = Array.from(text)
  return new Map(
    characters.flatMap((from, index) =>
      index % 2 === 0 ? [[from, characters[index + 1] ?? ''] as const] : [],
    ),
  )
}

/** What a code unit is read as, and whether that differs from itself: filled as characters are met. */
const READ_AS: (string | undefined)[] = Array.from({ length: 0x1_0000 })
const DIFFERS = new Uint8Array(0x1_0000)
const IS_SAME = 1

export function readAs(character: string): string {
  if (character.length > 1) return fold(character)
  const code = character.charCodeAt(0)
  const known = READ_AS[code]
  if (known !== undefined) return known
  const same = fold(character)
  READ_AS[code] = same
  if (same === character) DIFFERS[code] = IS_SAME
  return same
}

function fold(character: string): string {
  if (INVISIBLE.test(character)) return ''
  const same =
    LOOK_ALIKES.get(character) ??
    (DECIMAL.test(character) ? digitOf(character) : character.normalize('NFKC'))
  return same.length === 1 ? (LOOK_ALIKES.get(same) ?? same) : same
}

/** Decimal digits of other scripts stand in runs of ten code points from zero to nine. */
function digitOf(character: string): string {
  const code = character.codePointAt(0) ?? 0
  // The mathematical digits are five such runs without a gap.
  if (code >= 0x1_d7ce && code <= 0x1_d7ff) return String((code - 0x1_d7ce) % 10)
  let zero = code
  while (code - zero < 9 && DECIMAL.test(String.fromCodePoint(zero - 1))) zero -= 1
  return String(code - zero)
}

/** The text as it stands, without disguises. */
export function plainView(text: string): View {
  const builder = new ViewBuilder(text)
  addPlain(builder, text, 0, text.length)
  return builder.view()
}

/** Adds a part of the original with its disguises taken off. */
export function addPlain(builder: ViewBuilder, text: string, from: number, to: number): void {
  let kept = from
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at)
    if (code < 128 || DIFFERS[code] === IS_SAME) continue
    const isPair = code >= 0xd800 && code <= 0xdbff && at + 1 < to
    const character = text.slice(at, isPair ? at + 2 : at + 1)
    const same = readAs(character)
    if (same !== character) {
      builder.keep(kept, at)
      kept = at + character.length
      builder.replace(at, kept, same)
    }
    at += character.length - 1
  }
  builder.keep(kept, to)
}
