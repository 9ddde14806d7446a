// Where tools and compiled policies are kept between runs (XDG base directory specification).

import { join } from 'node:path'

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
  const home = env['HOME']
  const own =
    env['XDG_CACHE_HOME'] ?? (home === undefined || home === '' ? undefined : join(home, '.cache'))
  const base = join(own ?? tmp, 'cordon')
  return {
    tools: join(base, 'tools'),
    policies: join(base, 'policies'),
    ...(own === undefined ? {} : { code: join(base, 'code'), catalogue: join(base, 'catalogue') }),
  }
}
