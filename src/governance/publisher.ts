// From files that are to be in force to the revision that every node fetches: tried, compiled, packed, made the head.

import type { Kysely, Transaction } from 'kysely'
import { CordonError, type Problem } from '../base/errors.ts'
import type { StoredFile } from '../model/stored-policy.ts'
import { MAX_BUNDLE_BYTES } from '../policy/bundle/archive.ts'
import { packStored, revisionOf } from '../policy/bundle/stored-bundle.ts'
import { type CheckedFiles, checkFiles } from '../policy/check-files.ts'
import type { LoadOptions } from '../policy/load.ts'
import type { NewRevision, PolicyRevisions } from '../store/policy-revisions.ts'
import type { Tables } from '../store/tables.ts'

export interface PublisherParts {
  readonly revisions: PolicyRevisions
  /** With the folders that are active beside the stored policies. */
  readonly load: () => LoadOptions
}

export interface PublishedChange {
  /** Whether tunnels, sockets and streams that are open are judged again by what is published. */
  readonly rejudge: boolean
}

export class Publisher {
  readonly #parts: PublisherParts
  /** What was tried last, without its tests, so that it is compiled once. */
  #tried: { readonly sources: string; readonly checked: CheckedFiles } | undefined

  constructor(parts: PublisherParts) {
    this.#parts = parts
  }

  /** What is wrong with these files as a whole; empty: they may be in force. Throws POLICY_TOOLCHAIN_MISSING. */
  async checkFiles(files: readonly StoredFile[]): Promise<readonly Problem[]> {
    const checked = await checkFiles(files, this.#parts.load())
    if (checked.problems.length === 0)
      this.#tried = { sources: revisionOf(withoutTests(files)), checked }
    return checked.problems
  }

  /**
   * Makes these files the head, in the transaction of the change. Nodes have them in force within seconds of its end.
   * Throws POLICY_INVALID where they do not load; their tests are for `checkFiles`.
   */
  async publish(
    files: readonly StoredFile[],
    { rejudge }: PublishedChange,
    db: Kysely<Tables> | Transaction<Tables>,
  ): Promise<{ readonly revision: string }> {
    const { revision } = await this.#parts.revisions.publish(await this.#pack(files), rejudge, db)
    this.#tried = undefined
    return { revision }
  }

  async #pack(files: readonly StoredFile[]): Promise<NewRevision> {
    const sources = withoutTests(files)
    const isTried = this.#tried?.sources === revisionOf(sources)
    const { problems, compiled, policies } =
      isTried && this.#tried !== undefined
        ? this.#tried.checked
        : await checkFiles(sources, this.#parts.load())
    if (problems.length > 0)
      throw new CordonError('POLICY_INVALID', 'the policies are refused', { problems })
    const packed = await packStored(files, compiled)
    if (packed.bundle.length > MAX_BUNDLE_BYTES)
      throw new CordonError(
        'POLICY_INVALID',
        `the policies make a bundle of more than ${MAX_BUNDLE_BYTES} bytes, which no node takes`,
      )
    return { ...packed, files: files.length, policies }
  }
}

function withoutTests(files: readonly StoredFile[]): readonly StoredFile[] {
  return files.filter(({ path }) => !/(?:_test\.rego|\.test\.ya?ml)$/.test(path))
}
