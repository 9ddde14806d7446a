// DER (X.690), as much as certificates need: what is written here is put together by hand, because a leaf is
// minted while a client waits, and the general libraries take forty times as long.

const MAX_LENGTH = 0xff_ffff

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const

/** One value: tag, length, content. */
export function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  let length = 0
  for (const part of parts) length += part.length
  const digits = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x1_0000 ? 2 : 3
  if (length > MAX_LENGTH) throw new RangeError('too long for a certificate')
  const value = Buffer.allocUnsafe(2 + digits + length)
  value[0] = tag
  value[1] = digits === 0 ? length : 0x80 | digits
  if (digits > 0) value.writeUIntBE(length, 2, digits)
  let at = 2 + digits
  for (const part of parts) at += part.copy(value, at)
  return value
}

export function sequence(...parts: readonly Buffer[]): Buffer {
  return tlv(TAG.sequence, ...parts)
}

export function set(...parts: readonly Buffer[]): Buffer {
  return tlv(TAG.set, ...parts)
}

/** `[number]` around another value. */
export function explicit(number: number, ...parts: readonly Buffer[]): Buffer {
  return tlv(0xa0 | number, ...parts)
}

/** `[number]` in place of the tag of a plain value. */
export function implicit(number: number, content: Buffer): Buffer {
  return tlv(0x80 | number, content)
}

export function boolean(value: boolean): Buffer {
  return Buffer.from([TAG.boolean, 1, value ? 0xff : 0])
}

/** A number that is not negative, from its bytes. */
export function integer(value: number | Buffer): Buffer {
  const bytes = typeof value === 'number' ? bytesOf(value) : value
  let at = 0
  while (at < bytes.length - 1 && bytes[at] === 0) at++
  const digits = bytes.subarray(at)
  const sign = (digits[0] ?? 0) >= 0x80 ? [0] : []
  return tlv(TAG.integer, Buffer.from(sign), digits)
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return tlv(TAG.oid, Buffer.from([40 * first + second, ...rest.flatMap(base128)]))
}

export function utf8(text: string): Buffer {
  return tlv(TAG.utf8, Buffer.from(text, 'utf8'))
}

export function octetString(...parts: readonly Buffer[]): Buffer {
  return tlv(TAG.octetString, ...parts)
}

/** Bits that fill their bytes, or the last of which leave some unused. */
export function bitString(content: Buffer, unused = 0): Buffer {
  return tlv(TAG.bitString, Buffer.from([unused]), content)
}

/** A time of certificates, to the second (RFC 5280 section 4.1.2.5). */
export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return Number(digits.slice(0, 4)) < 2050
    ? tlv(TAG.utcTime, Buffer.from(digits.slice(2), 'latin1'))
    : tlv(TAG.generalizedTime, Buffer.from(digits, 'latin1'))
}

export function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

function bytesOf(value: number): Buffer {
  const digits = value.toString(16)
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')
}

function base128(value: number): readonly number[] {
  const digits = [value & 0x7f]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128))
    digits.unshift(0x80 | (rest & 0x7f))
  return digits
}
