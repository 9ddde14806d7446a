// Where tools and compiled policies are kept between runs (XDG base directory specification).

import { lstatSync, mkdirSync } from 'node:fs'
import { devNull } from 'node:os'
import { isAbsolute, join } from 'node:path'

export interface CacheDirs {
  readonly tools: string
  readonly policies: string
  /** V8's code of our own files; absent without a home of one's own, since code from a shared folder is not run. */
  readonly code?: string
  /** The catalogue as it was read; absent as `code` is. */
  readonly catalogue?: string
}

export function cacheDirs(
  env: Readonly<Record<string, string | undefined>>,
  tmp: string,
): CacheDirs {
  const own = ownCache(env)
  const base = own === undefined ? privateIn(tmp) : join(own, 'cordon')
  return {
    tools: join(base, 'tools'),
    policies: join(base, 'policies'),
    ...(own === undefined ? {} : { code: join(base, 'code'), catalogue: join(base, 'catalogue') }),
  }
}

/** What is empty or relative is ignored, as the specification wants it. */
function ownCache(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const { XDG_CACHE_HOME: cache = '', HOME: home = '' } = env
  if (isAbsolute(cache)) return cache
  return isAbsolute(home) ? join(home, '.cache') : undefined
}

/**
 * Programs are run from there and compiled policies are believed. Where the folder is not ours alone it is one in which
 * nothing can be: then nothing is kept.
 */
function privateIn(tmp: string): string {
  const user = process.geteuid?.()
  // On Windows each user has a folder of their own for what is temporary.
  if (user === undefined) return join(tmp, 'cordon')
  const dir = join(tmp, `cordon-${user}`)
  return isOurs(dir, user) ? dir : join(devNull, 'cordon')
}

function isOurs(dir: string, user: number): boolean {
  try {
    mkdirSync(dir, { mode: 0o700 })
  } catch {
    // It is there already, or cannot be.
  }
  try {
    const stat = lstatSync(dir)
    return stat.isDirectory() && stat.uid === user && (stat.mode & 0o077) === 0
  } catch {
    return false
  }
}
