// Does metered WebAssembly stop where it would run for ever, and else do what it did before?

import t from 'tap'
import { meter } from '../../../src/policy/rego/fuel.ts'

const HEADER = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]
/** One function `() -> i32`, exported as `run`. */
const module = (...code: number[]): Uint8Array =>
  Uint8Array.from(
    [
      HEADER,
      [1, 5, 1, 0x60, 0, 1, 0x7f],
      [3, 2, 1, 0],
      [7, 7, 1, 3, 0x72, 0x75, 0x6e, 0, 0],
      [10, code.length + 3, 1, code.length + 1, ...code, 0x0b],
    ].flat(),
  )

function start(wasm: Uint8Array): { run: () => number; fuel: WebAssembly.Global } {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(meter(wasm)), {})
  return exports as unknown as { run: () => number; fuel: WebAssembly.Global }
}

t.test('an endless loop traps when its fuel is gone, and runs again with more', async (t) => {
  // (loop (br 0)) unreachable
  const { run, fuel } = start(module(0, 0x03, 0x40, 0x0c, 0, 0x0b, 0x00))
  for (const steps of [0, 1, 1000]) {
    fuel.value = steps
    t.throws(run, { message: 'unreachable' }, `${steps} steps`)
    t.equal(fuel.value, 0, 'all used')
  }
})

t.test('a loop of five turns costs its entry and five', async (t) => {
  // local i; (loop (br_if 0 (i32.lt_u (local.tee i (i32.add i 1)) 5))) (local.get i)
  const code = [
    1, 1, 0x7f, 0x03, 0x40, 0x20, 0, 0x41, 1, 0x6a, 0x22, 0, 0x41, 5, 0x49, 0x0d, 0, 0x0b, 0x20, 0,
  ]
  const { run, fuel } = start(module(...code))
  fuel.value = 100
  t.equal(run(), 5)
  t.equal(fuel.value, 94)
  fuel.value = 6
  t.equal(run(), 5, 'exactly enough')
  fuel.value = 5
  t.throws(run, { message: 'unreachable' }, 'one too few')
})

t.test('endless recursion traps', async (t) => {
  const { run, fuel } = start(module(0, 0x10, 0))
  fuel.value = 500
  t.throws(run, { message: 'unreachable' })
})

t.test('a constant whose bytes look like a loop stays a constant', async (t) => {
  // i32.const 0x0303 (LEB128 0x83 0x06)
  const { run, fuel } = start(module(0, 0x41, 0x83, 0x06))
  fuel.value = 1
  t.equal(run(), 0x303)
})

t.test('instructions that it does not know are refused, not passed unmetered', async (t) => {
  t.throws(() => meter(module(0, 0xfd, 0x0c)), /not known/)
  t.throws(() => meter(Uint8Array.from([...HEADER, 10, 0x80])), /ends early/)
})
