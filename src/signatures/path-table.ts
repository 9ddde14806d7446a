// Which service's path is this, on one host? The longest pattern wins, by bucket of the first segment,
// so that a host with thousands of paths costs no more than one with a few.

import type { AiService } from '../model/service.ts'
import type { PathPattern } from './path.ts'

export interface PathRule {
  readonly service: AiService
  readonly path: PathPattern
  /** Undefined: any method. */
  readonly method: string | undefined
}

export class PathTable {
  readonly #bySegment = new Map<string, PathRule[]>()
  /** Rules whose first segment is a pattern or nothing. */
  readonly #open: PathRule[] = []

  add(...rules: readonly PathRule[]): void {
    for (const rule of rules) {
      const { firstSegment } = rule.path
      let list = firstSegment === undefined ? this.#open : this.#bySegment.get(firstSegment)
      if (list === undefined) {
        list = []
        this.#bySegment.set(firstSegment ?? '', list)
      }
      // Stable: of equally long ones the first added stays in front.
      const at = list.findLastIndex(({ path }) => path.weight >= rule.path.weight) + 1
      list.splice(at, 0, rule)
    }
  }

  /** A method that is not known excludes nothing. */
  find(path: string, query?: string, method?: string): AiService | undefined {
    const end = path.indexOf('/', 1)
    const segment = path.slice(1, end === -1 ? undefined : end)
    const named = first(this.#bySegment.get(segment), path, query, method)
    if (this.#open.length === 0) return named?.service
    const open = first(this.#open, path, query, method)
    const longest =
      open !== undefined && (named === undefined || open.path.weight > named.path.weight)
        ? open
        : named
    return longest?.service
  }
}

function first(
  rules: readonly PathRule[] | undefined,
  path: string,
  query: string | undefined,
  method: string | undefined,
): PathRule | undefined {
  if (rules === undefined) return undefined
  for (const rule of rules) {
    const methodFits = rule.method === undefined || method === undefined || rule.method === method
    if (methodFits && rule.path.matches(path, query)) return rule
  }
  return undefined
}
