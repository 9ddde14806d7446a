// What is a GraphQL document made of? The names and the order-free shape are those that OPA answers.

/** Comments before a token, as they are written. */
export interface Comments {
  readonly List: readonly { readonly Value: string }[]
}

export type Comment = Comments | null

export interface TypeRef {
  NamedType: string
  Elem: TypeRef | null
  NonNull: boolean
}

/** The numbers of gqlparser, which OPA shows. */
export const VALUE = {
  variable: 0,
  int: 1,
  float: 2,
  string: 3,
  block: 4,
  boolean: 5,
  null: 6,
  enum: 7,
  list: 8,
  object: 9,
} as const

export interface Value {
  readonly Raw: string
  readonly Children: readonly ChildValue[]
  readonly Kind: number
  readonly Comment: Comment
  /** Always false: OPA shows the document before it is validated. */
  readonly ExpectedTypeHasDefault: false
}

export interface ChildValue {
  readonly Name: string
  readonly Value: Value
  readonly Comment: Comment
}

export interface Argument {
  readonly Name: string
  readonly Value: Value
  readonly Comment: Comment
}

export interface Directive {
  readonly Name: string
  readonly Arguments: readonly Argument[]
  readonly Location: ''
}

export interface Field {
  readonly Alias: string
  readonly Name: string
  readonly Arguments: readonly Argument[]
  readonly Directives: readonly Directive[]
  readonly SelectionSet: readonly Selection[]
  readonly Comment: Comment
}

export interface FragmentSpread {
  readonly Name: string
  readonly Directives: readonly Directive[]
  readonly Comment: Comment
}

export interface InlineFragment {
  readonly TypeCondition: string
  readonly Directives: readonly Directive[]
  readonly SelectionSet: readonly Selection[]
  readonly Comment: Comment
}

export type Selection = Field | FragmentSpread | InlineFragment

export interface VariableDefinition {
  readonly Variable: string
  readonly Type: TypeRef
  readonly DefaultValue: Value | null
  readonly Directives: readonly Directive[]
  readonly Comment: Comment
  /** Always false: OPA shows the document before it is validated. */
  readonly Used: false
}

export interface OperationDefinition {
  readonly Operation: string
  readonly Name: string
  readonly VariableDefinitions: readonly VariableDefinition[]
  readonly Directives: readonly Directive[]
  readonly SelectionSet: readonly Selection[]
  readonly Comment: Comment
}

export interface FragmentDefinition {
  readonly Name: string
  readonly VariableDefinition: readonly VariableDefinition[]
  readonly TypeCondition: string
  readonly Directives: readonly Directive[]
  readonly SelectionSet: readonly Selection[]
  readonly Comment: Comment
}

export interface QueryDocument {
  readonly Operations: readonly OperationDefinition[]
  readonly Fragments: readonly FragmentDefinition[]
}

interface Described {
  readonly Description: string
  readonly BeforeDescriptionComment: Comment
  readonly AfterDescriptionComment: Comment
}

export interface ArgumentDefinition extends Described {
  readonly Name: string
  readonly DefaultValue: Value | null
  readonly Type: TypeRef
  readonly Directives: readonly Directive[]
}

export interface FieldDefinition extends ArgumentDefinition {
  readonly Arguments: readonly ArgumentDefinition[]
}

export interface EnumValueDefinition extends Described {
  readonly Name: string
  readonly Directives: readonly Directive[]
}

export interface Definition extends Described {
  readonly Kind: string
  readonly Name: string
  readonly Directives: readonly Directive[]
  readonly Interfaces: readonly string[]
  readonly Fields: readonly FieldDefinition[]
  readonly Types: readonly string[]
  readonly EnumValues: readonly EnumValueDefinition[]
  readonly BuiltIn: boolean
  readonly EndOfDefinitionComment: Comment
}

export interface DirectiveDefinition extends Described {
  readonly Name: string
  readonly Arguments: readonly ArgumentDefinition[]
  readonly Locations: readonly string[]
  readonly IsRepeatable: boolean
}

export interface OperationTypeDefinition {
  readonly Operation: string
  readonly Type: string
  readonly Comment: Comment
}

export interface SchemaDefinition extends Described {
  readonly Directives: readonly Directive[]
  readonly OperationTypes: readonly OperationTypeDefinition[]
  readonly EndOfDefinitionComment: Comment
}

export interface SchemaDocument {
  readonly Schema: readonly SchemaDefinition[]
  readonly SchemaExtension: readonly SchemaDefinition[]
  readonly Directives: readonly DirectiveDefinition[]
  readonly Definitions: readonly Definition[]
  readonly Extensions: readonly Definition[]
  readonly Comment: Comment
}

/** The name at the core of a type. */
export function nameOf(type: TypeRef): string {
  let inner = type
  while (inner.NamedType === '' && inner.Elem !== null) inner = inner.Elem
  return inner.NamedType
}
