// Can the fields that one answer has under one name be merged?
//
// The order of the comparisons, and what is compared only once, are those of gqlparser.

import { fail } from '../operands.ts'
import {
  type Argument,
  type Field,
  type FragmentSpread,
  type Selection,
  type TypeRef,
  VALUE,
  type Value,
} from './ast.ts'
import type { Found, Schema } from './model.ts'

interface Selected {
  readonly fields: ReadonlyMap<string, readonly Field[]>
  readonly spreads: readonly FragmentSpread[]
}

export class Overlaps {
  readonly #schema: Schema
  readonly #found: Found
  /** Pairs of fragments, and whether they were compared as mutually exclusive. */
  readonly #pairs = new Map<string, Map<string, boolean>>()
  readonly #selected = new Map<readonly Selection[], Selected>()
  #compared = new Set<string>()

  constructor(schema: Schema, found: Found) {
    this.#schema = schema
    this.#found = found
  }

  /** Fails when fields conflict. */
  check(selections: readonly Selection[]): void {
    const { fields, spreads } = this.#of(selections)
    for (const group of fields.values())
      for (const [index, a] of group.entries())
        for (let at = index + 1; at < group.length; at++) {
          const b = group[at]
          if (b !== undefined) this.#compare(false, a, b)
        }
    this.#compared = new Set()
    for (const [index, a] of spreads.entries()) {
      this.#fieldsWithFragment(false, fields, a)
      for (let at = index + 1; at < spreads.length; at++) {
        const b = spreads[at]
        if (b !== undefined) this.#fragments(false, a, b)
      }
    }
  }

  #fieldsWithFragment(
    exclusive: boolean,
    fields: Selected['fields'],
    spread: FragmentSpread,
  ): void {
    this.#schema.work.step()
    if (this.#compared.has(spread.Name)) return
    this.#compared.add(spread.Name)
    const fragment = this.#found.spreads.get(spread)
    if (fragment === undefined) return
    const other = this.#of(fragment.SelectionSet)
    if (other.fields === fields || (other.fields.size === 0 && fields.size === 0)) return
    this.#between(exclusive, fields, other.fields)
    for (const nested of other.spreads)
      if (nested.Name !== spread.Name)
        this.#schema.work.within(() => {
          this.#fieldsWithFragment(exclusive, fields, nested)
        })
  }

  #fragments(exclusive: boolean, a: FragmentSpread, b: FragmentSpread): void {
    this.#schema.work.step()
    if (a.Name === b.Name || this.#isCompared(exclusive, a.Name, b.Name)) return
    this.#setCompared(exclusive, a.Name, b.Name)
    this.#setCompared(exclusive, b.Name, a.Name)
    const first = this.#found.spreads.get(a)
    const second = this.#found.spreads.get(b)
    if (first === undefined || second === undefined) return
    const [ofA, ofB] = [this.#of(first.SelectionSet), this.#of(second.SelectionSet)]
    this.#between(exclusive, ofA.fields, ofB.fields)
    this.#schema.work.within(() => {
      for (const nested of ofB.spreads) this.#fragments(exclusive, a, nested)
      for (const nested of ofA.spreads) this.#fragments(exclusive, nested, b)
    })
  }

  #isCompared(exclusive: boolean, a: string, b: string): boolean {
    const known = this.#pairs.get(a)?.get(b)
    return known !== undefined && (exclusive || !known)
  }

  #setCompared(exclusive: boolean, a: string, b: string): void {
    const known = this.#pairs.get(a)
    if (known === undefined) this.#pairs.set(a, new Map([[b, exclusive]]))
    else known.set(b, exclusive)
  }

  #between(exclusive: boolean, a: Selected['fields'], b: Selected['fields']): void {
    for (const [name, group] of a) {
      this.#schema.work.step()
      for (const one of group)
        for (const other of b.get(name) ?? []) this.#compare(exclusive, one, other)
    }
  }

  #compare(parentsExclusive: boolean, a: Field, b: Field): void {
    this.#schema.work.step()
    const ofA = this.#found.fields.get(a)
    const ofB = this.#found.fields.get(b)
    if (ofA?.parent === undefined || ofB?.parent === undefined) return
    const exclusive =
      parentsExclusive ||
      (ofA.parent.Name !== ofB.parent.Name &&
        ofA.parent.Kind === 'OBJECT' &&
        ofB.parent.Kind === 'OBJECT' &&
        ofA.definition !== undefined &&
        ofB.definition !== undefined)
    if (!exclusive && (a.Name !== b.Name || !this.#sameArguments(a.Arguments, b.Arguments)))
      fail(`${a.Alias} stands for two fields`)
    if (
      ofA.definition &&
      ofB.definition &&
      this.#conflict(ofA.definition.Type, ofB.definition.Type)
    )
      fail(`${a.Alias} has two types`)
    this.#schema.work.within(() => {
      this.#selections(exclusive, this.#of(a.SelectionSet), this.#of(b.SelectionSet))
    })
  }

  #selections(exclusive: boolean, a: Selected, b: Selected): void {
    this.#between(exclusive, a.fields, b.fields)
    for (const spread of b.spreads) {
      this.#compared = new Set()
      this.#fieldsWithFragment(exclusive, a.fields, spread)
    }
    for (const spread of a.spreads) {
      this.#compared = new Set()
      this.#fieldsWithFragment(exclusive, b.fields, spread)
    }
    for (const one of a.spreads)
      for (const other of b.spreads) this.#fragments(exclusive, one, other)
  }

  #conflict(a: TypeRef, b: TypeRef): boolean {
    if (a.Elem !== null && b.Elem !== null) return this.#conflict(a.Elem, b.Elem)
    if (a.Elem !== null || b.Elem !== null || a.NonNull !== b.NonNull) return true
    return this.#isLeaf(a) && this.#isLeaf(b) && a.NamedType !== b.NamedType
  }

  #isLeaf({ NamedType }: TypeRef): boolean {
    return ['SCALAR', 'ENUM'].includes(this.#schema.types.get(NamedType)?.Kind ?? '')
  }

  #sameArguments(a: readonly Argument[], b: readonly Argument[]): boolean {
    if (a.length !== b.length) return false
    // No name is there twice: that was found before.
    const others = new Map(b.map(({ Name, Value: value }) => [Name, value]))
    return a.every(({ Name, Value: value }) => {
      const other = others.get(Name)
      return other !== undefined && this.#sameValue(value, other)
    })
  }

  #sameValue(a: Value, b: Value): boolean {
    this.#schema.work.step()
    if (a.Kind !== b.Kind || a.Raw !== b.Raw || a.Children.length !== b.Children.length)
      return false
    const others = b.Kind === VALUE.object ? sorted(b) : b.Children
    return (a.Kind === VALUE.object ? sorted(a) : a.Children).every((child, index) => {
      const other = others[index]
      return other?.Name === child.Name && this.#sameValue(child.Value, other.Value)
    })
  }

  /** The fields by the names they have in the answer, and the fragments, of one selection. */
  #of(selections: readonly Selection[]): Selected {
    const known = this.#selected.get(selections)
    if (known !== undefined) return known
    const fields = new Map<string, Field[]>()
    const spreads: FragmentSpread[] = []
    const visit = (items: readonly Selection[]): void => {
      for (const item of items) {
        this.#schema.work.step()
        if (!('SelectionSet' in item)) spreads.push(item)
        else if ('Alias' in item) {
          const name = item.Alias === '' ? item.Name : item.Alias
          const group = fields.get(name)
          if (group === undefined) fields.set(name, [item])
          else group.push(item)
        } else visit(item.SelectionSet)
      }
    }
    visit(selections)
    const selected = { fields, spreads }
    this.#selected.set(selections, selected)
    return selected
  }
}

function sorted({ Children }: Value): Value['Children'] {
  return Children.toSorted((a, b) => (a.Name < b.Name ? -1 : a.Name > b.Name ? 1 : 0))
}
