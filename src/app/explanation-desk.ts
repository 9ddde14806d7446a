// Explanations of recorded decisions: under the rules in force, under a former revision that is still kept, or from the
// record alone.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Kysely, sql } from 'kysely'
import { CordonError } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import type { Explanation } from '../model/explanation.ts'
import { unpackArchive } from '../policy/bundle/archive.ts'
import { explainRecorded, type RecordedRevision } from '../policy/explain-recorded.ts'
import { inWords } from '../policy/explain-words.ts'
import { type PolicyFolder, readFolderInSlices } from '../policy/folder.ts'
import { digestOf } from '../policy/load.ts'
import { PolicySet } from '../policy/policy-set.ts'
import { readRecorded } from '../policy/recorded-input.ts'
import { failedExpressions } from '../policy/rego/trace.ts'
import { alternativeFor } from '../signatures/alternative.ts'
import type { PolicyRevisions } from '../store/policy-revisions.ts'
import type { Tables } from '../store/tables.ts'
import { compileOptions, type Environment, type LoadedRules, withPolicies } from './rules.ts'

export interface ExplanationDeskParts {
  readonly db: Kysely<Tables>
  readonly tenant: string
  readonly current: () => Config
  readonly env: Environment
  readonly rules: () => LoadedRules
  /** Folders in force beside those of `policy.dirs`; `bundles`: without that of the store. */
  readonly folders: (which: 'all' | 'bundles') => readonly string[]
  readonly revisions: Pick<PolicyRevisions, 'bundle' | 'before'>
}

/** Former revisions that are kept loaded. */
const KEPT = 2
/** Revisions of the store that are tried for a decision. */
const TRIED = 3
/** Explanations are made one after the other: each may ask OPA. */
const MAX_WAITING = 20

interface Former {
  /** Where its files were; they are there no longer. */
  readonly dir: string
  readonly rules: LoadedRules
  readonly folders: readonly PolicyFolder[]
}

export class ExplanationDesk {
  readonly #parts: ExplanationDeskParts
  readonly #former = new Map<string, Former | undefined>()
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(parts: ExplanationDeskParts) {
    this.#parts = parts
  }

  /** Undefined where no such decision is recorded. Throws TOO_BUSY. */
  async explain(
    decisionId: string,
    only: readonly string[],
  ): Promise<{ readonly explanation: Explanation; readonly words: string } | undefined> {
    if (this.#waiting >= MAX_WAITING)
      throw new CordonError('TOO_BUSY', 'so many explanations are being made already: try again')
    this.#waiting += 1
    const turn = this.#last.then(() => this.#explain(decisionId, only))
    this.#last = turn.catch(() => undefined)
    try {
      return await turn
    } finally {
      this.#waiting -= 1
    }
  }

  close(): void {
    for (const former of this.#former.values()) former?.rules.policies.close()
    this.#former.clear()
  }

  async #explain(
    decisionId: string,
    only: readonly string[],
  ): Promise<{ readonly explanation: Explanation; readonly words: string } | undefined> {
    const { db, tenant, current, env, rules } = this.#parts
    const { rows } = await sql<{
      record: string
      personal: Buffer | null
      revision: string
      time: Date
    }>`select record, personal, revision, time from decisions
      where tenant = ${tenant} and decision_id = ${decisionId} limit 1`.execute(db)
    const [row] = rows
    const { ledger } = current()
    const recorded = row === undefined ? undefined : readRecorded(row, ledger.pseudonymous)
    if (row === undefined || recorded === undefined) return undefined
    const { revision, folders, former } = await this.#revisionOf(row.revision, row.time)
    const { toolchain } = compileOptions(env, false)
    const instead = alternativeFor(recorded.document, rules().catalogue.all())
    const explanation = await explainRecorded(recorded, revision, rules().policies.combining, {
      ...(only.length === 0 ? {} : { only: new Set(only) }),
      ...(instead === undefined ? {} : { alternative: instead.name }),
      pseudonymous: ledger.pseudonymous,
      trace: async (policies, document) =>
        failedExpressions(await folders(), toolchain, policies, document),
    })
    const { policy } = current()
    const dirs = [...policy.dirs, ...this.#parts.folders('all')]
    const told = withoutFolders(explanation, former === undefined ? dirs : [former.dir, ...dirs])
    return { explanation: told, words: inWords(told) }
  }

  async #revisionOf(
    id: string,
    time: Date,
  ): Promise<{
    readonly revision: RecordedRevision
    readonly folders: () => Promise<readonly PolicyFolder[]>
    readonly former?: Former
  }> {
    const { rules, current, folders } = this.#parts
    const now = rules()
    if (now.revision === id)
      return {
        revision: { id, inForce: true, policies: now.policies },
        folders: () => foldersOf([...current().policy.dirs, ...folders('all')], now),
      }
    const former = await this.#formerOf(id, time)
    return {
      revision: { id, inForce: false, policies: former?.rules.policies },
      folders: () => Promise.resolve(former?.folders ?? []),
      ...(former === undefined ? {} : { former }),
    }
  }

  /** The rules of a former revision of the store; undefined where they cannot be had any more. */
  async #formerOf(id: string, time: Date): Promise<Former | undefined> {
    if (this.#former.has(id)) return this.#former.get(id)
    let found: Former | undefined
    for (const revision of await this.#parts.revisions.before(time, TRIED)) {
      const former = await this.#load(revision)
      if (former?.rules.revision === id) {
        found = former
        break
      }
      former?.rules.policies.close()
    }
    this.#former.set(id, found)
    for (const [oldest, former] of this.#former) {
      if (this.#former.size <= KEPT) break
      former?.rules.policies.close()
      this.#former.delete(oldest)
    }
    return found
  }

  async #load(revision: string): Promise<Former | undefined> {
    const { revisions, rules, current, env, folders } = this.#parts
    const dir = await mkdtemp(join(tmpdir(), 'cordon-revision-'))
    try {
      const bundle = await revisions.bundle(revision)
      if (bundle === undefined) return undefined
      for (const { path, bytes } of await unpackArchive(bundle)) {
        await mkdir(dirname(join(dir, path)), { recursive: true })
        await writeFile(join(dir, path), bytes)
      }
      const dirs = [dir, ...folders('bundles')]
      const loaded = await withPolicies(rules(), current(), env, dirs)
      const all: PolicyFolder[] = []
      for (const each of [...current().policy.dirs, ...dirs])
        all.push(await readFolderInSlices(each))
      return { dir, rules: loaded, folders: all }
    } catch (error) {
      if (error instanceof CordonError) return undefined
      throw error
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }
}

/** None where a file says something else by now than what was loaded from it. */
async function foldersOf(
  dirs: readonly string[],
  { policies }: LoadedRules,
): Promise<readonly PolicyFolder[]> {
  try {
    const folders: PolicyFolder[] = []
    for (const dir of dirs) folders.push(await readFolderInSlices(dir))
    // The revision follows from what was read and from the settings, whoever the policies are asked by.
    const { revision } = new PolicySet([], digestOf(folders), policies.combining)
    return revision === policies.revision ? folders : []
  } catch (error) {
    if (error instanceof CordonError) return []
    throw error
  }
}

/** Files as they are named in their folders: where those lie on this machine is nobody's who asks by the API. */
function withoutFolders(explanation: Explanation, dirs: readonly string[]): Explanation {
  const named = <T extends { readonly file?: string }>(each: T): T => {
    const { file } = each
    const dir = dirs.find((one) => file?.startsWith(`${one}/`) === true)
    return file === undefined || dir === undefined
      ? each
      : { ...each, file: file.slice(dir.length + 1) }
  }
  return {
    ...explanation,
    candidates: explanation.candidates.map((candidate) => ({
      ...named(candidate),
      ...(candidate.failed === undefined ? {} : { failed: candidate.failed.map(named) }),
    })),
  }
}
