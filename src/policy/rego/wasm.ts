// One compiled shard of Rego policies, over the ABI of OPA's WebAssembly (version 1.3).
//
// The input is parsed once a request; every entrypoint then runs from the same heap position. Memory and
// fuel are bounded. After a trap or an abort the instance is thrown away and made anew from the module.

import { CordonError } from '../../base/errors.ts'
import { meter } from './fuel.ts'
import { SortedIteration } from './order.ts'
import { NEXT_MEMBER_ID, redirect, REDIRECTED } from './redirect.ts'
import {
  decode,
  encode,
  isArray,
  type RegoObject,
  RegoSet,
  type RegoValue,
  toJson,
} from './value.ts'

/** Built-in functions that the wasm leaves to its host; undefined: the call failed, its value is undefined. */
export interface HostBuiltins {
  has(name: string): boolean
  /** Whether the numbers of its operands must keep their digits. */
  exact?(name: string): boolean
  call(name: string, args: readonly RegoValue[]): RegoValue | undefined
}

interface Exports {
  readonly memory: WebAssembly.Memory
  readonly fuel: WebAssembly.Global
  opa_malloc(size: number): number
  opa_json_parse(address: number, size: number): number
  opa_value_parse(address: number, size: number): number
  opa_value_dump(value: number): number
  opa_json_dump(value: number): number
  opa_heap_ptr_get(): number
  opa_heap_ptr_set(address: number): void
  opa_eval_ctx_new(): number
  opa_eval_ctx_set_input(context: number, value: number): void
  opa_eval_ctx_set_data(context: number, value: number): void
  opa_eval_ctx_set_entrypoint(context: number, entrypoint: number): void
  opa_eval_ctx_get_result(context: number): number
  eval(context: number): number
  builtins(): number
  entrypoints(): number
}

interface Instance {
  readonly exports: Exports
  readonly memory: WebAssembly.Memory
  readonly base: number
  readonly data: number
  readonly entrypoints: ReadonlyMap<string, number>
  readonly order: SortedIteration
}

const PAGE_BYTES = 65_536
const INITIAL_PAGES = 4
/** 64 MiB an instance. */
const MAX_PAGES = 1024
/** Loop turns and calls for one entrypoint: some tens of milliseconds. */
const FUEL = 20_000_000
const FUEL_MAX = 0x7fff_ffff
/** Reading an input takes some steps a byte. */
const FUEL_PER_INPUT_BYTE = 64

/** A call of the host takes as long as some hundred steps. */
const FUEL_PER_CALL = 300

/** What a shard is made of: the wasm of `opa build` and its base documents as JSON text. */
export interface ShardCode {
  readonly wasm: Uint8Array
  readonly data: string
}

export type EntrypointResult =
  | { readonly value: unknown }
  | { readonly undefined: true }
  | { readonly error: string }

export class Shard {
  readonly #module: WebAssembly.Module
  readonly #data: string
  readonly #builtins: HostBuiltins
  #instance: Instance | undefined
  #input = 0
  #heap = 0

  constructor({ wasm, data }: ShardCode, builtins: HostBuiltins) {
    this.#module = new WebAssembly.Module(meter(redirect(wasm)))
    this.#data = data
    this.#builtins = builtins
    try {
      this.#instance = this.#open()
    } catch (error) {
      if (error instanceof CordonError) throw error
      throw new CordonError(
        'POLICY_INVALID',
        `compiled policies and their data documents cannot be loaded: ${reasonOf(error)}`,
        { cause: error },
      )
    }
  }

  /** Parses the input that the following `evaluate` calls see; an error says why it could not. */
  setInput(json: Uint8Array): string | undefined {
    try {
      const { exports, memory, base } = this.#current()
      exports.fuel.value = Math.min(FUEL_MAX, FUEL + json.length * FUEL_PER_INPUT_BYTE)
      exports.opa_heap_ptr_set(base)
      const address = exports.opa_malloc(json.length)
      new Uint8Array(memory.buffer).set(json, address)
      this.#input = exports.opa_json_parse(address, json.length)
      this.#heap = exports.opa_heap_ptr_get()
      return this.#input === 0 ? 'the input is no JSON' : undefined
    } catch (error) {
      this.#discard()
      return reasonOf(error)
    }
  }

  /** The value of a rule for the input set last. After an error the input must be set again. */
  evaluate(entrypoint: string): EntrypointResult {
    const instance = this.#current()
    const id = instance.entrypoints.get(entrypoint)
    if (id === undefined) return { undefined: true }
    const { exports, memory } = instance
    try {
      exports.fuel.value = FUEL
      exports.opa_heap_ptr_set(this.#heap)
      instance.order.clear()
      const context = exports.opa_eval_ctx_new()
      exports.opa_eval_ctx_set_input(context, this.#input)
      exports.opa_eval_ctx_set_data(context, instance.data)
      exports.opa_eval_ctx_set_entrypoint(context, id)
      exports.eval(context)
      const result = exports.opa_eval_ctx_get_result(context)
      return resultOf(readText(memory, exports.opa_value_dump(result)))
    } catch (error) {
      this.#discard()
      return { error: reasonOf(error) }
    }
  }

  #current(): Instance {
    this.#instance ??= this.#open()
    return this.#instance
  }

  #discard(): void {
    this.#instance = undefined
  }

  #open(): Instance {
    const memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: MAX_PAGES })
    const names = new Map(REDIRECTED)
    const order = new SortedIteration(memory, (address) =>
      readText(memory, exports.opa_value_dump(address)),
    )
    const call = (id: number, _context: number, ...args: number[]): number =>
      this.#call(exports, memory, names, id, args)
    const call2 = (id: number, context: number, a: number, b: number): number =>
      id === NEXT_MEMBER_ID ? order.next(a, b) : call(id, context, a, b)
    const instance = new WebAssembly.Instance(this.#module, {
      env: {
        memory,
        opa_abort: (address: number) => {
          throw new PolicyAbort(readText(memory, address))
        },
        opa_println: () => undefined,
        opa_builtin0: call,
        opa_builtin1: call,
        opa_builtin2: call2,
        opa_builtin3: call,
        opa_builtin4: call,
      },
    })
    const exports = { ...instance.exports, memory } as unknown as Exports
    exports.fuel.value = FUEL_MAX
    for (const [name, id] of Object.entries(jsonAt(memory, exports, exports.builtins()))) {
      // A call that nothing answers would be undefined in silence.
      if (!this.#builtins.has(name))
        throw new CordonError(
          'POLICY_INVALID',
          `a compiled policy calls ${name}, which this release does not offer`,
        )
      names.set(id, name)
    }
    const entrypoints = new Map(Object.entries(jsonAt(memory, exports, exports.entrypoints())))
    const data = writeText(memory, exports, this.#data, 'opa_json_parse')
    return { exports, memory, base: exports.opa_heap_ptr_get(), data, entrypoints, order }
  }

  #call(
    exports: Exports,
    memory: WebAssembly.Memory,
    names: ReadonlyMap<number, string>,
    id: number,
    args: readonly number[],
  ): number {
    const name = names.get(id)
    if (name === undefined) throw new PolicyAbort('a built-in without a name was called')
    const exactly = this.#builtins.exact?.(name) === true
    const texts = args.map((address) => readText(memory, exports.opa_value_dump(address)))
    // What the host does takes time too; at nothing the next step traps.
    const cost = texts.reduce((sum, text) => sum + text.length, FUEL_PER_CALL)
    exports.fuel.value = Math.max(0, exports.fuel.value - cost)
    const values = texts.map((text) => decode(text, exactly))
    const result = this.#builtins.call(name, values)
    return result === undefined ? 0 : writeText(memory, exports, encode(result), 'opa_value_parse')
  }
}

class PolicyAbort extends Error {
  override readonly name = 'PolicyAbort'
}

const HOLDS = '{{"result":true}}'
const FAILS = '{{"result":false}}'
const UNDEFINED: EntrypointResult = { undefined: true }

/** The text of the result set: empty, or one `{"result": value}`. Sets come out as sorted lists. */
function resultOf(text: string): EntrypointResult {
  if (text === 'set()') return UNDEFINED
  if (text === HOLDS) return { value: true }
  if (text === FAILS) return { value: false }
  const results = decode(text)
  const items = results instanceof RegoSet ? results.items : isArray(results) ? results : []
  const [first] = items as readonly RegoObject[]
  const value = first?.get('result')
  return value === undefined ? UNDEFINED : { value: toJson(value) }
}

function jsonAt(
  memory: WebAssembly.Memory,
  exports: Exports,
  value: number,
): Record<string, number> {
  return JSON.parse(readText(memory, exports.opa_json_dump(value))) as Record<string, number>
}

function readText(memory: WebAssembly.Memory, address: number): string {
  const bytes = Buffer.from(memory.buffer, address)
  return bytes.toString('utf8', 0, bytes.indexOf(0))
}

function writeText(
  memory: WebAssembly.Memory,
  exports: Exports,
  text: string,
  parse: 'opa_json_parse' | 'opa_value_parse',
): number {
  const bytes = Buffer.from(text)
  const needed = Math.ceil(bytes.length / PAGE_BYTES)
  if (needed > MAX_PAGES) throw new PolicyAbort('a value is larger than the memory limit')
  const address = exports.opa_malloc(bytes.length)
  new Uint8Array(memory.buffer).set(bytes, address)
  return exports[parse](address, bytes.length)
}

/** Says which limit was hit, in words that help the author of the policy. */
function reasonOf(error: unknown): string {
  if (error instanceof WebAssembly.RuntimeError) {
    if (error.message.includes('unreachable')) return 'time limit: the policy took too many steps'
    if (error.message.includes('out of bounds'))
      return 'memory limit: the policy needs more than 64 MiB'
    return `runtime error: ${error.message}`
  }
  if (error instanceof PolicyAbort && error.message.startsWith('opa_malloc'))
    return 'memory limit: the policy needs more than 64 MiB'
  if (error instanceof RangeError)
    return 'memory limit: the policy nests too deep or needs more than 64 MiB'
  return error instanceof Error ? error.message.replace(/^\{[^}]*\}: /, '').slice(0, 500) : 'failed'
}
