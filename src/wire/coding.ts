// Content codings of a held body undone, within limits: two codings at most, no more bytes than are
// searched anyway, and no body that grows a hundredfold beyond a mebibyte.

import { type Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import {
  type BrotliOptions,
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  type ZlibOptions,
  type ZstdOptions,
  zstdDecompressSync,
} from 'node:zlib'

/** Why the codings could not be undone, in the words of what was seen of an exchange. */
export interface DecodeProblem {
  readonly problem: 'unknown_encoding' | 'bad_encoding' | 'too_large' | 'no_memory'
  /** What went wrong, for the log. */
  readonly detail: 'coding' | 'too_many' | 'ratio' | 'malformed' | 'size' | 'memory'
  /** Of what is too large the first `maxBytes`, to be searched all the same. */
  readonly bytes?: Buffer
}

export interface DecodeLimits {
  readonly maxBytes: number
  /** More of the body follows: an end in the middle is none. */
  readonly partial?: boolean
  /** Asked before bytes are kept; false: there is no room for them. */
  readonly take?: (bytes: number) => boolean
}

type Decoded = Buffer | DecodeProblem

const MAX_CODINGS = 2
const FREE_BYTES = 1024 * 1024
const MAX_RATIO = 100
/** Bodies this short are decoded at once: some hundred microseconds at the most. */
const AT_ONCE_MOST = 32 * 1024
const AT_ONCE_OUT = 256 * 1024
/** RFC 9659: windows of content codings are at most 8 MiB. */
const ZSTD_PARAMS = { [constants.ZSTD_d_windowLogMax]: 23 }

interface Coding {
  readonly open: (first: Buffer, cut: boolean) => Transform
  readonly atOnce: (body: Buffer, options: { maxOutputLength: number; info: boolean }) => unknown
}

const ZLIB_CUT: ZlibOptions = { finishFlush: constants.Z_SYNC_FLUSH }
const BROTLI_CUT: BrotliOptions = { finishFlush: constants.BROTLI_OPERATION_FLUSH }
const ZSTD_CUT: ZstdOptions = { finishFlush: constants.ZSTD_e_flush }

const GZIP: Coding = {
  open: (_, cut) => createGunzip(cut ? ZLIB_CUT : {}),
  atOnce: gunzipSync,
}
const CODINGS: ReadonlyMap<string, Coding> = new Map<string, Coding>([
  ['gzip', GZIP],
  ['x-gzip', GZIP],
  [
    'deflate',
    {
      open: (first, cut) => (isZlib(first) ? createInflate : createInflateRaw)(cut ? ZLIB_CUT : {}),
      atOnce: (body, options) => (isZlib(body) ? inflateSync : inflateRawSync)(body, options),
    },
  ],
  [
    'br',
    {
      open: (_, cut) => createBrotliDecompress(cut ? BROTLI_CUT : {}),
      atOnce: brotliDecompressSync,
    },
  ],
  [
    'zstd',
    {
      open: (_, cut) => createZstdDecompress({ params: ZSTD_PARAMS, ...(cut ? ZSTD_CUT : {}) }),
      atOnce: (body, options) => zstdDecompressSync(body, { params: ZSTD_PARAMS, ...options }),
    },
  ],
])

/** RFC 9110 means the zlib format, some send the bare one. */
function isZlib([first = 0, second = 0]: Buffer): boolean {
  return (first & 15) === 8 && (first * 256 + second) % 31 === 0
}

/** Undoes the codings of `Content-Encoding`; a value tells what is wrong, nothing throws. */
export function decode(
  body: Buffer,
  codings: string,
  limits: DecodeLimits,
): Decoded | Promise<Decoded> {
  const names = codingsOf(codings)
  if (names.length > MAX_CODINGS) return { problem: 'unknown_encoding', detail: 'too_many' }
  const found = names.map((name) => CODINGS.get(name)).filter((coding) => coding !== undefined)
  if (found.length < names.length) return { problem: 'unknown_encoding', detail: 'coding' }
  const [only] = found
  if (only === undefined) return body
  if (found.length === 1) {
    const decoded = decodeAtOnce(body, only, limits)
    if (decoded !== undefined) return limits.take?.(decoded.length) === false ? NO_MEMORY : decoded
  }
  return decodeAll(body, found, limits)
}

/** The codings that a field names, in the order they were applied. */
export function codingsOf(codings: string): readonly string[] {
  return codings
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'identity')
}

/** A stream that undoes a coding whose body begins so; undefined for one that nobody here knows. */
export function openDecoder(coding: string, first: Buffer): Transform | undefined {
  return CODINGS.get(coding)?.open(first, true)
}

/** Undefined where it takes longer, or where it cannot be done so. */
function decodeAtOnce(
  body: Buffer,
  { atOnce }: Coding,
  { maxBytes, partial }: DecodeLimits,
): Buffer | undefined {
  if (partial === true || body.length > AT_ONCE_MOST) return undefined
  const maxOutputLength = Math.min(maxBytes, AT_ONCE_OUT)
  try {
    const { buffer, engine } = atOnce(body, { maxOutputLength, info: true }) as {
      buffer: Buffer
      engine: { bytesWritten: number }
    }
    return engine.bytesWritten === body.length ? buffer : undefined
  } catch {
    return undefined
  }
}

async function decodeAll(
  body: Buffer,
  codings: readonly Coding[],
  limits: DecodeLimits,
): Promise<Decoded> {
  let bytes = body
  let partial = limits.partial === true
  let isCut = false
  // The last one named was applied last.
  for (const coding of codings.toReversed()) {
    const decoded = await decodeOne(bytes, coding, limits, partial)
    if (Buffer.isBuffer(decoded)) bytes = decoded
    else if (decoded.bytes === undefined) return decoded
    else {
      bytes = decoded.bytes
      isCut = true
      partial = true
    }
  }
  return isCut ? { problem: 'too_large', detail: 'size', bytes } : bytes
}

const NO_MEMORY: DecodeProblem = { problem: 'no_memory', detail: 'memory' }

class Stop extends Error {
  override readonly name: 'ratio' | 'size' | 'memory'

  constructor(name: 'ratio' | 'size' | 'memory') {
    super(name)
    this.name = name
  }
}

async function decodeOne(
  body: Buffer,
  coding: Coding,
  { maxBytes, take }: DecodeLimits,
  partial: boolean,
): Promise<Decoded> {
  const decoder = coding.open(body, partial)
  const parts: Buffer[] = []
  const most = Math.max(FREE_BYTES, body.length * MAX_RATIO)
  let size = 0
  const sink = new Writable({
    write(part: Buffer, _encoding, done) {
      if (take?.(part.length) === false) {
        done(new Stop('memory'))
        return
      }
      parts.push(part)
      size += part.length
      if (size > most) done(new Stop('ratio'))
      else done(size > maxBytes ? new Stop('size') : null)
    },
  })
  try {
    await pipeline([body], decoder, sink)
  } catch (error) {
    if (!(error instanceof Stop)) return { problem: 'bad_encoding', detail: 'malformed' }
    if (error.name === 'memory') return NO_MEMORY
    if (error.name === 'ratio') return { problem: 'bad_encoding', detail: 'ratio' }
    return {
      problem: 'too_large',
      detail: 'size',
      bytes: Buffer.concat(parts).subarray(0, maxBytes),
    }
  }
  // What stands behind the end of a stream, one reader leaves out and the next one reads.
  if (!partial && consumed(decoder) < body.length)
    return { problem: 'bad_encoding', detail: 'malformed' }
  return Buffer.concat(parts)
}

function consumed(decoder: Transform): number {
  return 'bytesWritten' in decoder && typeof decoder.bytesWritten === 'number'
    ? decoder.bytesWritten
    : 0
}
