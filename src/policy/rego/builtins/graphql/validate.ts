// Is a query valid for a schema? By the rules of gqlparser, which OPA uses, in its order of walking.
//
// Only the verdict counts, so the first rule that is broken ends it.

import { fail } from '../operands.ts'
import {
  type Argument,
  type ArgumentDefinition,
  type Definition,
  type Directive,
  type Field,
  type FieldDefinition,
  type FragmentDefinition,
  type FragmentSpread,
  type InlineFragment,
  nameOf,
  type OperationDefinition,
  type QueryDocument,
  type Selection,
  type TypeRef,
  VALUE,
} from './ast.ts'
import { checkFragmentCycles, checkIntrospectionDepth, checkSubscription } from './fragments.ts'
import type { Found, Schema, Typed } from './model.ts'
import { Overlaps } from './overlaps.ts'
import { byName, isInput } from './schema-check.ts'
import { checkValue, type Expected } from './values.ts'

const TYPENAME: Typed = {
  Type: { NamedType: 'String', Elem: null, NonNull: false },
  Arguments: [],
}
const OPERATIONS: ReadonlyMap<string, string> = new Map([
  ['', 'query'],
  ['query', 'query'],
  ['mutation', 'mutation'],
  ['subscription', 'subscription'],
])

/** Fails for a query that is not valid. */
export function checkQuery(schema: Schema, document: QueryDocument): void {
  new Walker(schema, document).walk()
}

class Walker {
  readonly #schema: Schema
  readonly #document: QueryDocument
  readonly #fragments: ReadonlyMap<string, FragmentDefinition>
  readonly #found: Found = { fields: new Map(), spreads: new Map() }
  readonly #overlaps: Overlaps
  readonly #members = new Map<Definition, ReadonlyMap<string, FieldDefinition>>()
  readonly #usedFragments = new Set<string>()
  #operation: OperationDefinition | undefined
  #variables: Expected['variables']
  #usedVariables = new Set<string>()
  /** The fragments that this operation or fragment was already walked into. */
  #entered = new Set<string>()

  constructor(schema: Schema, document: QueryDocument) {
    this.#schema = schema
    this.#document = document
    this.#fragments = byName(schema, document.Fragments)
    this.#overlaps = new Overlaps(schema, this.#found)
  }

  walk(): void {
    const { Operations, Fragments } = this.#document
    // First, since OPA's own comparison of fields does not end for some.
    checkFragmentCycles(this.#schema, Fragments, this.#fragments)
    unique(Operations, 'operations')
    if (Operations.length > 1 && Operations.some(({ Name }) => Name === ''))
      fail('an anonymous operation stands alone')
    for (const operation of Operations) this.#walkOperation(operation)
    unique(Fragments, 'fragments')
    for (const fragment of Fragments) this.#walkFragment(fragment)
  }

  #walkOperation(operation: OperationDefinition): void {
    const kind = OPERATIONS.get(operation.Operation) ?? fail('no kind of operation')
    const root = this.#schema.roots.get(kind) ?? fail(`the schema has no ${kind}`)
    const definitions = operation.VariableDefinitions.map((item) => ({
      ...item,
      Name: item.Variable,
    }))
    unique(definitions, 'variables')
    this.#operation = operation
    this.#entered = new Set()
    this.#usedVariables = new Set()
    this.#variables = byName(this.#schema, definitions)
    for (const { Type, DefaultValue, Directives } of definitions) {
      const type = this.#type(Type) ?? fail(`no type ${nameOf(Type)}`)
      if (!isInput(type)) fail(`${type.Name} is no input`)
      if (DefaultValue !== null) this.#checkValue(DefaultValue, Type, false)
      this.#walkDirectives(Directives, 'VARIABLE_DEFINITION')
    }
    this.#walkDirectives(operation.Directives, kind.toUpperCase())
    this.#walkSelections(root, operation.SelectionSet)
    for (const { Name } of definitions)
      if (!this.#usedVariables.has(Name)) fail(`$${Name} is never used`)
    if (kind === 'subscription') checkSubscription(this.#schema, operation, this.#found)
    this.#overlaps.check(operation.SelectionSet)
    this.#operation = undefined
    this.#variables = undefined
  }

  #walkFragment(fragment: FragmentDefinition): void {
    this.#entered = new Set()
    const type = this.#schema.types.get(fragment.TypeCondition) ?? fail('no such type')
    if (!isComposite(type)) fail(`${type.Name} has no fields`)
    if (!this.#usedFragments.has(fragment.Name)) fail(`${fragment.Name} is never used`)
    this.#walkDirectives(fragment.Directives, 'FRAGMENT_DEFINITION')
    this.#walkSelections(type, fragment.SelectionSet)
    this.#overlaps.check(fragment.SelectionSet)
  }

  #walkSelections(parent: Definition | undefined, selections: readonly Selection[]): void {
    for (const selection of selections) {
      this.#schema.work.step()
      this.#schema.work.within(() => {
        if ('Alias' in selection) this.#walkField(parent, selection)
        else if ('SelectionSet' in selection) this.#walkInline(parent, selection)
        else this.#walkSpread(parent, selection)
      })
    }
  }

  #walkField(parent: Definition | undefined, field: Field): void {
    const definition =
      field.Name === '__typename' ? TYPENAME : parent && this.#member(parent, field.Name)
    this.#found.fields.set(field, { parent, definition })
    if (parent !== undefined && definition === undefined) fail(`no field ${field.Name}`)
    const type = definition && this.#type(definition.Type)
    this.#checkArguments(field.Arguments, definition?.Arguments)
    this.#walkDirectives(field.Directives, 'FIELD')
    this.#walkSelections(type, field.SelectionSet)
    if (type !== undefined && isLeaf(type) === field.SelectionSet.length > 0)
      fail(`${field.Name} has a selection or has none`)
    if (field.Name === '__schema' || field.Name === '__type')
      checkIntrospectionDepth(this.#schema, field, this.#found)
    if (this.#operation !== undefined) this.#overlaps.check(field.SelectionSet)
  }

  #walkInline(parent: Definition | undefined, inline: InlineFragment): void {
    const { TypeCondition, Directives, SelectionSet } = inline
    const type =
      TypeCondition === ''
        ? parent
        : (this.#schema.types.get(TypeCondition) ?? fail('no such type'))
    this.#walkDirectives(Directives, 'INLINE_FRAGMENT')
    this.#walkSelections(type, SelectionSet)
    if (TypeCondition !== '' && type !== undefined) {
      if (!isComposite(type)) fail(`${type.Name} has no fields`)
      this.#checkPossible(parent, type)
    }
    this.#overlaps.check(SelectionSet)
  }

  #walkSpread(parent: Definition | undefined, spread: FragmentSpread): void {
    const fragment = this.#fragments.get(spread.Name) ?? fail(`no fragment ${spread.Name}`)
    this.#found.spreads.set(spread, fragment)
    const type = this.#schema.types.get(fragment.TypeCondition)
    this.#walkDirectives(spread.Directives, 'FRAGMENT_SPREAD')
    if (!this.#entered.has(fragment.Name)) {
      this.#entered.add(fragment.Name)
      this.#walkDirectives(fragment.Directives, 'FRAGMENT_DEFINITION')
      this.#walkSelections(type, fragment.SelectionSet)
    }
    // A fragment is not used by other fragments alone.
    if (this.#operation !== undefined) this.#usedFragments.add(spread.Name)
    if (type !== undefined && isComposite(type)) this.#checkPossible(parent, type)
  }

  /** Whether an object of the one type can be of the other. */
  #checkPossible(parent: Definition | undefined, type: Definition): void {
    if (parent === undefined || !isComposite(parent)) return
    const { possible, work } = this.#schema
    const parents = parent.Kind === 'OBJECT' ? [parent] : (possible.get(parent.Name) ?? [])
    const names = new Set(
      parents.map(({ Name }) => {
        work.step()
        return Name
      }),
    )
    const shared = (possible.get(type.Name) ?? []).some(({ Name }) => {
      work.step()
      return names.has(Name)
    })
    if (!shared) fail(`${parent.Name} is never ${type.Name}`)
  }

  #walkDirectives(directives: readonly Directive[], location: string): void {
    const seen = new Set<string>()
    for (const { Name, Arguments } of directives) {
      const definition = this.#schema.directives.get(Name) ?? fail(`no directive @${Name}`)
      if (!this.#schema.work.setOf(definition.Locations).has(location))
        fail(`@${Name} on ${location}`)
      if (seen.has(Name) && !definition.IsRepeatable) fail(`@${Name} is there twice`)
      seen.add(Name)
      this.#checkArguments(Arguments, definition.Arguments)
    }
  }

  /** Of a field without a definition only the values are walked. */
  #checkArguments(
    args: readonly Argument[],
    definitions: readonly ArgumentDefinition[] | undefined,
  ): void {
    unique(args, 'arguments')
    const known = byName(this.#schema, definitions ?? [])
    for (const { Name, Value } of args) {
      const definition = known.get(Name)
      if (definition === undefined && definitions !== undefined) fail(`no argument ${Name}`)
      this.#checkValue(Value, definition?.Type, hasDefault(definition))
    }
    const given = new Set(args.map(({ Name }) => Name))
    for (const { Name, Type, DefaultValue } of known.values())
      if (Type.NonNull && DefaultValue === null && !given.has(Name)) fail(`${Name} is missing`)
  }

  #checkValue(value: Argument['Value'], type: TypeRef | undefined, defaulted: boolean): void {
    checkValue(value, type, defaulted, {
      schema: this.#schema,
      variables: this.#variables,
      used: this.#usedVariables,
      member: (parent, name) => this.#member(parent, name),
    })
  }

  #type(type: TypeRef): Definition | undefined {
    return this.#schema.types.get(nameOf(type))
  }

  #member(parent: Definition, name: string): FieldDefinition | undefined {
    const known = this.#members.get(parent) ?? byName(this.#schema, parent.Fields)
    this.#members.set(parent, known)
    return known.get(name)
  }
}

function hasDefault(definition: ArgumentDefinition | undefined): boolean {
  const value = definition?.DefaultValue ?? null
  return value !== null && value.Kind !== VALUE.null
}

function unique(items: readonly { readonly Name: string }[], what: string): void {
  if (new Set(items.map(({ Name }) => Name)).size !== items.length) fail(`${what} with one name`)
}

function isComposite({ Kind }: Definition): boolean {
  return Kind === 'OBJECT' || Kind === 'INTERFACE' || Kind === 'UNION'
}

function isLeaf({ Kind }: Definition): boolean {
  return Kind === 'SCALAR' || Kind === 'ENUM'
}
