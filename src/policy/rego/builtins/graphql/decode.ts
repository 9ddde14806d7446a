// Which document does an object stand for that a policy made or got from `graphql.parse_*`?
//
// As Go's decoder reads it: unknown names are passed over, absent ones are empty, a wrong type fails.
// A selection is always a field, since gqlparser never looks at the other two.

import { isArray, isNumber, RegoObject, RegoSet, type RegoValue } from '../../value.ts'
import { fail } from '../operands.ts'
import type {
  Argument,
  ArgumentDefinition,
  ChildValue,
  Comment,
  Definition,
  Directive,
  DirectiveDefinition,
  EnumValueDefinition,
  Field,
  FieldDefinition,
  FragmentDefinition,
  OperationDefinition,
  OperationTypeDefinition,
  QueryDocument,
  SchemaDefinition,
  SchemaDocument,
  TypeRef,
  Value,
  VariableDefinition,
} from './ast.ts'
import type { Work } from './work.ts'

export function decodeQuery(object: RegoObject, work: Work): QueryDocument {
  const node = new Node(object, work)
  return {
    Operations: node.list('Operations', operation),
    Fragments: node.list('Fragments', fragment),
  }
}

export function decodeSchema(object: RegoObject, work: Work): SchemaDocument {
  const node = new Node(object, work)
  return {
    Schema: node.list('Schema', schema),
    SchemaExtension: node.list('SchemaExtension', schema),
    Directives: node.list('Directives', directiveDefinition),
    Definitions: node.list('Definitions', definition),
    Extensions: node.list('Extensions', definition),
    Comment: node.comment('Comment'),
  }
}

/** One object of the document. */
class Node {
  readonly #fields: ReadonlyMap<RegoValue, RegoValue>
  readonly #work: Work

  constructor(value: RegoValue, work: Work) {
    if (!(value instanceof RegoObject)) fail('an object is expected')
    this.#fields = new Map(value.entries)
    this.#work = work
    work.token()
  }

  text(name: string): string {
    const value = this.#fields.get(name) ?? ''
    return typeof value === 'string' ? value : fail(`${name} is a string`)
  }

  flag(name: string): boolean {
    const value = this.#fields.get(name) ?? false
    return typeof value === 'boolean' ? value : fail(`${name} is a boolean`)
  }

  number(name: string): number {
    const value = this.#fields.get(name) ?? 0
    return isNumber(value) && Number.isSafeInteger(Number(value))
      ? Number(value)
      : fail(`${name} is an integer`)
  }

  texts(name: string): string[] {
    return this.#items(name).map((item) =>
      typeof item === 'string' ? item : fail(`${name} are strings`),
    )
  }

  list<T>(name: string, read: (node: Node) => T): T[] {
    return this.#items(name).map((item) => this.#node(item, read))
  }

  optional<T>(name: string, read: (node: Node) => T): T | null {
    const value = this.#fields.get(name) ?? null
    return value === null ? null : this.#node(value, read)
  }

  /** gqlparser has no answer without it. */
  required<T>(name: string, read: (node: Node) => T): T {
    return this.optional(name, read) ?? fail(`${name} is missing`)
  }

  comment(name: string): Comment {
    return this.optional(name, (node) => ({
      List: node.list('List', (line) => ({ Value: line.text('Value') })),
    }))
  }

  #items(name: string): readonly RegoValue[] {
    const value = this.#fields.get(name) ?? null
    if (value === null) return []
    if (value instanceof RegoSet) return value.items
    return isArray(value) ? value : fail(`${name} is an array`)
  }

  #node<T>(value: RegoValue, read: (node: Node) => T): T {
    return this.#work.within(() => read(new Node(value, this.#work)))
  }
}

function operation(node: Node): OperationDefinition {
  const kind = node.text('Operation')
  return {
    Operation: ['query', 'mutation', 'subscription', ''].includes(kind)
      ? kind
      : fail('no kind of operation'),
    Name: node.text('Name'),
    VariableDefinitions: node.list('VariableDefinitions', variable),
    Directives: node.list('Directives', directive),
    SelectionSet: node.list('SelectionSet', field),
    Comment: null,
  }
}

function fragment(node: Node): FragmentDefinition {
  return {
    Name: node.text('Name'),
    VariableDefinition: node.list('VariableDefinition', variable),
    TypeCondition: node.text('TypeCondition'),
    Directives: node.list('Directives', directive),
    SelectionSet: node.list('SelectionSet', field),
    Comment: null,
  }
}

function field(node: Node): Field {
  return {
    Alias: node.text('Alias'),
    Name: node.text('Name'),
    Arguments: node.list('Arguments', argument),
    Directives: node.list('Directives', directive),
    SelectionSet: node.list('SelectionSet', field),
    Comment: null,
  }
}

function variable(node: Node): VariableDefinition {
  return {
    Variable: node.text('Variable'),
    Type: node.required('Type', type),
    DefaultValue: node.optional('DefaultValue', valueOf),
    Directives: node.list('Directives', directive),
    Comment: node.comment('Comment'),
    Used: false,
  }
}

function directive(node: Node): Directive {
  return { Name: node.text('Name'), Arguments: node.list('Arguments', argument), Location: '' }
}

function argument(node: Node): Argument {
  return {
    Name: node.text('Name'),
    Value: node.required('Value', valueOf),
    Comment: node.comment('Comment'),
  }
}

function valueOf(node: Node): Value {
  const kind = node.number('Kind')
  return {
    Raw: node.text('Raw'),
    Children: node.list('Children', childOf),
    Kind: kind >= 0 && kind <= 9 ? kind : fail('no kind of value'),
    Comment: node.comment('Comment'),
    ExpectedTypeHasDefault: false,
  }
}

function childOf(node: Node): ChildValue {
  return argument(node)
}

function type(node: Node): TypeRef {
  const named = node.text('NamedType')
  const element = node.optional('Elem', type)
  if (named === '' && element === null) fail('a type is neither named nor a list')
  return { NamedType: named, Elem: element, NonNull: node.flag('NonNull') }
}

function head(
  node: Node,
): Pick<
  Definition,
  'Name' | 'Description' | 'BeforeDescriptionComment' | 'AfterDescriptionComment'
> {
  return {
    Name: node.text('Name'),
    Description: node.text('Description'),
    BeforeDescriptionComment: node.comment('BeforeDescriptionComment'),
    AfterDescriptionComment: node.comment('AfterDescriptionComment'),
  }
}

function schema(node: Node): SchemaDefinition {
  return {
    Description: node.text('Description'),
    BeforeDescriptionComment: node.comment('BeforeDescriptionComment'),
    AfterDescriptionComment: node.comment('AfterDescriptionComment'),
    Directives: node.list('Directives', directive),
    OperationTypes: node.list('OperationTypes', operationType),
    EndOfDefinitionComment: node.comment('EndOfDefinitionComment'),
  }
}

function operationType(node: Node): OperationTypeDefinition {
  return {
    Operation: node.text('Operation'),
    Type: node.text('Type'),
    Comment: node.comment('Comment'),
  }
}

function definition(node: Node): Definition {
  return {
    ...head(node),
    Kind: node.text('Kind'),
    Directives: node.list('Directives', directive),
    Interfaces: node.texts('Interfaces'),
    Fields: node.list('Fields', fieldDefinition),
    Types: node.texts('Types'),
    EnumValues: node.list('EnumValues', enumValue),
    BuiltIn: node.flag('BuiltIn'),
    EndOfDefinitionComment: node.comment('EndOfDefinitionComment'),
  }
}

function fieldDefinition(node: Node): FieldDefinition {
  return { ...argumentDefinition(node), Arguments: node.list('Arguments', argumentDefinition) }
}

function argumentDefinition(node: Node): ArgumentDefinition {
  return {
    ...head(node),
    DefaultValue: node.optional('DefaultValue', valueOf),
    Type: node.required('Type', type),
    Directives: node.list('Directives', directive),
  }
}

function enumValue(node: Node): EnumValueDefinition {
  return { ...head(node), Directives: node.list('Directives', directive) }
}

function directiveDefinition(node: Node): DirectiveDefinition {
  return {
    ...head(node),
    Arguments: node.list('Arguments', argumentDefinition),
    Locations: node.texts('Locations'),
    IsRepeatable: node.flag('IsRepeatable'),
  }
}
