// Certificates and keys that the configuration names for origins: a file that cannot serve is told before a
// request depends on it.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { Problem } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'

const MAX_BYTES = 16 * 1024 * 1024
const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END [A-Z0-9 ]+-----/g

export function certificateFileProblems({ trust, intercept }: Config['proxy']): readonly Problem[] {
  return [
    ...trust.flatMap((file) => certificates('proxy.trust', file).problems),
    ...intercept.origins.flatMap(({ ca, cert, key }) => [
      ...(ca === undefined ? [] : certificates('proxy.intercept.origins', ca).problems),
      ...(cert === undefined || key === undefined ? [] : pairProblems(cert, key)),
    ]),
  ]
}

function pairProblems(cert: string, key: string): readonly Problem[] {
  const setting = 'proxy.intercept.origins'
  const { found, problems } = certificates(setting, cert)
  const [leaf] = found
  if (leaf === undefined) return problems
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(readText(key))
  } catch (error) {
    const why = codeOf(error) ?? 'no private key in PEM, or an encrypted one'
    return [...problems, { file: key, message: `${setting}: cannot be used as a key (${why})` }]
  }
  return leaf.checkPrivateKey(privateKey)
    ? problems
    : [...problems, { file: key, message: `${setting}: is not the key of ${cert}` }]
}

interface Read {
  readonly found: readonly X509Certificate[]
  readonly problems: readonly Problem[]
}

function certificates(setting: string, file: string): Read {
  const wrong = (message: string): Read => ({
    found: [],
    problems: [{ file, message: `${setting}: ${message}` }],
  })
  try {
    const found = (readText(file).match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem))
    return found.length === 0 ? wrong('holds no certificate in PEM') : { found, problems: [] }
  } catch (error) {
    const why = codeOf(error)
    return wrong(why === undefined ? 'holds a certificate that is none' : `cannot be read (${why})`)
  }
}

function readText(file: string): string {
  return statSync(file).size > MAX_BYTES ? '' : readFileSync(file, 'utf8')
}

/** The file system's word; what OpenSSL says of a text helps nobody. */
function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return /^E[A-Z]+$/.test(code) ? code : undefined
}
