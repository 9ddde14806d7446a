// One compiled shard of Rego policies, over the ABI of OPA's WebAssembly (version 1.3).
//
// The input is parsed once a request; every policy then runs from the same heap position. Values are looked at
// where they lie in memory (wasm/src/value.h of OPA), and become JSON only where they are no simple ones. Memory
// and fuel are bounded. After a trap or an abort the instance is thrown away and made anew from the module.
// Instances are opened when they are first asked; `open-shards.ts` closes those that nobody asks.

import { CordonError } from '../../base/errors.ts'
import { meter } from './fuel.ts'
import { INPUT_START, InputImage } from './input-image.ts'
import { OPEN_SHARDS } from './open-shards.ts'
import { SortedIteration } from './order.ts'
import { NEXT_MEMBER_ID, redirect, REDIRECTED } from './redirect.ts'
import { ruleFunctions } from './rule-functions.ts'
import {
  decode,
  encode,
  isArray,
  type RegoObject,
  RegoSet,
  type RegoValue,
  toJson,
} from './value.ts'
import { importedPages, sectionsOf } from './wasm-binary.ts'

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
  readonly table: WebAssembly.Table
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
  opa_memoize_init(): void
  eval(context: number): number
  builtins(): number
  entrypoints(): number
}

/** Gives the address of the value of a rule, 0 where it is undefined. */
type RuleFunction = (input: number, data: number) => number

interface Instance {
  readonly exports: Exports
  /** By their places in the table, as far as they have been called. */
  readonly rules: (RuleFunction | undefined)[]
  readonly memory: MemoryView
  /** Where the heap stands while no input is there. */
  readonly base: number
  readonly data: number
  readonly order: SortedIteration
}

const PAGE_BYTES = 65_536
/** Address space; what is not used takes no memory. A shard with many constants asks for more. */
const INITIAL_PAGES = 7
/** 64 MiB an instance. */
const MAX_PAGES = 1024
/** Of a block of OPA's allocator. */
const BLOCK_HEAD = 12
/** What a long input made of the memory is given back, beyond what the data documents need. */
const KEPT_BYTES = 4 * 1024 * 1024
/** Data documents that take some milliseconds to read. */
const COSTLY_CHARS = 64 * 1024
/** Loop turns and calls for one entrypoint: some tens of milliseconds. */
const FUEL = 20_000_000
const FUEL_MAX = 0x7fff_ffff
/** Reading an input takes some steps a byte. */
const FUEL_PER_INPUT_BYTE = 64

/** A call of the host takes as long as some hundred steps. */
const FUEL_PER_CALL = 300
/** So does putting the members of a set or of an object in order, for each of them, whenever a walk over them begins. */
const FUEL_PER_MEMBER = 100
/** What ends an evaluation: under other ones it has to be tried anew whether a policy comes to its end. */
export const LIMITS: readonly number[] = [
  MAX_PAGES,
  FUEL,
  FUEL_MAX,
  FUEL_PER_INPUT_BYTE,
  FUEL_PER_CALL,
  FUEL_PER_MEMBER,
]

/** What a shard is made of: the wasm of `opa build` and its base documents as JSON text. */
export interface ShardCode {
  readonly wasm: Uint8Array
  readonly data: string
}

export type EntrypointResult =
  | { readonly value: unknown }
  | { readonly undefined: true }
  | ShardFailure

export interface ShardFailure {
  readonly error: string
  /** It took too many steps or too much memory: it would again. */
  readonly isLimit: boolean
}

/** A rule that failed, as its place among those that were asked. */
export interface RuleFailure extends ShardFailure {
  readonly at: number
}

/** The values of rules that were asked together. */
export interface Answer {
  /** Undefined where a rule is. */
  readonly values: readonly unknown[]
  /** What tells each value from another one, so that what is the same again is not read again. */
  readonly seen: readonly Seen[]
}

/** One of SIMPLE, or the text of the value with its final zero. */
type Seen = number | Uint8Array

/** Most rules say one of these: undefined, false, true, or an empty set. */
const SIMPLE: readonly unknown[] = [undefined, false, true, []]
const UNDEFINED = 0
const FALSE = 1
const TRUE = 2
const EMPTY = 3
/** `opa_value`: its type is the first byte; of a boolean the value the next one. */
const TYPE = { boolean: 2, set: 7, internedBoolean: 9 }
const AT = { boolean: 1, setLength: 12 }

interface CompiledCode {
  readonly module: WebAssembly.Module
  /** Of the functions that give rules, in the table of the module. */
  readonly places: ReadonlyMap<string, number>
  /** Of its memory at the beginning. */
  readonly pages: number
}

/** A shard whose code is compiled where it stops nobody, and checked. Throws POLICY_INVALID. */
export async function openShard(code: ShardCode, builtins: HostBuiltins): Promise<Shard> {
  let compiled: CompiledCode
  try {
    const { metered, ...rest } = prepared(code.wasm)
    compiled = { ...rest, module: await WebAssembly.compile(metered) }
  } catch (error) {
    throw unloadable(error)
  }
  const shard = new Shard(code, builtins, compiled)
  if (!shard.isCostly) shard.close()
  return shard
}

function prepared(
  wasm: Uint8Array,
): Omit<CompiledCode, 'module'> & { readonly metered: Uint8Array<ArrayBuffer> } {
  const { places, exports } = ruleFunctions(wasm)
  const pages = Math.max(INITIAL_PAGES, importedPages([...sectionsOf(wasm)]))
  return { places, pages, metered: meter(redirect(wasm, exports)) }
}

function unloadable(error: unknown): CordonError {
  if (error instanceof CordonError) return error
  return new CordonError(
    'POLICY_INVALID',
    `compiled policies and their data documents cannot be loaded: ${reasonOf(error)}`,
    { cause: error },
  )
}

export class Shard {
  readonly #compiled: CompiledCode
  readonly #data: string
  readonly builtins: HostBuiltins
  #ids: ReadonlyMap<string, number> = new Map()
  #names: ReadonlyMap<number, string> = new Map()
  #instance: Instance | undefined
  #input = 0
  #heap = 0
  #holders = 0
  usedAt = 0

  /** Without the compiled module of the same code, that is compiled here and now. Throws POLICY_INVALID. */
  constructor({ wasm, data }: ShardCode, builtins: HostBuiltins, compiled?: CompiledCode) {
    this.#data = data
    this.builtins = builtins
    try {
      if (compiled === undefined) {
        const { metered, ...rest } = prepared(wasm)
        this.#compiled = { ...rest, module: new WebAssembly.Module(metered) }
      } else this.#compiled = compiled
      this.#current()
    } catch (error) {
      throw unloadable(error)
    }
  }

  get isCostly(): boolean {
    return this.#data.length > COSTLY_CHARS
  }

  /** The number of a function that gives a rule, for `answer`; undefined: there is none of that name. */
  ruleOf(name: string): number | undefined {
    return this.#compiled.places.get(name)
  }

  /** Sets the input that the following evaluations see; an error says why it could not. */
  setInput(input: Uint8Array | string | InputImage): ShardFailure | undefined {
    try {
      const instance = this.#current()
      if (input instanceof InputImage) {
        const start = Math.max(INPUT_START, instance.base)
        const placed = input.at(start)
        if (placed === undefined) return this.#parse(instance, input.json())
        this.#place(instance, start, placed.bytes)
        this.#input = placed.root
        return undefined
      }
      return this.#parse(instance, input)
    } catch (error) {
      this.close()
      return failureOf(error)
    }
  }

  #parse({ exports, memory, base }: Instance, json: Uint8Array | string): ShardFailure | undefined {
    const size = typeof json === 'string' ? Buffer.byteLength(json) : json.length
    exports.fuel.value = Math.min(FUEL_MAX, FUEL + size * FUEL_PER_INPUT_BYTE)
    exports.opa_heap_ptr_set(base)
    const address = exports.opa_malloc(size)
    memory.write(address, json)
    this.#input = exports.opa_json_parse(address, size)
    this.#heap = exports.opa_heap_ptr_get()
    return this.#input === 0 ? { error: 'the input is no JSON', isLimit: false } : undefined
  }

  /** The image is one block for OPA's allocator, whose head is overwritten by that of the first block in it. */
  #place({ exports, memory }: Instance, start: number, bytes: Uint8Array): void {
    exports.fuel.value = FUEL
    exports.opa_heap_ptr_set(start)
    exports.opa_malloc(bytes.length - BLOCK_HEAD)
    memory.write(start, bytes)
    this.#heap = exports.opa_heap_ptr_get()
  }

  /** The value of an entrypoint for the input set last. After an error the input must be set again. */
  evaluate(entrypoint: string): EntrypointResult {
    const id = this.#ids.get(entrypoint)
    if (id === undefined) return { undefined: true }
    try {
      const { exports, memory, data } = this.#begin()
      const context = exports.opa_eval_ctx_new()
      exports.opa_eval_ctx_set_input(context, this.#input)
      exports.opa_eval_ctx_set_data(context, data)
      exports.opa_eval_ctx_set_entrypoint(context, id)
      exports.eval(context)
      const result = exports.opa_eval_ctx_get_result(context)
      const value = resultIn(memory.textAt(exports.opa_value_dump(result)))
      return value === undefined ? { undefined: true } : { value }
    } catch (error) {
      this.close()
      return failureOf(error)
    }
  }

  /**
   * The values of rules for the input set last; they share one budget. What is as `former` says is `former`
   * itself. After an error the input must be set again.
   */
  answer(rules: readonly number[], former?: Answer): Answer | RuleFailure {
    let at = 0
    try {
      const instance = this.#begin()
      const { exports, memory, data } = instance
      exports.opa_memoize_init()
      let fresh: { values: unknown[]; seen: Seen[] } | undefined
      for (; at < rules.length; at++) {
        const address = ruleAt(instance, rules[at] ?? 0)(this.#input, data)
        const known = former?.seen[at]
        const seen = memory.simpleAt(address) ?? textOf(instance, address, known)
        if (fresh === undefined) {
          if (seen === known) continue
          fresh = {
            values: former?.values.slice(0, at) ?? [],
            seen: former?.seen.slice(0, at) ?? [],
          }
        }
        fresh.seen.push(seen)
        fresh.values.push(seen === known ? former?.values[at] : valueOf(seen))
      }
      return fresh ?? former ?? NO_RULES
    } catch (error) {
      this.close()
      return { ...failureOf(error), at }
    }
  }

  /** After the last evaluation with an input: memory that a long one took is given back. */
  rest(): void {
    const instance = this.#instance
    if (instance === undefined) return
    if (instance.memory.size > Math.max(KEPT_BYTES, 4 * instance.base)) this.close()
  }

  /** Whoever holds a shard lets go of it once; with the last one its instance goes. */
  hold(): void {
    this.#holders += 1
  }

  letGo(): void {
    this.#holders -= 1
    if (this.#holders <= 0) this.close()
  }

  /** Frees the instance; asked again, the shard opens another one. */
  close(): void {
    this.#instance = undefined
    OPEN_SHARDS.delete(this)
  }

  /** Everything as it was when the input was set. */
  #begin(): Instance {
    const instance = this.#instance
    if (instance === undefined) throw new PolicyAbort('no input is set')
    instance.exports.fuel.value = FUEL
    instance.exports.opa_heap_ptr_set(this.#heap)
    instance.order.clear()
    return instance
  }

  #current(): Instance {
    this.usedAt = performance.now()
    if (this.#instance === undefined) {
      this.#instance = this.#open()
      OPEN_SHARDS.add(this)
    }
    return this.#instance
  }

  #open(): Instance {
    OPEN_SHARDS.makeRoom()
    const memory = new WebAssembly.Memory({ initial: this.#compiled.pages, maximum: MAX_PAGES })
    const view = new MemoryView(memory)
    const order = new SortedIteration(
      memory,
      (address) => view.textAt(exports.opa_value_dump(address)),
      (members) => spend(exports, FUEL_PER_MEMBER * members),
    )
    const call = (id: number, _context: number, ...args: number[]): number =>
      this.#call(exports, view, id, args)
    const call2 = (id: number, context: number, a: number, b: number): number =>
      id === NEXT_MEMBER_ID ? order.next(a, b) : call(id, context, a, b)
    const instance = new WebAssembly.Instance(this.#compiled.module, {
      env: {
        memory,
        opa_abort: (address: number) => {
          throw new PolicyAbort(view.textAt(address))
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
    // Names are those of the module: the first instance tells them for all that follow.
    if (this.#ids.size === 0) this.#readNames(exports, view)
    const data = writeText(view, exports, this.#data, 'opa_json_parse')
    return { exports, rules: [], memory: view, base: exports.opa_heap_ptr_get(), data, order }
  }

  #readNames(exports: Exports, memory: MemoryView): void {
    const names = new Map(REDIRECTED)
    for (const [name, id] of Object.entries(jsonAt(memory, exports, exports.builtins()))) {
      // A call that nothing answers would be undefined in silence.
      if (!this.builtins.has(name))
        throw new CordonError(
          'POLICY_INVALID',
          `a compiled policy calls ${name}, which this release does not offer`,
        )
      names.set(id, name)
    }
    this.#names = names
    this.#ids = new Map(Object.entries(jsonAt(memory, exports, exports.entrypoints())))
  }

  #call(exports: Exports, memory: MemoryView, id: number, args: readonly number[]): number {
    const name = this.#names.get(id)
    if (name === undefined) throw new PolicyAbort('a built-in without a name was called')
    const exactly = this.builtins.exact?.(name) === true
    const texts = args.map((address) => memory.textAt(exports.opa_value_dump(address)))
    // What the host does takes time too.
    const cost = texts.reduce((sum, text) => sum + text.length, FUEL_PER_CALL)
    spend(exports, cost)
    const values = texts.map((text) => decode(text, exactly))
    const result = this.builtins.call(name, values)
    return result === undefined ? 0 : writeText(memory, exports, encode(result), 'opa_value_parse')
  }
}

/** The bytes of a memory that grows: a view of the former ones has length 0 then. */
class MemoryView {
  readonly #memory: WebAssembly.Memory
  #bytes: Buffer

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory
    this.#bytes = Buffer.from(memory.buffer)
  }

  get size(): number {
    return this.#current().length
  }

  write(address: number, content: Uint8Array | string): void {
    const bytes = this.#current()
    if (typeof content === 'string') bytes.write(content, address)
    else bytes.set(content, address)
  }

  /** Which of SIMPLE lies at an address; undefined: none of them. */
  simpleAt(address: number): number | undefined {
    if (address === 0) return UNDEFINED
    const bytes = this.#current()
    switch (bytes[address]) {
      case TYPE.boolean:
      case TYPE.internedBoolean:
        return bytes[address + AT.boolean] === 0 ? FALSE : TRUE
      case TYPE.set:
        return bytes.readUInt32LE(address + AT.setLength) === 0 ? EMPTY : undefined
      default:
        return undefined
    }
  }

  /** Whether these bytes stand at an address; a text among them ends with its zero. */
  holds(address: number, text: Uint8Array): boolean {
    const bytes = this.#current()
    for (let index = 0; index < text.length; index++)
      if (bytes[address + index] !== text[index]) return false
    return true
  }

  textAt(address: number): string {
    const bytes = this.#current()
    return bytes.toString('utf8', address, endOf(bytes, address))
  }

  /** A copy of a text with its final zero. */
  bytesAt(address: number): Buffer {
    const bytes = this.#current()
    return Buffer.from(bytes.subarray(address, endOf(bytes, address) + 1))
  }

  #current(): Buffer {
    if (this.#bytes.length === 0) this.#bytes = Buffer.from(this.#memory.buffer)
    return this.#bytes
  }
}

function endOf(bytes: Buffer, address: number): number {
  return bytes.indexOf(0, address)
}

/** At nothing the next step traps. */
function spend({ fuel }: Exports, steps: number): void {
  fuel.value = Math.max(0, fuel.value - steps)
}

class PolicyAbort extends Error {
  override readonly name = 'PolicyAbort'
}

const NO_RULES: Answer = { values: [], seen: [] }

function ruleAt({ rules, exports }: Instance, place: number): RuleFunction {
  return (rules[place] ??= exports.table.get(place) as RuleFunction)
}

/** The text of the value at an address: `known` itself where that is what stands there. */
function textOf(
  { exports, memory }: Instance,
  address: number,
  known: Seen | undefined,
): Uint8Array {
  const text = exports.opa_value_dump(address)
  return known instanceof Uint8Array && memory.holds(text, known) ? known : memory.bytesAt(text)
}

/** Sets come out as sorted lists. */
function valueOf(seen: Seen): unknown {
  return typeof seen === 'number'
    ? SIMPLE[seen]
    : toJson(decode(Buffer.from(seen.buffer, seen.byteOffset, seen.length - 1).toString()))
}

/** The value in the text of a result set: empty, or one `{"result": value}`. */
function resultIn(text: string): unknown {
  if (text === 'set()') return undefined
  const results = decode(text)
  const items = results instanceof RegoSet ? results.items : isArray(results) ? results : []
  const [first] = items as readonly RegoObject[]
  const value = first?.get('result')
  return value === undefined ? undefined : toJson(value)
}

function jsonAt(memory: MemoryView, exports: Exports, value: number): Record<string, number> {
  return JSON.parse(memory.textAt(exports.opa_json_dump(value))) as Record<string, number>
}

function writeText(
  memory: MemoryView,
  exports: Exports,
  text: string,
  parse: 'opa_json_parse' | 'opa_value_parse',
): number {
  const size = Buffer.byteLength(text)
  if (Math.ceil(size / PAGE_BYTES) > MAX_PAGES)
    throw new PolicyAbort('a value is larger than the memory limit')
  const address = exports.opa_malloc(size)
  memory.write(address, text)
  return exports[parse](address, size)
}

const TOO_MUCH_TIME = 'time limit: the policy took too many steps'
const TOO_MUCH_MEMORY = 'memory limit: the policy needs more than 64 MiB'

function failureOf(error: unknown): ShardFailure {
  const reason = reasonOf(error)
  return { error: reason, isLimit: /^(?:time|memory) limit: /.test(reason) }
}

/** Says which limit was hit, in words that help the author of the policy. */
function reasonOf(error: unknown): string {
  if (error instanceof WebAssembly.RuntimeError) {
    if (error.message.includes('unreachable')) return TOO_MUCH_TIME
    if (error.message.includes('out of bounds')) return TOO_MUCH_MEMORY
    return `runtime error: ${error.message}`
  }
  if (error instanceof PolicyAbort && error.message.startsWith('opa_malloc')) return TOO_MUCH_MEMORY
  if (error instanceof RangeError)
    return 'memory limit: the policy nests too deep or needs more than 64 MiB'
  return error instanceof Error ? error.message.replace(/^\{[^}]*\}: /, '').slice(0, 500) : 'failed'
}
