// What is known of a schema, and of a query while it is walked?

import type {
  Definition,
  DirectiveDefinition,
  Field,
  FieldDefinition,
  FragmentDefinition,
  FragmentSpread,
} from './ast.ts'
import type { Work } from './work.ts'

export interface Schema {
  readonly types: ReadonlyMap<string, Definition>
  readonly directives: ReadonlyMap<string, DirectiveDefinition>
  /** The types that an interface, a union or an object can be at run time. */
  readonly possible: ReadonlyMap<string, readonly Definition[]>
  /** By `query`, `mutation` and `subscription`. */
  readonly roots: ReadonlyMap<string, Definition>
  /** What the call has left. */
  readonly work: Work
}

/** What walking found out about the parts of a query. */
export interface Found {
  /** The type that a field is asked of, and its definition there. */
  readonly fields: Map<Field, { parent: Definition | undefined; definition: Typed | undefined }>
  readonly spreads: Map<FragmentSpread, FragmentDefinition | undefined>
}

export type Typed = Pick<FieldDefinition, 'Type' | 'Arguments'>
