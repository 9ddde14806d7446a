// Frames against a list: whatever is appended, cut off or damaged, what is read is what is still whole.

import * as fc from 'fast-check'
import t from 'tap'
import { frameOf, nextFrame, readFrame } from '../../src/ledger/frame.ts'

const record = fc.uint8Array({ minLength: 1, maxLength: 60 })
const frame = fc.record({ record, personal: fc.uint8Array({ maxLength: 40 }) })
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('append' as const), frame }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), bytes: fc.nat(120) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('damage' as const),
      at: fc.nat(),
      bit: fc.nat(7),
    }),
  },
)

interface Kept {
  readonly text: string
  readonly start: number
  readonly bytes: Buffer
}

t.test('reading back gives every whole frame in order and nothing else', async (t) => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
      let bytes = Buffer.alloc(0)
      let kept: Kept[] = []
      for (const step of actions) {
        if (step.kind === 'append') {
          const encoded = {
            record: Buffer.from(step.frame.record),
            personal: Buffer.from(step.frame.personal),
          }
          const start = bytes.length
          const fresh = frameOf(encoded)
          bytes = Buffer.concat([bytes, fresh])
          kept.push({ text: textOf(encoded), start, bytes: fresh })
        } else if (step.kind === 'cut') {
          bytes = bytes.subarray(0, Math.max(0, bytes.length - step.bytes))
          kept = kept.filter((each) => each.start + each.bytes.length <= bytes.length)
        } else if (bytes.length > 0) {
          const at = step.at % bytes.length
          bytes = Buffer.from(bytes)
          bytes[at] = (bytes[at] ?? 0) ^ (1 << step.bit)
        }
      }
      t.strictSame(
        read(bytes),
        // Damage that was undone is none.
        kept
          .filter((each) =>
            bytes.subarray(each.start, each.start + each.bytes.length).equals(each.bytes),
          )
          .map(({ text }) => text),
      )
    }),
    { numRuns: 300 },
  )
})

function read(bytes: Buffer): string[] {
  const found: string[] = []
  let at = 0
  for (;;) {
    const result = readFrame(bytes, at)
    if (result.kind === 'frame') {
      found.push(textOf(result))
      at = result.next
      continue
    }
    const next = nextFrame(bytes, at + 1)
    if (next === undefined) return found
    at = next
  }
}

function textOf(frame: { readonly record: Buffer; readonly personal: Buffer }): string {
  return `${frame.record.toString('hex')}|${frame.personal.toString('hex')}`
}
