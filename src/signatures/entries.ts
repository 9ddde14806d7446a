// From the text of one YAML file to the entries in it, each with its place.
//
// A file is a map of `vendor` and `services`, a list of entries, or one entry alone: whoever overrides
// two fields of one service need not build the whole shape.

import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml'
import type { Document, YAMLMap } from 'yaml'
import type { Place, Problem } from '../base/errors.ts'
import { didYouMean } from '../base/nearest.ts'
import { type Check, type ListCheck, SERVICE_KEYS } from './fields.ts'

const FILE_KEYS: readonly string[] = ['vendor', 'services']
const MAX_PROBLEMS = 200

export interface Entry {
  readonly id: string
  /** A null takes back what an earlier folder said. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly place: Place
}

/** What is right comes out; what is wrong is added to `problems`. */
export function readEntries(file: string, source: string, problems: Problem[]): Entry[] {
  return new Reader(file, source, problems).entries()
}

class Reader {
  readonly #file: string
  readonly #source: string
  readonly #problems: Problem[]
  readonly #lines = new LineCounter()

  constructor(file: string, source: string, problems: Problem[]) {
    this.#file = file
    this.#source = source
    this.#problems = problems
  }

  entries(): Entry[] {
    const documents = parseAllDocuments(this.#source, {
      lineCounter: this.#lines,
      prettyErrors: false,
    })
    if (!Array.isArray(documents)) return []
    return documents.flatMap((document) => this.#document(document))
  }

  #document(document: Document.Parsed): Entry[] {
    for (const error of document.errors) this.#problem(error.pos[0], error.message)
    const root = document.contents
    if (document.errors.length > 0 || root === null) return []
    if (isSeq(root)) return this.#list(document, root.items, undefined)
    if (isScalar(root) && root.value === null) return []
    if (!isMap(root)) {
      this.#problem(root, 'must be a map of vendor and services')
      return []
    }
    if (root.has('id')) return this.#list(document, [root], undefined)
    for (const { key } of root.items) {
      const name = keyName(key)
      if (!FILE_KEYS.includes(name))
        this.#problem(key, `unknown key "${name}"${didYouMean(name, FILE_KEYS)}`)
    }
    const vendor = root.get('vendor')
    if (vendor !== undefined && (typeof vendor !== 'string' || vendor === ''))
      this.#problem(root.get('vendor', true), 'vendor must be a text')
    const services = root.get('services', true)
    if (isSeq(services))
      return this.#list(document, services.items, typeof vendor === 'string' ? vendor : undefined)
    this.#problem(services ?? root, 'needs a list of services')
    return []
  }

  #list(document: Document.Parsed, items: readonly unknown[], vendor: string | undefined): Entry[] {
    const entries: Entry[] = []
    for (const item of items) {
      if (!isMap(item)) {
        this.#problem(item, 'must be a map')
        continue
      }
      const before = this.#problems.length
      const fields = this.#fields(document, item)
      const id = fields['id']
      if (typeof id !== 'string') this.#problem(item, 'an entry needs an id')
      else if (this.#problems.length === before) {
        entries.push({
          id,
          fields: vendor === undefined ? fields : { vendor, ...fields },
          place: this.#place(item),
        })
      }
    }
    return entries
  }

  #fields(document: Document.Parsed, item: YAMLMap): Record<string, unknown> {
    const fields: Record<string, unknown> = {}
    for (const { key, value } of item.items) {
      const name = keyName(key)
      const check = Object.hasOwn(SERVICE_KEYS, name) ? SERVICE_KEYS[name] : undefined
      if (check === undefined) {
        this.#problem(key, `unknown key "${name}"${didYouMean(name, Object.keys(SERVICE_KEYS))}`)
        continue
      }
      const plain = this.#plain(document, value)
      if (plain !== null || name === 'name') this.#check(document, name, check, value ?? key, plain)
      fields[name] = plain
    }
    return fields
  }

  #check(
    document: Document.Parsed,
    name: string,
    check: Check | ListCheck,
    node: unknown,
    plain: unknown,
  ): void {
    if (typeof check === 'function') {
      const wrong = check(plain)
      if (wrong !== undefined) this.#problem(node, `${name} ${wrong}`)
      return
    }
    if (!Array.isArray(plain)) {
      this.#problem(node, `${name} must be a list`)
      return
    }
    const list = isAlias(node) ? node.resolve(document) : node
    const nodes: readonly unknown[] = isSeq(list) ? list.items : []
    for (const [index, item] of (plain as unknown[]).entries()) {
      const wrong = check.item(item)
      if (wrong !== undefined) this.#problem(nodes[index] ?? node, `an item of ${name} ${wrong}`)
    }
  }

  /** An alias that multiplies itself is refused by the parser's own limit. */
  #plain(document: Document.Parsed, value: unknown): unknown {
    if (!isNode(value)) return value ?? null
    try {
      return value.toJS(document) as unknown
    } catch (error) {
      this.#problem(value, error instanceof Error ? error.message : 'cannot be read')
      return null
    }
  }

  #problem(at: unknown, message: string): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push({ ...this.#place(at), message })
  }

  #place(at: unknown): Place {
    const offset = typeof at === 'number' ? at : isNode(at) ? (at.range?.[0] ?? 0) : 0
    const { line, col } = this.#lines.linePos(offset)
    return { file: this.#file, line, column: col }
  }
}

function keyName(key: unknown): string {
  return isScalar(key) ? String(key.value) : ''
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'toJS' in value
}
