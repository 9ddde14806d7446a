// Signed notes: a text, a blank line, and signatures over the text. C2SP signed-note, with Ed25519 keys. Pure.
//
//   <text, ends with a line feed>
//
//   — <key name> <base64 of key id (4 bytes) and signature (64 bytes)>
//
// The id of a key is the first four bytes of SHA-256(name || 0x0a || 0x01 || public key); a key as text
// (vkey) is `<name>+<id in hex>+<base64 of 0x01 || public key>`. Other programs that read such notes can check ours.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'

const ED25519 = 0x01
const ID_BYTES = 4
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
const MAX_NOTE_BYTES = 1024 * 1024
const MAX_SIGNATURES = 16
/** RFC 8410: what stands before the 32 bytes of an Ed25519 key in SubjectPublicKeyInfo. */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex')
const NAME = /^[^\s+\p{C}]{1,200}$/u
const VKEY = /^([^\s+\p{C}]{1,200})\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u
const SIGNATURE = /^\u2014 ([^\s+]{1,200}) ([A-Za-z0-9+/]+={0,2})$/u

export interface PublicKey {
  readonly name: string
  /** Eight hex digits. */
  readonly id: string
  readonly key: KeyObject
}

export interface SigningKey extends PublicKey {
  readonly secret: KeyObject
}

/** A new key. */
export function generateKey(name: string): SigningKey {
  return signingKey(name, generateKeyPairSync('ed25519').privateKey)
}

/** The key in a PEM (PKCS #8). Throws where it is no Ed25519 key. */
export function signingKey(name: string, pem: string | KeyObject): SigningKey {
  const secret = typeof pem === 'string' ? createPrivateKey(pem) : pem
  return { ...publicKey(name, createPublicKey(secret)), secret }
}

/** The same key for those who verify. Throws where it is no Ed25519 key, or the name no name. */
export function publicKey(name: string, key: KeyObject): PublicKey {
  if (!NAME.test(name)) throw new TypeError('the name of a key has neither spaces nor a plus sign')
  if (key.asymmetricKeyType !== 'ed25519') throw new TypeError('the key is no Ed25519 key')
  return { name, id: idOf(name, rawOf(key)), key }
}

/** `<name>+<id>+<key>`. */
export function vkeyOf({ name, id, key }: PublicKey): string {
  return `${name}+${id}+${Buffer.concat([Buffer.from([ED25519]), rawOf(key)]).toString('base64')}`
}

/** The key that a vkey tells; undefined where it is none, or of another kind. */
export function readVkey(text: string): PublicKey | undefined {
  const [, name = '', id = '', encoded = ''] = VKEY.exec(text.trim()) ?? []
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.length !== KEY_BYTES + 1 || bytes[0] !== ED25519) return undefined
  const raw = bytes.subarray(1)
  if (idOf(name, raw) !== id) return undefined
  const key = createPublicKey({
    key: Buffer.concat([SPKI_HEAD, raw]),
    format: 'der',
    type: 'spki',
  })
  const read = { name, id, key }
  // Digits behind the key, or spare bits in its last one, would make two texts of one key.
  return vkeyOf(read) === text.trim() ? read : undefined
}

/** The note: text and a signature of each key. The text must end with a line feed. */
export function signNote(text: string, ...keys: readonly SigningKey[]): string {
  if (!text.endsWith('\n')) throw new TypeError('the text of a note ends with a line feed')
  const message = Buffer.from(text)
  const signatures = keys.map(({ name, id, secret }) => {
    const signature = sign(null, message, secret)
    return `\u2014 ${name} ${Buffer.concat([Buffer.from(id, 'hex'), signature]).toString('base64')}\n`
  })
  return `${text}\n${signatures.join('')}`
}

export interface OpenedNote {
  readonly text: string
  /** Ids of the known keys whose signatures are good. */
  readonly signedBy: readonly string[]
}

/** A note with its good signatures; undefined where it is malformed or a known key's signature is bad. */
export function openNote(note: string, keys: readonly PublicKey[]): OpenedNote | undefined {
  if (note.length > MAX_NOTE_BYTES) return undefined
  const end = note.lastIndexOf('\n\n')
  if (end === -1 || !note.endsWith('\n')) return undefined
  const text = note.slice(0, end + 1)
  const lines = note.slice(end + 2, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) return undefined
  const message = Buffer.from(text)
  const signedBy = new Set<string>()
  for (const line of lines) {
    const [, name, encoded = ''] = SIGNATURE.exec(line) ?? []
    if (name === undefined) return undefined
    const bytes = Buffer.from(encoded, 'base64')
    // Spare bits of the last digit would make two notes of one.
    if (bytes.toString('base64') !== encoded) return undefined
    const id = bytes.toString('hex', 0, ID_BYTES)
    const known = keys.find((key) => key.name === name && key.id === id)
    if (known === undefined) continue
    if (bytes.length !== ID_BYTES + SIGNATURE_BYTES) return undefined
    if (!verify(null, message, known.key, bytes.subarray(ID_BYTES))) return undefined
    signedBy.add(id)
  }
  return { text, signedBy: [...signedBy] }
}

function rawOf(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: 'der', type: 'spki' })).subarray(-KEY_BYTES)
}

function idOf(name: string, raw: Uint8Array): string {
  const hash = createHash('sha256')
    .update(name)
    .update(Buffer.from([0x0a, ED25519]))
    .update(raw)
  return hash.digest('hex').slice(0, 2 * ID_BYTES)
}
