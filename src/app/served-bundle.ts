// The stored policies in force as a bundle for OPA, signed where a key is configured, and whoever waits for another one.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { BundleDesk, OfferedBundle } from '../api/bundles.ts'
import type { Config } from '../config/schema.ts'
import { type PolicyRollout, policyRollout } from '../governance/policy-rollout.ts'
import { privateKeyOf, type Signing } from '../policy/bundle/signature.ts'
import { bundleForOpa } from '../policy/bundle/stored-bundle.ts'
import type { PolicyRevisions, RevisionHead } from '../store/policy-revisions.ts'

interface Kept {
  readonly etag: string
  /** Of the change: it stands in the bundle, and a change back to former files is newer than what it takes back. */
  readonly number: number
  readonly bytes: Promise<Buffer | undefined>
}

const MAX_WAITING = 1000

export class ServedBundle implements BundleDesk {
  readonly #revisions: PolicyRevisions
  readonly #signing: () => Config['policy']['bundle_signing']
  readonly #waiting = new Set<() => void>()
  #kept: Kept | undefined
  #closed = false

  constructor(revisions: PolicyRevisions, signing: () => Config['policy']['bundle_signing']) {
    this.#revisions = revisions
    this.#signing = signing
  }

  async current(): Promise<OfferedBundle | undefined> {
    const head = await this.#revisions.head()
    if (head === undefined) return undefined
    const settings = this.#signing()
    const pem = settings.key === '' ? '' : readFileSync(settings.key, 'utf8')
    const etag = createHash('sha256')
      .update(JSON.stringify([head.revision, pem, settings.key_id, settings.scope]))
      .digest('hex')
      .slice(0, 32)
    return {
      etag,
      bytes: async () => {
        if (this.#kept?.etag !== etag || this.#kept.number !== head.number) {
          const bytes = this.#make(head, signingOf(pem, settings))
          this.#kept = { etag, number: head.number, bytes }
          // What failed is tried again by whoever asks next.
          bytes.then(
            (made) => made ?? this.#forget(etag),
            () => this.#forget(etag),
          )
        }
        return this.#kept.bytes
      },
    }
  }

  wait(forMs: number, gone: AbortSignal): Promise<void> {
    if (this.#closed || this.#waiting.size >= MAX_WAITING) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        gone.removeEventListener('abort', end)
        this.#waiting.delete(end)
        resolve()
      }
      const timer = setTimeout(end, forMs)
      gone.addEventListener('abort', end)
      this.#waiting.add(end)
      if (gone.aborted) end()
    })
  }

  rollout(): Promise<PolicyRollout> {
    return policyRollout(this.#revisions)
  }

  /** There is another head: whoever waits looks again. */
  changed(): void {
    for (const end of this.#waiting) end()
  }

  /** Nobody waits any more, for a Cordon that drains. */
  close(): void {
    this.#closed = true
    this.changed()
  }

  #forget(etag: string): undefined {
    if (this.#kept?.etag === etag) this.#kept = undefined
    return undefined
  }

  async #make(
    { revision, number }: RevisionHead,
    signing: Signing | undefined,
  ): Promise<Buffer | undefined> {
    const stored = await this.#revisions.bundle(revision)
    return stored === undefined ? undefined : bundleForOpa(stored, number, signing)
  }
}

function signingOf(
  pem: string,
  { key_id: keyId, scope }: Config['policy']['bundle_signing'],
): Signing | undefined {
  if (pem === '') return undefined
  return {
    key: privateKeyOf(pem, 'policy.bundle_signing.key'),
    ...(keyId === '' ? {} : { keyId }),
    ...(scope === '' ? {} : { scope }),
  }
}
