// Frames are read the same however they are cut, and what RFC 6455 forbids is refused.

import { deepStrictEqual as deepEqual } from 'node:assert'
import * as fc from 'fast-check'
import t from 'tap'
import { closeFrame, closeReason, frame, isCloseCode } from '../../src/websocket/write.ts'
import { frameOf, type FrameParts, readFrames } from '../support/websocket-frames.ts'

const NUL = Buffer.alloc(0)

const payload = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.string({ unit: 'binary', maxLength: 200 }).map((text) => Buffer.from(text)),
  fc.constantFrom(125, 126, 127, 300, 65535, 65536).map((size) => Buffer.alloc(size, 'é')),
)
const anyFrame = fc.record({
  opcode: fc.constantFrom(0, 1, 2, 8, 9, 10, 3),
  payload,
  fin: fc.boolean(),
})
const places = fc.array(fc.nat(1500), { maxLength: 12 })

t.test('every way of cutting gives the same events', async () => {
  fc.assert(
    fc.property(
      fc.array(anyFrame, { minLength: 1, maxLength: 6 }),
      places,
      fc.boolean(),
      (frames, at, masked) => {
        const bytes = Buffer.concat(frames.map((parts) => frameOf({ ...parts, masked })))
        deepEqual(settled(readFrames(cut(bytes, at), masked)), settled(readFrames([bytes], masked)))
      },
    ),
    { numRuns: 300 },
  )
})

t.test('byte by byte, a whole conversation', async (t) => {
  for (const masked of [true, false]) {
    const bytes = Buffer.concat(
      (
        [
          { opcode: 1, payload: 'grüß 🙂', fin: false },
          { opcode: 9, payload: 'ping' },
          { opcode: 0, payload: '', fin: false },
          { opcode: 0, payload: 'Gott' },
          { opcode: 2, payload: Buffer.alloc(300, 7) },
          { opcode: 10 },
          { opcode: 8, payload: closePayload(1000, 'bye') },
        ] satisfies FrameParts[]
      ).map((parts) => frameOf({ ...parts, masked })),
    )
    const single = Array.from(bytes, (byte) => Buffer.of(byte))
    const events = readFrames(single, masked)
    t.strictSame(events, readFrames([bytes], masked))
    t.strictSame(
      events.map((event) => event.split(' ').slice(0, 2).join(' ')),
      [
        'frame 1',
        `payload ${latin1('grüß')}`,
        'end 1',
        'control 9',
        'frame 0',
        'end 0',
        'frame 0',
        'payload Gott',
        'end 0',
        'frame 2',
        masked ? events[10]?.split(' ').slice(0, 2).join(' ') : `payload ${'\u0007'.repeat(300)}`,
        'end 2',
        'control 10',
        'control 8',
        events.at(-1)?.split(' ').slice(0, 2).join(' '),
      ],
    )
    t.equal(events.at(-1), `passed ${bytes.toString('latin1')}`, 'every byte was reported')
  }
})

t.test('what the protocol forbids is refused, and nothing of it is reported', async (t) => {
  const open: FrameParts = { opcode: 1, payload: 'a', fin: false }
  const cases: readonly (readonly [string, number, readonly FrameParts[]])[] = [
    ['RSV1 without an extension', 1002, [{ opcode: 1, reserved: 0x40 }]],
    ['RSV2', 1002, [{ opcode: 1, reserved: 0x20 }]],
    ['RSV3 on a ping', 1002, [{ opcode: 9, reserved: 0x10 }]],
    ['the wrong masking', 1002, [{ opcode: 1, payload: 'x', masked: false }]],
    ['opcode 3', 1002, [{ opcode: 3 }]],
    ['opcode 7', 1002, [{ opcode: 7 }]],
    ['opcode 11', 1002, [{ opcode: 11 }]],
    ['opcode 15', 1002, [{ opcode: 15 }]],
    ['a ping in fragments', 1002, [{ opcode: 9, fin: false }]],
    ['a close in fragments', 1002, [{ opcode: 8, fin: false }]],
    ['a ping of 126 bytes', 1002, [{ opcode: 9, payload: Buffer.alloc(126) }]],
    ['a ping whose length is spelt long', 1002, [{ opcode: 9, payload: 'x', lengthBytes: 2 }]],
    [
      '125 bytes in two length bytes',
      1002,
      [{ opcode: 2, payload: Buffer.alloc(125), lengthBytes: 2 }],
    ],
    [
      '126 bytes in eight length bytes',
      1002,
      [{ opcode: 2, payload: Buffer.alloc(126), lengthBytes: 8 }],
    ],
    [
      '65535 bytes in eight length bytes',
      1002,
      [{ opcode: 2, payload: Buffer.alloc(65535), lengthBytes: 8 }],
    ],
    ['a length with the highest bit', 1002, [{ opcode: 2, declared: 1n << 63n }]],
    ['a length beyond 2^53', 1009, [{ opcode: 2, declared: 1n << 53n }]],
    ['a continuation of nothing', 1002, [{ opcode: 0 }]],
    ['a continuation after the end', 1002, [{ ...open, fin: true }, { opcode: 0 }]],
    ['a text inside a text', 1002, [open, { opcode: 1 }]],
    ['a binary inside a text', 1002, [open, { opcode: 2 }]],
    ['a close code of one byte', 1002, [{ opcode: 8, payload: 'x' }]],
    [
      'a close reason in latin1',
      1007,
      [{ opcode: 8, payload: closePayload(1000, Buffer.of(0xe9)) }],
    ],
    ['a close reason cut off', 1007, [{ opcode: 8, payload: closePayload(1000, Buffer.of(0xc3)) }]],
    ['a stray continuation byte', 1007, [{ opcode: 1, payload: Buffer.of(0x80) }]],
    ['an overlong slash', 1007, [{ opcode: 1, payload: Buffer.of(0xc0, 0xaf) }]],
    ['a surrogate', 1007, [{ opcode: 1, payload: Buffer.of(0xed, 0xa0, 0x80) }]],
    [
      'beyond the last character',
      1007,
      [{ opcode: 1, payload: Buffer.of(0xf4, 0x90, 0x80, 0x80) }],
    ],
    ['a character that never ends', 1007, [{ opcode: 1, payload: Buffer.of(0xe2, 0x82) }]],
    [
      'a broken character over two frames',
      1007,
      [
        { opcode: 1, payload: Buffer.of(0xe2), fin: false },
        { opcode: 0, payload: Buffer.of(0x28, 0xa1) },
      ],
    ],
  ]
  for (const [what, code, frames] of cases) {
    for (const masked of [true, false]) {
      const bytes = frames.map((parts) =>
        frameOf({ ...parts, masked: parts.masked === undefined ? masked : !masked }),
      )
      const events = readFrames([...bytes, frameOf({ opcode: 9, masked })], masked)
      t.match(events.at(-2), `failed ${code}`, `${what}, ${masked ? 'to a server' : 'to a client'}`)
      t.notOk(
        events.some((event) => event.startsWith('control')),
        'and nothing after it',
      )
      t.strictSame(
        readFrames(
          Array.from(Buffer.concat(bytes), (byte) => Buffer.of(byte)),
          masked,
        ).at(-2),
        events.at(-2),
        'byte by byte too',
      )
    }
  }
})

t.test('a character may be cut by frames and by control frames', async (t) => {
  const [first, second] = [Buffer.from('€').subarray(0, 1), Buffer.from('€').subarray(1)]
  const events = readFrames(
    [
      frameOf({ opcode: 1, payload: first, fin: false }),
      frameOf({ opcode: 9 }),
      frameOf({ opcode: 0, payload: second }),
      frameOf({ opcode: 1, payload: 'next' }),
    ],
    false,
  )
  t.notOk(events.some((event) => event.startsWith('failed')))
})

t.test('the close codes that a peer may send', async (t) => {
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1013, 1014, 3000, 3999, 4999])
    t.ok(isCloseCode(code), `${code}`)
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
    t.notOk(isCloseCode(code), `${code}`)
})

t.test('frames that are written read back as they were meant', async () => {
  fc.assert(
    fc.property(payload, fc.boolean(), (content, masked) => {
      const events = readFrames([frame(2, content, masked)], masked)
      deepEqual(events[0], 'frame 2 true')
      if (!masked && content.length > 0)
        deepEqual(events[1], `payload ${content.toString('latin1')}`)
      deepEqual(frame(2, content, false), frameOf({ opcode: 2, payload: content }))
    }),
    { numRuns: 100 },
  )
})

t.test('a close reason fits its frame and ends with the decision id', async (t) => {
  const id = '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee'
  for (const reason of [
    '',
    'no',
    'ü'.repeat(37),
    'ü'.repeat(400),
    '🙂'.repeat(31),
    'x'.repeat(77),
  ]) {
    const text = closeReason(reason, id)
    t.ok(Buffer.byteLength(text) <= 123, `${Buffer.byteLength(text)} bytes`)
    t.ok(text.endsWith(id))
    t.notMatch(text, '\ufffd')
    t.strictSame(readFrames([closeFrame(1008, text, false)], false)[0]?.slice(0, 9), 'control 8')
  }
  t.match(closeReason('short', id), /^short; decision /)
  const events = readFrames([closeFrame(1011, 'ä'.repeat(100), true)], true)
  t.match(events[0], /^control 8 /, 'any reason is shortened')
})

function closePayload(code: number, reason: Buffer | string = NUL): Buffer {
  return Buffer.concat([Buffer.of(code >> 8, code & 0xff), Buffer.from(reason)])
}

/** Of text that turns out to be none, a cut decides how much is reported before that is seen. */
function settled(events: readonly string[]): readonly string[] {
  if (events.at(-2)?.startsWith('failed 1007') !== true) return events
  return events.slice(0, -1).filter((event, index) => {
    return index < events.length - 3 || !event.startsWith('payload')
  })
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.filter((place) => place < bytes.length))].toSorted((a, b) => a - b)
  return [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length))
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}
