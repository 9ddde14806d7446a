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

interface Tried {
  /** Of the files without tests. */
  readonly revision: string
  readonly checked: CheckedFiles
}

export class Publisher {
  readonly #parts: PublisherParts
  /**
   * What was tried, by the first of its files without tests: kept for as long as the change that it was tried for, whatever
   * is tried meanwhile, so that nothing is compiled in its transaction.
   */
  readonly #tried = new WeakMap<StoredFile, Tried>()

  constructor(parts: PublisherParts) {
    this.#parts = parts
  }

  /** What is wrong with these files as a whole; empty: they may be in force. Throws POLICY_TOOLCHAIN_MISSING. */
  async checkFiles(files: readonly StoredFile[]): Promise<readonly Problem[]> {
    const checked = await checkFiles(files, this.#parts.load())
    const sources = withoutTests(files)
    const [first] = sources
    if (first !== undefined && checked.problems.length === 0)
      this.#tried.set(first, { revision: revisionOf(sources), checked })
    return checked.problems
  }

  /**
   * Makes these files the head, in the transaction of the change. Nodes have them in force within seconds of its end.
   * Not compiled again are those of `checkFiles`, the same objects. Throws POLICY_INVALID where they do not load; their tests
   * are for `checkFiles`.
   */
  async publish(
    files: readonly StoredFile[],
    { rejudge }: PublishedChange,
    db: Kysely<Tables> | Transaction<Tables>,
  ): Promise<{ readonly revision: string }> {
    const { revision } = await this.#parts.revisions.publish(await this.#pack(files), rejudge, db)
    return { revision }
  }

  async #pack(files: readonly StoredFile[]): Promise<NewRevision> {
    const sources = withoutTests(files)
    const [first] = sources
    const tried = first === undefined ? undefined : this.#tried.get(first)
    const { problems, compiled, policies } =
      tried?.revision === revisionOf(sources)
        ? tried.checked
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
