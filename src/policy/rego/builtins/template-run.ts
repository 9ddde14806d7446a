// What does a Go template print? OPA hands it the document with numbers as json.Number, which is a text.

import { isArray, RegoDecimal, RegoObject, type RegoValue, toJson } from '../value.ts'
import {
  boundedText,
  BuiltinLimit,
  type BuiltinTable,
  fail,
  MAX_TEXT,
  objectAt,
  type Operands,
  textAt,
} from './operands.ts'
import { TEMPLATE_FUNCTIONS } from './template-functions.ts'
import {
  type Argument,
  type Node,
  type Nodes,
  parseTemplate,
  type Pipe,
  type Template,
} from './template-parse.ts'
import { fieldOf, isTrue, NumberText, shown, type Value } from './template-values.ts'

const MAX_STEPS = 200_000
const MAX_CALLS = 1000

export const TEMPLATE_BUILTINS: BuiltinTable = {
  'strings.render_template': render,
}

function render(operands: Operands): RegoValue {
  const names = new Set([...Object.keys(TEMPLATE_FUNCTIONS), 'and', 'or'])
  const template = parseTemplate(textAt(operands, 0), names)
  const data = valueOf(objectAt(operands, 1))
  const out = new Run(template).print(data)
  return boundedText(out.replaceAll('<no value>', '<undefined>'))
}

function valueOf(value: RegoValue): Value {
  if (typeof value === 'number' || typeof value === 'bigint') return new NumberText(String(value))
  if (value instanceof RegoDecimal) return new NumberText(value.text)
  if (value instanceof RegoObject)
    return new Map(
      value.entries.map(([key, item]): [string, Value] => [
        typeof key === 'string' ? key : String(toJson(key)),
        valueOf(item),
      ]),
    )
  if (value !== null && typeof value === 'object')
    return isArray(value) ? value.map(valueOf) : fail('a set has no form in Go')
  return value
}

interface Variable {
  readonly name: string
  value: Value
}

type Outcome = 'break' | 'continue' | undefined

class Run {
  readonly #template: Template
  readonly #out: string[] = []
  #length = 0
  #steps = 0
  #calls = 0
  #variables: Variable[] = []

  constructor(template: Template) {
    this.#template = template
  }

  print(data: Value): string {
    this.#variables = [{ name: '$', value: data }]
    this.#list(this.#template.body, data)
    return this.#out.join('')
  }

  #list(nodes: Nodes, dot: Value): Outcome {
    for (const node of nodes) {
      if (++this.#steps > MAX_STEPS)
        throw new BuiltinLimit('time limit: a template took too many steps')
      const outcome = this.#node(node, dot)
      if (outcome !== undefined) return outcome
    }
    return undefined
  }

  #node(node: Node, dot: Value): Outcome {
    switch (node.kind) {
      case 'text':
        this.#write(node.text)
        return undefined
      case 'action': {
        const value = this.#pipe(node.pipe, dot)
        if (node.pipe.variables.length === 0) this.#write(shown(value))
        return undefined
      }
      case 'if':
      case 'with':
      case 'range': {
        const known = this.#variables.length
        const outcome = node.kind === 'range' ? this.#range(node, dot) : this.#branch(node, dot)
        this.#variables.length = known
        return outcome
      }
      case 'template':
        this.#call(node.name, node.pipe === undefined ? undefined : this.#pipe(node.pipe, dot))
        return undefined
      default:
        return node.kind
    }
  }

  #branch(node: Node & { kind: 'if' | 'with' | 'range' }, dot: Value): Outcome {
    const value = this.#pipe(node.pipe, dot)
    if (!isTrue(value)) return this.#list(node.otherwise, dot)
    return this.#list(node.body, node.kind === 'with' ? value : dot)
  }

  #range(node: Node & { kind: 'if' | 'with' | 'range' }, dot: Value): Outcome {
    const { variables, declares } = node.pipe
    const over = this.#pipe({ ...node.pipe, variables: [] }, dot)
    const entries = entriesOf(over)
    if (entries.length === 0) return this.#list(node.otherwise, dot)
    const known = this.#variables.length
    for (const [key, item] of entries) {
      const values = variables.length === 2 ? [key, item] : [typeof over === 'bigint' ? key : item]
      for (const [index, name] of variables.entries()) this.#set(name, values[index], declares)
      const outcome = this.#list(node.body, item)
      this.#variables.length = known
      if (outcome === 'break') break
    }
    return undefined
  }

  #call(name: string, dot: Value): void {
    const body = this.#template.defined.get(name) ?? fail('an undefined template')
    if (++this.#calls > MAX_CALLS) throw new BuiltinLimit('time limit: templates call too deep')
    const outer = this.#variables
    this.#variables = [{ name: '$', value: dot }]
    this.#list(body, dot)
    this.#variables = outer
    this.#calls -= 1
  }

  #pipe({ variables, declares, commands }: Pipe, dot: Value): Value {
    let value: { readonly value: Value } | undefined
    for (const command of commands) value = { value: this.#command(command, dot, value) }
    for (const name of variables) this.#set(name, value?.value, declares)
    return value?.value
  }

  #set(name: string, value: Value, declares: boolean): void {
    const known = this.#variables.findLast((variable) => variable.name === name)
    if (declares || known === undefined) this.#variables.push({ name, value })
    else known.value = value
  }

  #command(
    [first, ...rest]: readonly Argument[],
    dot: Value,
    last: { readonly value: Value } | undefined,
  ): Value {
    if (first?.kind !== 'function') {
      if (first === undefined || rest.length > 0 || last !== undefined) return fail('no function')
      if (first.kind === 'constant' && first.value === null) return fail('nil is not a command')
      return this.#argument(first, dot)
    }
    const given = [
      ...rest.map((each) => () => this.#argument(each, dot)),
      ...(last === undefined ? [] : [() => last.value]),
    ]
    if (first.name === 'and' || first.name === 'or') return shortCut(first.name, given)
    const called = TEMPLATE_FUNCTIONS[first.name] ?? fail('an undefined function')
    return called(given.map((each) => each()))
  }

  #argument(argument: Argument, dot: Value): Value {
    switch (argument.kind) {
      case 'constant':
        return argument.value
      case 'dot':
        return dot
      case 'variable':
        return this.#variables.findLast(({ name }) => name === argument.name)?.value
      case 'pipe':
        return this.#pipe(argument.pipe, dot)
      case 'fields':
        return argument.names.reduce<Value>(fieldOf, this.#argument(argument.of, dot))
      default:
        return this.#command([argument], dot, undefined)
    }
  }

  #write(text: string): void {
    this.#length += text.length
    if (this.#length > MAX_TEXT)
      throw new BuiltinLimit('memory limit: a template made too long a string')
    this.#out.push(text)
  }
}

function shortCut(name: 'and' | 'or', given: readonly (() => Value)[]): Value {
  let value: Value = given.length === 0 ? fail('an argument is missing') : undefined
  for (const each of given) {
    value = each()
    if (isTrue(value) === (name === 'or')) return value
  }
  return value
}

/** Go ranges over lists, maps by key, and whole numbers. */
function entriesOf(value: Value): readonly (readonly [Value, Value])[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value.map((item, index) => [BigInt(index), item])
  if (value instanceof Map)
    return [...value].toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  if (typeof value !== 'bigint') return fail('no list')
  if (value > BigInt(MAX_STEPS))
    throw new BuiltinLimit('time limit: a template took too many steps')
  return Array.from({ length: Math.max(0, Number(value)) }, (_, index) => [
    BigInt(index),
    BigInt(index),
  ])
}
