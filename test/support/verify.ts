// OpenSSL's verdict on a leaf with its chain, for a host, below the roots given.

import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Leaf } from '../../src/tls/issuer.ts'

const run = promisify(execFile)

/** True, or what OpenSSL says against it. */
export async function verified(leaf: Leaf, host: string, roots: string): Promise<true | string> {
  const dir = mkdtempSync(join(tmpdir(), 'cordon-verify-'))
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text)
    return join(dir, name)
  }
  const name = /^[\d.]+$|:/.test(host) ? '-verify_ip' : '-verify_hostname'
  const args = ['verify', '-x509_strict', '-purpose', 'sslserver', name, host]
  args.push('-CAfile', file('roots.pem', roots), '-untrusted', file('chain.pem', leaf.cert))
  try {
    await run('openssl', [...args, file('leaf.pem', leaf.cert)])
    return true
  } catch (error) {
    return (error as { stderr?: string }).stderr ?? String(error)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
