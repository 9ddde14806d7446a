// The binary form of certificates and keys: ASN.1 in DER (ITU-T X.690), as far as X.509 needs it.

import { fail } from './operands.ts'

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

const MAX_DEPTH = 50

/** One element, its content and the whole of it. */
export class Der {
  readonly tag: number
  readonly content: Buffer
  readonly raw: Buffer
  readonly #depth: number

  constructor(tag: number, content: Buffer, raw: Buffer, depth: number) {
    if (depth > MAX_DEPTH) fail('the structure nests too deep')
    this.tag = tag
    this.content = content
    this.raw = raw
    this.#depth = depth
  }

  static one(bytes: Buffer): Der {
    const [first, ...rest] = Der.all(bytes)
    return first !== undefined && rest.length === 0 ? first : fail('no single structure')
  }

  static all(bytes: Buffer, depth = 0): Der[] {
    const found: Der[] = []
    for (let at = 0; at < bytes.length;) {
      const tag = bytes[at] ?? 0
      let start = at + 2
      let length = bytes[at + 1] ?? fail('the structure ends early')
      if (length >= 0x80) {
        const digits = length & 0x7f
        if (digits === 0 || digits > 4) fail('a malformed length')
        length = bytes.subarray(start, start + digits).reduce((sum, byte) => sum * 256 + byte, 0)
        start += digits
      }
      const end = start + length
      if (end > bytes.length) fail('the structure ends early')
      found.push(new Der(tag, bytes.subarray(start, end), bytes.subarray(at, end), depth))
      at = end
    }
    return found
  }

  get children(): readonly Der[] {
    return Der.all(this.content, this.#depth + 1)
  }

  /** The element inside, of an octet string or an explicit tag. */
  get inner(): Der {
    return Der.one(this.content)
  }

  is(tag: number): boolean {
    return this.tag === tag
  }

  as(tag: number): this {
    return this.tag === tag ? this : fail('another kind of element is expected')
  }

  get integer(): bigint {
    if (this.content.length === 0) return fail('an empty number')
    const value = BigInt(`0x${this.content.toString('hex')}`)
    return BigInt.asIntN(this.content.length * 8, value)
  }

  get boolean(): boolean {
    return this.content[0] !== 0
  }

  /** The bytes of a bit string. */
  get bits(): Buffer {
    return this.content.subarray(1)
  }

  get oid(): readonly bigint[] {
    const parts: bigint[] = []
    let part = 0n
    for (const byte of this.content) {
      part = (part << 7n) | BigInt(byte & 0x7f)
      if (byte >= 0x80) continue
      if (parts.length === 0) {
        const first = part < 80n ? part / 40n : 2n
        parts.push(first, part - first * 40n)
      } else parts.push(part)
      part = 0n
    }
    return parts
  }

  get oidText(): string {
    return this.oid.join('.')
  }

  get text(): string {
    if (this.tag !== 0x1e) return this.content.toString(this.tag === 0x14 ? 'latin1' : 'utf8')
    const swapped = Buffer.from(this.content)
    return swapped.length % 2 === 0
      ? swapped.swap16().toString('utf16le')
      : fail('half a character')
  }

  /** RFC 3339, in UTC. */
  get time(): string {
    const pattern = this.tag === TAG.utcTime ? /^(\d\d)/ : /^(\d{4})/
    const digits = this.content.toString('latin1')
    const [, year = ''] = pattern.exec(digits) ?? fail('a malformed time')
    const full = year.length === 4 ? year : `${Number(year) < 50 ? '20' : '19'}${year}`
    const [, month, day, hour, minute, second] =
      /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(digits.slice(year.length)) ??
      fail('a malformed time')
    return `${full}-${month}-${day}T${hour}:${minute}:${second}Z`
  }
}

export function pemBlocks(text: string): { type: string; bytes: Buffer }[] {
  const block =
    /-----BEGIN ([A-Z0-9 ]+)-----\r?\n((?:[\w-]+:.*\r?\n)*)([A-Za-z0-9+/=\s]*?)-----END \1-----/g
  return [...text.matchAll(block)].map(([, type = '', , body = '']) => ({
    type,
    bytes: Buffer.from(body, 'base64'),
  }))
}

export function fromBase64(text: string): Buffer {
  const digits = text.replaceAll(/[\r\n]/g, '')
  return digits.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(digits)
    ? Buffer.from(digits, 'base64')
    : fail('no base64')
}
