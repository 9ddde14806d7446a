// data_dir/ca: the authority that Cordon makes itself.
//
//   root.pem              what clients trust: the root, and behind it a former one while both are in use
//   root-<id>.key.pem     the root's key, encrypted; it may leave the machine
//   issuing.pem           key and certificate that leaves are issued with; behind them the root as the former
//                         one certified it
//
// Each file is replaced as a whole and in an order in which every state between is one that works: a running
// Cordon may read them at any moment.

import { X509Certificate } from 'node:crypto'
import {
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { tryLock } from '../base/process-lock.ts'
import { keyIdOf, publicKeyOf } from '../tls/certificate.ts'
import {
  createIssuing,
  createRoot,
  createSuccessor,
  type Created,
  type Parent,
} from '../tls/create.ts'
import type { Authority } from '../tls/issuer.ts'
import { certificatesIn, privateKeyIn } from '../tls/pem.ts'
import { encryptedPem, readPrivateKey } from '../tls/private-key.ts'
import { checkedAuthority, refusal, within } from './authority-check.ts'

const ROOT = 'root.pem'
const ISSUING = 'issuing.pem'
const OWNER = 'Cordon'
const REISSUE = '"cordon ca rotate" re-issues it'
const MAX_BYTES = 256 * 1024

export interface Making {
  readonly dir: string
  /** Stands in the names; people see it when they are asked to trust the root. Undefined: as the root has it. */
  readonly owner: string | undefined
  /** Undefined: not limited. */
  readonly domains: readonly string[] | undefined
  readonly passphrase: string
  readonly now: number
}

export function hasAuthority(dir: string): boolean {
  return existsSync(join(dir, ROOT)) || existsSync(join(dir, ISSUING))
}

/** Throws AUTHORITY_INVALID, which names the command that helps. */
export function readFolder(dir: string, now: number): Authority {
  if (!hasAuthority(dir)) {
    throw new CordonError(
      'AUTHORITY_INVALID',
      `there is no interception authority in ${dir}: "cordon ca init" makes one (or set proxy.intercept.ca)`,
    )
  }
  const file = join(dir, ISSUING)
  const issuing = readText(file, 'private')
  const roots = rootsOf(dir)
  const [certificate, successor] = within(file, () => certificatesIn(issuing))
  const root = roots.find((each) => certificate?.checkIssued(each) === true)
  if (certificate === undefined || root === undefined) {
    throw refusal(file, [`is not of ${join(dir, ROOT)}: "cordon ca rotate" re-issues it`])
  }
  const chain = certificate.toString() + root.toString()
  const made = checkedAuthority({ source: file, chain, key: issuing, help: REISSUE }, now)
  const overlap = successor !== undefined && successor.validToDate.getTime() > now
  if (!overlap || !successor.publicKey.equals(root.publicKey)) return made
  const others = roots.filter((each) => each !== root && each.validToDate.getTime() > now)
  return {
    ...made,
    chain: made.chain + successor.toString(),
    rootCert: [root, ...others].map((each) => each.toString()).join(''),
  }
}

/** A new root and what it certifies; nothing of an authority that was there is kept in use. */
export function createAuthority(making: Making): { readonly keyFile: string } {
  return locked(making.dir, () => {
    const root = createRoot(making.owner ?? OWNER, making.now)
    const keyFile = writeRootKey(making, root)
    const issuing = createIssuing(parentOf(root), making.owner ?? OWNER, making.domains, making.now)
    // Without the old one no moment has a root and an issuing certificate that do not belong together.
    rmSync(join(making.dir, ISSUING), { force: true })
    write(join(making.dir, ROOT), root.certificate, 0o644)
    write(join(making.dir, ISSUING), keyText(issuing) + issuing.certificate, 0o600)
    return { keyFile }
  })
}

/** A new issuing certificate below the same root. */
export function rotateIssuing(making: Making, keyFile: string | undefined): void {
  locked(making.dir, () => {
    const root = currentRoot(making, keyFile)
    const owner = making.owner ?? ownerOf(root)
    const issuing = createIssuing(root, owner, making.domains, making.now)
    const successor = successorOf(making.dir, root.certificate, making.now)
    write(join(making.dir, ISSUING), keyText(issuing) + issuing.certificate + successor, 0o600)
  })
}

/** A new root that the former one certifies, so that clients which trust either go on; for `overlapMs`. */
export function rotateRoot(
  making: Making,
  keyFile: string | undefined,
  overlapMs: number,
): { readonly keyFile: string } {
  return locked(making.dir, () => {
    const former = currentRoot(making, keyFile)
    const owner = making.owner ?? ownerOf(former)
    const created = createRoot(owner, making.now)
    const root = parentOf(created)
    const newKeyFile = writeRootKey(making, created)
    const issuing = createIssuing(root, owner, making.domains, making.now)
    const successor = createSuccessor(former, root.certificate, making.now, overlapMs)
    write(join(making.dir, ROOT), created.certificate + former.certificate.toString(), 0o644)
    write(join(making.dir, ISSUING), keyText(issuing) + issuing.certificate + successor, 0o600)
    return { keyFile: newKeyFile }
  })
}

/** Where the key of the current root lies, if it is still here. */
export function rootKeyFile(dir: string): string | undefined {
  const [root] = rootsOf(dir)
  if (root === undefined) return undefined
  const file = keyFileOf(dir, publicKeyOf(root.publicKey))
  return existsSync(file) ? file : undefined
}

/** A secret: whoever can read it may be the group that Cordon runs in, and nobody else. */
export function readText(file: string, kind: 'public' | 'private'): string {
  try {
    const { size, mode } = statSync(file)
    if (size > MAX_BYTES) throw refusal(file, [`is larger than ${MAX_BYTES} bytes`])
    if (kind === 'private' && (mode & 0o037) !== 0) {
      const found = (mode & 0o777).toString(8).padStart(4, '0')
      throw refusal(file, [`is open to others (mode ${found}): chmod 600 ${file}`])
    }
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof CordonError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    throw refusal(file, [`cannot be read (${code})`])
  }
}

/** Appears with its whole content, and is on the disk when this returns. */
export function write(file: string, text: string, mode: number): void {
  const draft = `${file}.new`
  rmSync(draft, { force: true })
  const handle = openSync(draft, 'wx', mode)
  try {
    writeFileSync(handle, text)
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
  renameSync(draft, file)
}

function rootsOf(dir: string): readonly X509Certificate[] {
  const file = join(dir, ROOT)
  return within(file, () => certificatesIn(readText(file, 'public')))
}

function currentRoot({ dir, passphrase }: Making, keyFile: string | undefined): Parent {
  const [certificate] = rootsOf(dir)
  if (certificate === undefined) throw refusal(join(dir, ROOT), ['holds no certificate'])
  const file = keyFile ?? keyFileOf(dir, publicKeyOf(certificate.publicKey))
  if (!existsSync(file)) {
    throw refusal(file, [
      'is not there: bring the key of the root back, or name where it lies with --key',
    ])
  }
  const text = readText(file, 'private')
  const key = within(file, () => readPrivateKey(privateKeyIn(text) ?? '', passphrase))
  if (!certificate.checkPrivateKey(key))
    throw refusal(file, [`is not the key of the root in ${join(dir, ROOT)}`])
  return { certificate, key }
}

function successorOf(dir: string, root: X509Certificate, now: number): string {
  const file = join(dir, ISSUING)
  if (!existsSync(file)) return ''
  const [, successor] = within(file, () => certificatesIn(readText(file, 'private')))
  const serves =
    successor?.publicKey.equals(root.publicKey) === true && successor.validToDate.getTime() > now
  return serves ? successor.toString() : ''
}

function writeRootKey({ dir, passphrase }: Making, root: Created): string {
  const file = keyFileOf(dir, publicKeyOf(parentOf(root).certificate.publicKey))
  write(file, encryptedPem(root.key, passphrase), 0o600)
  return file
}

function keyFileOf(dir: string, publicKey: Buffer): string {
  return join(dir, `root-${keyIdOf(publicKey).toString('hex').slice(0, 8)}.key.pem`)
}

function ownerOf({ certificate }: Parent): string {
  return /^O=(.+)$/m.exec(certificate.subject)?.[1] ?? OWNER
}

function parentOf({ certificate, key }: Created): Parent {
  return { certificate: new X509Certificate(certificate), key }
}

function keyText({ key }: Created): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

function locked<T>(dir: string, use: () => T): T {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const lock = tryLock(join(dir, 'lock'))
  if (lock === undefined)
    throw new CordonError('CONFLICT', `another command is changing ${dir}; try again`)
  try {
    return use()
  } finally {
    lock.release()
  }
}
