// Envelopes of Connect and gRPC, and the strings of protobuf messages whose fields nobody has published.

import { isUtf8 } from 'node:buffer'
import { gunzipSync } from 'node:zlib'

export interface Envelope {
  readonly flags: number
  readonly payload: Buffer
  /** Place of the envelope in the body, its five bytes of head included. */
  readonly start: number
  readonly end: number
}

const MAX_ENVELOPES = 10_000
const MAX_UNPACKED = 10 * 1024 * 1024
const HEAD = 5
const COMPRESSED = 1

/** Flag byte, length in four bytes, payload; undefined where the body is cut or of another kind. */
export function readEnvelopes(body: Buffer): readonly Envelope[] | undefined {
  const envelopes: Envelope[] = []
  let unpacked = 0
  let at = 0
  while (at < body.length) {
    if (body.length - at < HEAD || envelopes.length >= MAX_ENVELOPES) return undefined
    const flags = body[at] ?? 0
    const end = at + HEAD + body.readUInt32BE(at + 1)
    if (end > body.length) return undefined
    const packed = body.subarray(at + HEAD, end)
    const payload = (flags & COMPRESSED) === 0 ? packed : unpack(packed, MAX_UNPACKED - unpacked)
    if (payload === undefined) return undefined
    unpacked += payload.length
    if (unpacked > MAX_UNPACKED) return undefined
    envelopes.push({ flags, payload, start: at, end })
    at = end
  }
  return envelopes
}

/** An envelope with another payload, never compressed. */
export function envelopeOf(flags: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(HEAD)
  head[0] = flags & ~COMPRESSED
  head.writeUInt32BE(payload.length, 1)
  return Buffer.concat([head, payload])
}

function unpack(packed: Buffer, most: number): Buffer | undefined {
  if (packed.length === 0) return packed
  const isGzip = packed[0] === 0x1f && packed[1] === 0x8b
  if (!isGzip || most <= 0) return undefined
  try {
    return gunzipSync(packed, {
      maxOutputLength: Math.min(most, Math.max(1 << 20, packed.length * 100)),
    })
  } catch {
    return undefined
  }
}

/** Runs of characters in bytes that are of no known form, as the tool `strings` finds them. */
export function textRuns(bytes: Buffer): string {
  // oxlint-disable-next-line no-control-regex -- tabs and line ends are text, other controls are not
  const runs = bytes.toString('latin1').match(/[\t\n\r\u0020-\u007E\u0080-\u00FF]{4,}/g) ?? []
  return runs.map((run) => Buffer.from(run, 'latin1').toString('utf8')).join('\n')
}

const MAX_DEPTH = 32
const MAX_STRINGS = 100_000
/** Shorter strings are field values like flags and names of languages. */
const LEAST = 2

/**
 * The strings of a message: each length-delimited field is a message where all of it reads as one, else a
 * text where it is UTF-8. Undefined where the bytes are no message.
 */
export function protobufStrings(message: Buffer): readonly string[] | undefined {
  const strings: string[] = []
  return readMessage(message, 0, message.length, 0, strings) ? strings : undefined
}

function readMessage(
  bytes: Buffer,
  start: number,
  end: number,
  depth: number,
  strings: string[],
): boolean {
  let at = start
  const before = strings.length
  const fail = (): false => {
    strings.length = before
    return false
  }
  while (at < end) {
    const [tag, afterTag] = varint(bytes, at, end)
    if (tag === undefined || tag < 8 || strings.length > MAX_STRINGS) return fail()
    at = afterTag
    switch (tag & 7) {
      case 0:
        at = varint(bytes, at, end)[1]
        break
      case 1:
        at += 8
        break
      case 5:
        at += 4
        break
      case 2: {
        const [size, from] = varint(bytes, at, end)
        if (size === undefined || from + size > end) return fail()
        addField(bytes, from, from + size, depth, strings)
        at = from + size
        break
      }
      default:
        return fail()
    }
    if (at < 0 || at > end) return fail()
  }
  return true
}

function addField(bytes: Buffer, from: number, to: number, depth: number, strings: string[]): void {
  if (to - from < LEAST) return
  const field = bytes.subarray(from, to)
  const isText = isUtf8(field) && !hasControls(field)
  // Words can read as messages too: only what is no clean text is looked into.
  const isMessage = !isText && depth < MAX_DEPTH && readMessage(bytes, from, to, depth + 1, strings)
  if (isText || (!isMessage && isUtf8(field))) strings.push(field.toString('utf8'))
}

/** Messages hold field numbers and lengths below 32; texts hold only tabs and line ends of these. */
function hasControls(field: Buffer): boolean {
  for (const byte of field) if (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13) return true
  return false
}

/** A number and the place behind it; the place is -1 where it does not end. */
function varint(bytes: Buffer, at: number, end: number): readonly [number | undefined, number] {
  let value = 0
  let scale = 1
  for (let index = at; index < end && index < at + 10; index++) {
    const byte = bytes[index] ?? 0
    value += (byte & 127) * scale
    if (byte < 128) return [value, index + 1]
    scale *= 128
  }
  return [undefined, -1]
}
