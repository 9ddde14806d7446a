// A root that nobody trusts yet, and below it a certificate for names of ours; made by openssl at run time.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface TestAuthority {
  /** File of the root. */
  readonly rootFile: string
  readonly root: string
  /** Of the leaf. */
  readonly cert: string
  readonly key: string
}

export function makeAuthority(dir: string, names: readonly string[]): TestAuthority {
  const openssl = (...args: string[]): unknown =>
    execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const days = ['-days', '2']
  const read = (name: string): string => readFileSync(join(dir, name), 'utf8')
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'root.key',
    '-out',
    'root.pem',
    ...days,
    '-subj',
    '/O=Acme/CN=Test root',
  )
  openssl('req', ...key, '-keyout', 'leaf.key', '-out', 'leaf.csr', '-subj', '/CN=leaf')
  const san = names.map((name) => `DNS:${name}`).join(',')
  writeFileSync(join(dir, 'leaf.ext'), `subjectAltName=${san}\nextendedKeyUsage=serverAuth\n`)
  const signed = [
    '-CA',
    'root.pem',
    '-CAkey',
    'root.key',
    '-CAcreateserial',
    '-extfile',
    'leaf.ext',
  ]
  openssl('x509', '-req', '-in', 'leaf.csr', ...signed, ...days, '-out', 'leaf.pem')
  return {
    rootFile: join(dir, 'root.pem'),
    root: read('root.pem'),
    cert: read('leaf.pem'),
    key: read('leaf.key'),
  }
}
