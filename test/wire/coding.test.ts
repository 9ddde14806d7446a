// Content codings are undone within limits, and a value says what is wrong with those that cannot be.

import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'
import t from 'tap'
import { decode } from '../../src/wire/coding.ts'

const LIMITS = { maxBytes: 10 * 1024 * 1024 }
const ENCODERS = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  deflate: deflateSync,
  ' Deflate': deflateRawSync,
  br: (body: Buffer) =>
    brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: zstdCompressSync,
} as const
const short = Buffer.from('{"messages":[]} '.repeat(100))
const long = Buffer.from(
  Array.from({ length: 10_000 }, (_, n) => `${n * 7919} words of all kinds`).join('\n'),
)

for (const [coding, encode] of Object.entries(ENCODERS)) {
  t.test(coding, async (t) => {
    for (const body of [short, long])
      t.strictSame(await decode(encode(body), coding, LIMITS), body, `${body.length} bytes`)
    const coded = encode(long)
    const cut = coded.subarray(0, coded.length >> 1)
    t.match(await decode(cut, coding, LIMITS), { problem: 'bad_encoding', detail: 'malformed' })
    const part = await decode(cut, coding, { ...LIMITS, partial: true })
    t.ok(Buffer.isBuffer(part) && part.length > 1000, 'the start of what goes on is read')
    t.ok(Buffer.isBuffer(part) && long.subarray(0, part.length).equals(part))
    t.match(await decode(Buffer.concat([encode(short), Buffer.from('junk')]), coding, LIMITS), {
      problem: 'bad_encoding',
    })
    t.match(await decode(Buffer.from('no such thing'), coding, LIMITS), { problem: 'bad_encoding' })
    const large = await decode(coded, coding, { maxBytes: 1000 })
    t.match(large, { problem: 'too_large', bytes: long.subarray(0, 1000) })
    t.match(await decode(encode(Buffer.alloc(3_000_000)), coding, { maxBytes: 1e9 }), {
      problem: 'bad_encoding',
      detail: 'ratio',
    })
  })
}

t.test('codings in a row are undone in turn, two at most', async (t) => {
  t.strictSame(await decode(gzipSync(brotliCompressSync(short)), 'br, gzip', LIMITS), short)
  t.strictSame(decode(short, 'identity', LIMITS), short)
  t.match(decode(short, 'gzip, gzip, gzip', LIMITS), {
    problem: 'unknown_encoding',
    detail: 'too_many',
  })
  t.match(decode(short, 'compress', LIMITS), { problem: 'unknown_encoding', detail: 'coding' })
  t.match(await decode(gzipSync(brotliCompressSync(long)), 'br, gzip', { maxBytes: 500 }), {
    problem: 'too_large',
  })
  t.ok(Buffer.isBuffer(decode(gzipSync(short), 'gzip', LIMITS)), 'short ones at once')
})
