// Files that the configuration names and that are read later: they are looked at before anything starts.

import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { CordonError, type Problem } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import { privateKeyOf, publicKeyOf } from '../policy/bundle/signature.ts'
import { Htpasswd } from '../proxy/htpasswd.ts'
import { certificateFileProblems } from './certificate-files.ts'

const MAX_HTPASSWD_BYTES = 64 * 1024 * 1024

/** Throws CONFIG_INVALID with every file that cannot serve. */
export function checkNamedFiles(config: Config): void {
  const problems = namedFileProblems(config)
  if (problems.length > 0)
    throw new CordonError('CONFIG_INVALID', 'a file that the configuration names cannot be used', {
      problems,
    })
}

export function namedFileProblems({ proxy, policy, ledger }: Config): readonly Problem[] {
  return [
    ...(proxy.htpasswd === '' ? [] : htpasswdProblems(proxy.htpasswd)),
    ...(proxy.access_log === '' || proxy.access_log === 'stdout'
      ? []
      : writableProblems('proxy.access_log', proxy.access_log)),
    ...(ledger.archive.dir === ''
      ? []
      : writableProblems('ledger.archive.dir', ledger.archive.dir)),
    ...certificateFileProblems(proxy),
    ...bundleFileProblems(policy),
  ]
}

function bundleFileProblems({
  bundles,
  bundle_signing: signing,
}: Config['policy']): readonly Problem[] {
  const problemsOf = (
    setting: string,
    file: string,
    read: (text: string) => unknown,
  ): readonly Problem[] => {
    try {
      read(readFileSync(file, 'utf8'))
      return []
    } catch (error) {
      const why = error instanceof CordonError ? error.message : `cannot be read (${codeOf(error)})`
      return [{ file, message: `${setting}: ${why}` }]
    }
  }
  return [
    ...bundles.flatMap(({ name, token_file: token, public_key: key }) => [
      ...(token === undefined ? [] : problemsOf(`token_file of ${name}`, token, () => undefined)),
      ...(key === undefined
        ? []
        : key.includes('-----BEGIN')
          ? inlineKeyProblems(name, key)
          : problemsOf('policy.bundles', key, (pem) => publicKeyOf(pem, `public_key of ${name}`))),
    ]),
    ...(signing.key === ''
      ? []
      : problemsOf('policy.bundle_signing.key', signing.key, (pem) => privateKeyOf(pem, 'it'))),
  ]
}

function inlineKeyProblems(name: string, pem: string): readonly Problem[] {
  try {
    publicKeyOf(pem, `public_key of ${name}`)
    return []
  } catch (error) {
    return [
      { file: 'policy.bundles', message: error instanceof Error ? error.message : 'malformed' },
    ]
  }
}

function htpasswdProblems(file: string): readonly Problem[] {
  try {
    if (statSync(file).size > MAX_HTPASSWD_BYTES)
      return [{ file, message: `proxy.htpasswd: larger than ${MAX_HTPASSWD_BYTES} bytes` }]
    Htpasswd.parse(file, readFileSync(file, 'utf8'))
    return []
  } catch (error) {
    if (error instanceof CordonError) return error.problems
    return [{ file, message: `proxy.htpasswd: cannot be read (${codeOf(error)})` }]
  }
}

/** The file or folder itself where it is there, else the nearest folder that is. */
function writableProblems(setting: string, path: string): readonly Problem[] {
  for (let at = path; ; at = dirname(at)) {
    try {
      accessSync(at, constants.W_OK)
      // A file in the place of a folder on the way.
      return at !== path && !statSync(at).isDirectory()
        ? [{ file: path, message: `${setting}: ${at} is not a folder` }]
        : []
    } catch (error) {
      const code = codeOf(error)
      const missing = code === 'ENOENT' && dirname(at) !== at
      if (!missing) return [{ file: path, message: `${setting}: cannot be written (${code})` }]
    }
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
}
