// Where tools and compiled policies are kept between runs (XDG base directory specification).

import { join } from 'node:path'

export interface CacheDirs {
  readonly tools: string
  readonly policies: string
}

export function cacheDirs(
  env: Readonly<Record<string, string | undefined>>,
  tmp: string,
): CacheDirs {
  const home = env['HOME']
  const base =
    env['XDG_CACHE_HOME'] ?? (home === undefined || home === '' ? tmp : join(home, '.cache'))
  return { tools: join(base, 'cordon/tools'), policies: join(base, 'cordon/policies') }
}
