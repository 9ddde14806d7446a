// Certificates that live as long as the run: an authority and one leaf for all stand-in hosts, made by openssl.

import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface Pki {
  /** The file that clients trust to see the stand-ins' own certificate. */
  readonly ca: string
  readonly cert: Buffer
  readonly key: Buffer
}

export async function makePki(dir: string, hosts: readonly string[]): Promise<Pki> {
  const file = (name: string): string => join(dir, name)
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  writeFileSync(
    file('leaf.ext'),
    [
      `subjectAltName=${hosts.map((host) => `DNS:${host}`).join(',')}`,
      'basicConstraints=critical,CA:FALSE',
      'keyUsage=critical,digitalSignature',
      'extendedKeyUsage=serverAuth',
      'subjectKeyIdentifier=hash',
      'authorityKeyIdentifier=keyid',
    ].join('\n'),
  )
  await openssl(
    ['req', '-x509', ...curve],
    ['-keyout', file('origin-ca.key'), '-out', file('origin-ca.pem'), '-days', '30'],
    ['-subj', '/CN=Stand-in origins'],
    ['-addext', 'basicConstraints=critical,CA:TRUE'],
    ['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  )
  await openssl(
    ['req', ...curve],
    ['-keyout', file('leaf.key'), '-out', file('leaf.csr'), '-subj', '/CN=stand-in'],
  )
  await openssl(
    ['x509', '-req', '-in', file('leaf.csr'), '-out', file('leaf.pem'), '-days', '20'],
    ['-CA', file('origin-ca.pem'), '-CAkey', file('origin-ca.key'), '-CAcreateserial'],
    ['-extfile', file('leaf.ext')],
  )
  return {
    ca: file('origin-ca.pem'),
    cert: readFileSync(file('leaf.pem')),
    key: readFileSync(file('leaf.key')),
  }
}

/** Hashes one password for every login of the list, as `htpasswd` writes them. */
export async function writeLogins(
  path: string,
  names: readonly string[],
  password: string,
): Promise<void> {
  const hash = (await openssl(['passwd', '-apr1', password])).trim()
  writeFileSync(path, names.map((name) => `${name}:${hash}\n`).join(''))
}

async function openssl(...options: readonly (readonly string[])[]): Promise<string> {
  return (await run('openssl', options.flat())).stdout
}
