// The keys of a ledger in their files: which one signs, and which ones its proofs can be checked with.
//
//   data_dir/keys/ledger.pem           the private key in force
//   data_dir/keys/ledger.next.pem      the next one, while it is being changed
//   ledger/installation                whose ledger this is
//   ledger/keys/<number>.vkey, .note   all public keys, and why each next one is to be trusted
//
// Each file is made whole under another name and then linked, so of several processes that start together one
// makes it and all read the same. The private key comes before its public one: a public key without a private
// one is a key that was lost, never one that is being made.

import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import { tryLock } from '../base/process-lock.ts'
import { keyName, type KeptKey, readKeyChain, successionNote } from '../proof/key-chain.ts'
import { generateKey, type PublicKey, type SigningKey, signingKey, vkeyOf } from '../proof/note.ts'
import { codeOf, type Disk, putOnce, realDisk } from './disk.ts'

/** What a process of the ledger signs with. */
export interface LedgerKeys {
  /** UUID of the data directory. */
  readonly installation: string
  readonly signing: SigningKey
  /** Changes when another key is put in place. */
  readonly identity: string
}

/** All public keys of a ledger, oldest first. */
export interface KeyChain {
  readonly installation: string
  readonly kept: readonly KeptKey[]
  readonly keys: readonly PublicKey[]
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const VKEY_FILE = /^(\d{4})\.vkey$/

/** Where the private key is. */
export function pemPath(dataDir: string): string {
  return join(dataDir, 'keys', 'ledger.pem')
}

/** The key in force, made where there is none yet. Throws CordonError LEDGER_KEY where it is lost or another one. */
export function openLedgerKeys(
  dataDir: string,
  ledgerDir: string = join(dataDir, 'ledger'),
  disk: Disk = realDisk,
): LedgerKeys {
  const path = pemPath(dataDir)
  disk.makeFolder(join(dataDir, 'keys'))
  disk.makeFolder(join(ledgerDir, 'keys'))
  const installation = installationOf(ledgerDir, disk)
  const name = keyName(installation)
  // In this order: a private key is there before the list of public ones begins.
  const isBegun = keptKeys(ledgerDir, disk).length > 0
  if (!disk.has(path)) {
    if (isBegun)
      throw new CordonError(
        'LEDGER_KEY',
        `${path} is missing, but ${ledgerDir} was signed with it: put it back from a backup; where it is lost, move ${ledgerDir} to another place (it still verifies) and Cordon begins a new one`,
      )
    putOnce(disk, path, pemOf(generateKey(name)), randomUUID())
  }
  const { key, identity } = readPem(path, name, disk)
  if (!isBegun) putOnce(disk, vkeyPath(ledgerDir, 1), `${vkeyOf(key)}\n`, randomUUID())
  const { keys } = openKeyChain(ledgerDir, disk)
  if (keys.at(-1)?.id === key.id) return { installation, signing: key, identity }
  return finishRotation({ dataDir, ledgerDir, installation, keys, current: key, disk })
}

/** The public keys in a folder. Throws CordonError LEDGER_KEY where one of them is not to be trusted. */
export function openKeyChain(ledgerDir: string, disk: Disk = realDisk): KeyChain {
  const installation = readInstallation(ledgerDir, disk)
  if (installation === undefined)
    throw new CordonError(
      'LEDGER_KEY',
      `${join(ledgerDir, 'installation')} is missing or no UUID: this is no ledger folder, or not all of it`,
    )
  const kept = keptKeys(ledgerDir, disk)
  const keys = readKeyChain(installation, kept)
  if ('what' in keys)
    throw new CordonError(
      'LEDGER_KEY',
      `${vkeyPath(ledgerDir, keys.number)} ${keys.what}: restore ${join(ledgerDir, 'keys')} from a backup`,
    )
  return { installation, kept, keys }
}

/** Puts a new key in force: vouched for by the former one, taken by running processes with their next checkpoint. */
export function rotateKey(dataDir: string, now: number, disk: Disk = realDisk): LedgerKeys {
  const ledgerDir = join(dataDir, 'ledger')
  const { installation, signing } = openLedgerKeys(dataDir, ledgerDir, disk)
  const lock = tryLock(join(dataDir, 'keys', 'rotate.lock'))
  if (lock === undefined)
    throw new CordonError('LEDGER_KEY', `another process is changing the key of ${ledgerDir}`)
  try {
    const number = openKeyChain(ledgerDir, disk).keys.length + 1
    const next = generateKey(keyName(installation))
    const note = successionNote({ installation, number, time: now }, signing, next)
    // Left by a change that was broken off before its public key was there.
    disk.remove(nextPemPath(dataDir))
    disk.remove(notePath(ledgerDir, number))
    putOnce(disk, nextPemPath(dataDir), pemOf(next), randomUUID())
    putOnce(disk, notePath(ledgerDir, number), note, randomUUID())
    // From here on it is the ledger's key, and whoever opens the keys next does what is left to do.
    putOnce(disk, vkeyPath(ledgerDir, number), `${vkeyOf(next)}\n`, randomUUID())
    return openLedgerKeys(dataDir, ledgerDir, disk)
  } finally {
    lock.release()
  }
}

/** The newest public key is not that of the private one: because a change of keys was broken off, or it is a wrong one. */
function finishRotation(state: {
  readonly dataDir: string
  readonly ledgerDir: string
  readonly installation: string
  readonly keys: readonly PublicKey[]
  readonly current: SigningKey
  readonly disk: Disk
}): LedgerKeys {
  const { dataDir, ledgerDir, installation, keys, current, disk } = state
  const path = pemPath(dataDir)
  const newest = keys.at(-1)
  if (keys.at(-2)?.id === current.id && disk.has(nextPemPath(dataDir))) {
    const next = readPem(nextPemPath(dataDir), keyName(installation), disk).key
    if (next.id === newest?.id) {
      try {
        disk.rename(nextPemPath(dataDir), path)
      } catch (error) {
        // Another process has just done it.
        if (codeOf(error) !== 'ENOENT') throw error
      }
      disk.syncFolder(join(dataDir, 'keys'))
    }
  }
  const { key, identity } = readPem(path, keyName(installation), disk)
  if (key.id === newest?.id) return { installation, signing: key, identity }
  throw new CordonError(
    'LEDGER_KEY',
    `${path} is not the key that ${ledgerDir} is signed with (${newest?.name}+${newest?.id}, key ${keys.length}): put the right one back from a backup, or move ${ledgerDir} to another place (it still verifies) and Cordon begins a new one`,
  )
}

function installationOf(ledgerDir: string, disk: Disk): string {
  const path = join(ledgerDir, 'installation')
  if (!disk.has(path)) {
    const [first] = keptKeys(ledgerDir, disk)
    if (first !== undefined)
      throw new CordonError(
        'LEDGER_KEY',
        `${path} is missing, but ${join(ledgerDir, 'keys')} has keys of a ledger: restore the folder from a backup`,
      )
    putOnce(disk, path, `${randomUUID()}\n`, randomUUID())
  }
  const installation = readInstallation(ledgerDir, disk)
  if (installation !== undefined) return installation
  throw new CordonError('LEDGER_KEY', `${path} is no UUID: restore it from a backup`)
}

function readInstallation(ledgerDir: string, disk: Disk): string | undefined {
  const path = join(ledgerDir, 'installation')
  const text = disk.has(path) ? disk.read(path).toString('utf8').trim() : ''
  return UUID.test(text) ? text : undefined
}

function keptKeys(ledgerDir: string, disk: Disk): KeptKey[] {
  return disk
    .list(join(ledgerDir, 'keys'))
    .flatMap((name) => VKEY_FILE.exec(name)?.[1] ?? [])
    .toSorted()
    .map((digits) => {
      const note = notePath(ledgerDir, Number(digits))
      return {
        vkey: disk
          .read(vkeyPath(ledgerDir, Number(digits)))
          .toString('utf8')
          .trim(),
        note: disk.has(note) ? disk.read(note).toString('utf8') : undefined,
      }
    })
}

function readPem(path: string, name: string, disk: Disk): { key: SigningKey; identity: string } {
  const identity = disk.identity(path) ?? ''
  try {
    return { key: signingKey(name, disk.read(path).toString('utf8')), identity }
  } catch (error) {
    throw new CordonError(
      'LEDGER_KEY',
      `${path} cannot be read as an Ed25519 key (PKCS #8, PEM): put it back from a backup`,
      { cause: error },
    )
  }
}

function pemOf({ secret }: SigningKey): string {
  return secret.export({ format: 'pem', type: 'pkcs8' }).toString()
}

function nextPemPath(dataDir: string): string {
  return join(dataDir, 'keys', 'ledger.next.pem')
}

function vkeyPath(ledgerDir: string, number: number): string {
  return join(ledgerDir, 'keys', `${String(number).padStart(4, '0')}.vkey`)
}

function notePath(ledgerDir: string, number: number): string {
  return join(ledgerDir, 'keys', `${String(number).padStart(4, '0')}.note`)
}
