// What may fragments and the roots of operations select?

import { fail } from '../operands.ts'
import type { Field, FragmentDefinition, OperationDefinition, Selection } from './ast.ts'
import type { Found, Schema } from './model.ts'

/** Fields of the introspection that answer lists; more of them within each other are refused. */
const LISTS = new Set(['fields', 'interfaces', 'possibleTypes', 'inputFields'])
const MAX_LISTS = 3

export function checkFragmentCycles(
  { work }: Schema,
  fragments: readonly FragmentDefinition[],
  byName: ReadonlyMap<string, FragmentDefinition>,
): void {
  const done = new Set<string>()
  const path = new Set<string>()
  const visit = ({ Name, SelectionSet }: FragmentDefinition): void => {
    if (path.has(Name)) fail(`${Name} contains itself`)
    if (done.has(Name)) return
    done.add(Name)
    path.add(Name)
    for (const spread of spreadsIn(SelectionSet)) {
      work.step()
      const next = byName.get(spread)
      if (next !== undefined)
        work.within(() => {
          visit(next)
        })
    }
    path.delete(Name)
  }
  for (const fragment of fragments) visit(fragment)
}

function spreadsIn(selections: readonly Selection[]): string[] {
  return selections.flatMap((selection) =>
    'SelectionSet' in selection ? spreadsIn(selection.SelectionSet) : [selection.Name],
  )
}

/** A subscription has one field at its root, and not one about the schema. */
export function checkSubscription(
  { work }: Schema,
  operation: OperationDefinition,
  { spreads }: Found,
): void {
  const entered = new Set<string>()
  const names = new Set<string>()
  const visit = (selections: readonly Selection[]): void => {
    for (const selection of selections) {
      work.step()
      if ('Alias' in selection) names.add(selection.Name)
      else if ('SelectionSet' in selection) visit(selection.SelectionSet)
      else if (!entered.has(selection.Name)) {
        entered.add(selection.Name)
        work.within(() => {
          visit(spreads.get(selection)?.SelectionSet ?? [])
        })
      }
    }
  }
  visit(operation.SelectionSet)
  if (names.size > 1) fail('a subscription has one field')
  for (const name of names) if (name.startsWith('__')) fail('a subscription to the schema')
}

export function checkIntrospectionDepth(schema: Schema, field: Field, { spreads }: Found): void {
  const path = new Set<string>()
  const visit = (selection: Selection, lists: number): void => {
    schema.work.step()
    if ('Alias' in selection) {
      const depth = lists + (LISTS.has(selection.Name) ? 1 : 0)
      if (depth >= MAX_LISTS && depth > lists) fail('introspection goes too deep')
      visitAll(selection.SelectionSet, depth)
    } else if ('SelectionSet' in selection) visitAll(selection.SelectionSet, lists)
    else if (!path.has(selection.Name)) {
      path.add(selection.Name)
      visitAll(spreads.get(selection)?.SelectionSet ?? [], lists)
      path.delete(selection.Name)
    }
  }
  const visitAll = (selections: readonly Selection[], lists: number): void => {
    schema.work.within(() => {
      for (const selection of selections) visit(selection, lists)
    })
  }
  visit(field, 0)
}
