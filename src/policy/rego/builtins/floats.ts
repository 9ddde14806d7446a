// How does Go write a float64? (strconv.FormatFloat for e, f, g and b; JavaScript rounds ties differently.)

interface Digits {
  readonly negative: boolean
  /** Decimal digits without leading zeros; '' is zero. */
  readonly digits: string
  /** Where the decimal point stands: 0.d1d2... times ten to this. */
  readonly point: number
}

/** `precision` undefined: as few digits as tell the number from its neighbours. */
export function formatFloat(value: number, verb: string, precision: number | undefined): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  if (verb === 'b') return binary(value)
  if (verb === 'x') return hexadecimal(value, precision)
  if (verb === 'X') return hexadecimal(value, precision).toUpperCase()
  const kind = verb.toLowerCase()
  const text = precision === undefined ? shortest(value, kind) : rounded(value, kind, precision)
  return verb === 'E' || verb === 'G' ? text.toUpperCase() : text
}

function shortest(value: number, kind: string): string {
  const [mantissa = '0', exponent = '0'] = Math.abs(value).toExponential().split('e')
  const all = mantissa.replace('.', '')
  const number: Digits = {
    negative: value < 0 || Object.is(value, -0),
    digits: value === 0 ? '' : all,
    point: value === 0 ? 0 : Number(exponent) + 1,
  }
  const count = number.digits.length
  if (kind === 'e') return exponential(number, Math.max(count - 1, 0))
  if (kind === 'f') return fixed(number, Math.max(count - number.point, 0))
  // Go decides for %e as for a precision of six where the digits are the shortest.
  const decided = count > 0 ? number.point - 1 : 0
  return decided < -4 || decided >= 6
    ? exponential(number, Math.max(count - 1, 0))
    : fixed(number, Math.max(count - number.point, 0))
}

function rounded(value: number, kind: string, precision: number): string {
  const number = exact(value)
  if (kind === 'e') return exponential(round(number, precision + 1), precision)
  if (kind === 'f') return fixed(round(number, number.point + precision), precision)
  const wanted = precision === 0 ? 1 : precision
  const near = round(number, wanted)
  const count = near.digits.length
  const threshold = wanted > count && count >= near.point ? count : wanted
  const decided = near.point - 1
  if (decided < -4 || decided >= threshold)
    return exponential(near, Math.max(Math.min(wanted, count) - 1, 0))
  return fixed(near, Math.max(count - near.point, 0))
}

function exponential({ negative, digits, point }: Digits, decimals: number): string {
  const first = digits[0] ?? '0'
  const rest = digits.slice(1, decimals + 1).padEnd(decimals, '0')
  const exponent = digits === '' ? 0 : point - 1
  const sign = exponent < 0 ? '-' : '+'
  return `${negative ? '-' : ''}${first}${decimals > 0 ? `.${rest}` : ''}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`
}

function fixed({ negative, digits, point }: Digits, decimals: number): string {
  const whole = point > 0 ? digits.slice(0, point).padEnd(point, '0') : '0'
  const after =
    point > 0 ? digits.slice(point) : `${'0'.repeat(Math.min(-point, decimals))}${digits}`
  const fraction = after.slice(0, decimals).padEnd(decimals, '0')
  return `${negative ? '-' : ''}${whole}${decimals > 0 ? `.${fraction}` : ''}`
}

/** All decimal digits of a float: a fraction of a power of two ends. */
function exact(value: number): Digits {
  const { negative, mantissa, exponent } = parts(value)
  if (mantissa === 0n) return { negative, digits: '', point: 0 }
  const scale = exponent < 0 ? -exponent : 0
  const whole = exponent < 0 ? mantissa * 5n ** BigInt(scale) : mantissa << BigInt(exponent)
  const text = whole.toString()
  return { negative, digits: trimZeros(text), point: text.length - scale }
}

/** To a number of digits, halves to even. */
function round(number: Digits, count: number): Digits {
  const { digits, point, negative } = number
  if (count >= digits.length) return number
  if (count < 0) return { negative, digits: '', point: 0 }
  const kept = digits.slice(0, count)
  const next = digits[count] ?? '0'
  const tie = next === '5' && digits.length === count + 1
  const odd = count > 0 && '13579'.includes(kept.at(-1) ?? '0')
  const up = tie ? odd : next >= '5'
  if (!up) return { negative, digits: trimZeros(kept), point: trimZeros(kept) === '' ? 0 : point }
  const raised = (BigInt(kept === '' ? '0' : kept) + 1n).toString()
  return { negative, digits: trimZeros(raised), point: point + (raised.length - count) }
}

function trimZeros(digits: string): string {
  return digits.replace(/0+$/, '')
}

function binary(value: number): string {
  const { negative, mantissa, exponent } = parts(value)
  const shown = exponent >= 0 ? `+${exponent}` : String(exponent)
  return `${negative ? '-' : ''}${mantissa}p${shown}`
}

/** -0x1.yyyyyyyyp±ddd, rounded half to even where digits are cut. */
function hexadecimal(value: number, precision: number | undefined): string {
  const { negative, mantissa, exponent } = parts(value)
  let bits = mantissa
  let power = mantissa === 0n ? 0 : exponent + 52
  while (bits !== 0n && bits >> 52n === 0n) {
    bits <<= 1n
    power -= 1
  }
  // The first digit is 1, thirteen follow.
  if (precision !== undefined && precision < 13) {
    const shift = BigInt((13 - precision) * 4)
    const [half, rest] = [1n << (shift - 1n), bits & ((1n << shift) - 1n)]
    bits >>= shift
    if (rest > half || (rest === half && bits % 2n === 1n)) bits += 1n
    bits <<= shift
    if (bits >> 53n !== 0n) {
      bits >>= 1n
      power += 1
    }
  }
  const digits = (bits & 0xf_ffff_ffff_ffffn).toString(16).padStart(13, '0')
  const shown =
    precision === undefined
      ? digits.replace(/0+$/, '')
      : digits.padEnd(precision, '0').slice(0, precision)
  const lead = bits === 0n ? '0' : '1'
  const sign = power < 0 ? '-' : '+'
  return `${negative ? '-' : ''}0x${lead}${shown === '' ? '' : `.${shown}`}p${sign}${String(Math.abs(power)).padStart(2, '0')}`
}

function parts(value: number): { negative: boolean; mantissa: bigint; exponent: number } {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  const bits = view.getBigUint64(0)
  const biased = Number((bits >> 52n) & 0x7ffn)
  const fraction = bits & 0xf_ffff_ffff_ffffn
  return {
    negative: bits >> 63n === 1n,
    mantissa: biased === 0 ? fraction : fraction | (1n << 52n),
    exponent: (biased === 0 ? 1 : biased) - 1075,
  }
}
