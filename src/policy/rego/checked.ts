// Which modules must OPA look through again?
//
// What its compiler can find at a module hangs on that module and on those that it has to do with
// (`ModuleGraph.seen`): whose rules it can use, whose names may be in the way, whose annotations hold for it. What has
// passed once together is remembered by the hash of these texts, of OPA and of what may be called, so that a change
// is looked through with what it touches, and a change back costs nothing.

import { createHash } from 'node:crypto'
import { Pace } from '../../base/pace.ts'
import type { Desk } from './desk.ts'
import { sha256 } from './manifest.ts'
import type { Module, ModuleGraph } from './modules.ts'
import type { ShardCache } from './shard-cache.ts'
import { OPA_VERSION } from './toolchain.ts'

/** Of all modules together; where more have to do with each other, all of them are looked through as one. */
const MOST_SEEN = 500_000

/** Modules that pass, or do not, by themselves. */
interface Closed {
  readonly modules: readonly Module[]
  readonly key: string
}

/** Throws POLICY_INVALID with OPA's own places where it finds anything. */
export async function checkModules(
  modules: readonly Module[],
  graph: ModuleGraph,
  desk: Desk,
  cache: ShardCache,
  capabilities: string,
): Promise<void> {
  const passed = await cache.readChecked()
  const closed = await closedOf(modules, graph, sha256(capabilities))
  const fresh = closed.filter(({ key }) => !passed.has(key))
  if (fresh.length === 0) return
  const touched = new Set(fresh.flatMap((each) => each.modules))
  await desk.check([...touched].map(({ file }) => file))
  // Those that were used last stand last, and are kept longest.
  for (const { key } of closed) {
    passed.delete(key)
    passed.add(key)
  }
  await cache.writeChecked(passed)
}

async function closedOf(
  modules: readonly Module[],
  graph: ModuleGraph,
  capabilities: string,
): Promise<readonly Closed[]> {
  const pace = new Pace()
  const texts = new Map<Module, string>()
  for (const module of modules) {
    texts.set(module, sha256(module.file.text))
    await pace.point()
  }
  const keyOf = (members: readonly Module[]): string => {
    const key = createHash('sha256').update(`${OPA_VERSION} ${capabilities}`)
    for (const text of members.map((each) => texts.get(each) ?? '').toSorted()) key.update(text)
    return key.digest('base64url')
  }
  const closed = new Map<string, Closed>()
  let seen = 0
  for (const module of modules) {
    const members = graph.seen(module)
    seen += members.length
    if (seen > MOST_SEEN) return [{ modules, key: keyOf(modules) }]
    const key = keyOf(members)
    closed.set(key, { modules: members, key })
    await pace.point()
  }
  return [...closed.values()]
}
