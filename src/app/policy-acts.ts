// The life of policies as the command line asks for it. Who acts is never an argument: it is the account that vouches for
// the command line, or the person whose API key is shown.

import type { Problem } from '../base/errors.ts'
import { CordonError } from '../base/errors.ts'
import type { Actor } from '../governance/audit.ts'
import type { ConflictPage } from '../governance/conflicts.ts'
import type { Activated, Activation, Rollback } from '../governance/policy-activation.ts'
import type { PolicyText } from '../governance/policy-draft.ts'
import type { Edit, NewPolicy, NewVersion, Seen, VersionNotes } from '../governance/policy-life.ts'
import type { ActiveFiles, Push, Pushed } from '../governance/policy-push.ts'
import type { PolicyRollout } from '../governance/policy-rollout.ts'
import type {
  Comparison,
  PolicyFilter,
  PolicyPage,
  PolicyShelf,
  VersionName,
} from '../governance/policy-shelf.ts'
import type { VersionView } from '../governance/policy-views.ts'
import type { ConflictReport } from '../model/conflict.ts'
import type { ConflictFilter, ConflictRow } from '../store/conflicts.ts'
import type { StoredKey } from '../store/credentials.ts'
import type { PolicyDesk } from './policy-desk.ts'

/** What each act is asked with. */
interface Arguments {
  list: { readonly filter: PolicyFilter }
  show: { readonly policy_id: string }
  version: { readonly name: VersionName }
  create: { readonly policy: NewPolicy }
  addVersion: { readonly policy_id: string; readonly draft: NewVersion }
  edit: { readonly name: VersionName; readonly edit: Edit; readonly seen?: Seen }
  setDates: {
    readonly name: VersionName
    readonly dates: Pick<VersionNotes, 'effective_from' | 'expires_at'>
    readonly seen?: Seen
  }
  validate: { readonly name: VersionName }
  validateText: { readonly policy: PolicyText }
  submit: Moving
  approve: Moving
  reject: Moving
  activate: {
    readonly names: readonly VersionName[]
    readonly how: Activation
    readonly seen?: Seen
  }
  archive: {
    readonly name: VersionName
    readonly how: { readonly comment?: string; readonly rejudge?: boolean }
    readonly seen?: Seen
  }
  rollBack: { readonly policy_id: string; readonly how: Rollback }
  compare: { readonly policy_id: string; readonly from?: string; readonly to?: string }
  push: { readonly push: Push }
  files: {}
  rollout: {}
  conflicts: { readonly filter: ConflictFilter }
  /** Looks over everything in force. */
  scanConflicts: {}
  resolveConflict: { readonly id: string; readonly notes: string }
}

interface Moving {
  readonly name: VersionName
  readonly comment?: string
  readonly seen?: Seen
}

/** What each act answers. */
export interface PolicyAnswers {
  list: PolicyPage
  show: Awaited<ReturnType<PolicyShelf['show']>>
  version: VersionView
  create: VersionView
  addVersion: VersionView
  edit: VersionView
  setDates: VersionView
  validate: readonly Problem[]
  validateText: readonly Problem[]
  submit: VersionView
  approve: VersionView
  reject: VersionView
  activate: Activated
  archive: Activated
  rollBack: Activated
  compare: Comparison
  push: Pushed
  files: ActiveFiles
  rollout: PolicyRollout
  conflicts: ConflictPage
  /** Without the conflicts, which are asked for page by page. */
  scanConflicts: Omit<ConflictReport, 'conflicts'>
  resolveConflict: ConflictRow
}

export type PolicyActName = keyof Arguments

export type PolicyAct<N extends PolicyActName = PolicyActName> = {
  readonly [K in N]: Arguments[K] & {
    readonly act: K
    /** An API key: its owner acts, within its scopes. */
    readonly key?: string
  }
}[N]

type Right = 'read' | 'write' | 'approve'

const RIGHTS: Readonly<Record<PolicyActName, readonly Right[]>> = {
  list: ['read', 'write', 'approve'],
  show: ['read', 'write', 'approve'],
  version: ['read', 'write', 'approve'],
  create: ['write'],
  addVersion: ['write'],
  edit: ['write'],
  setDates: ['write', 'approve'],
  validate: ['write'],
  validateText: ['write'],
  submit: ['write'],
  approve: ['approve'],
  reject: ['write', 'approve'],
  activate: ['approve'],
  archive: ['write', 'approve'],
  rollBack: ['approve'],
  compare: ['read', 'write', 'approve'],
  push: ['write'],
  files: ['read', 'write', 'approve'],
  rollout: ['read', 'write', 'approve'],
  conflicts: ['read', 'write', 'approve'],
  scanConflicts: ['write', 'approve'],
  resolveConflict: ['approve'],
}

export interface PolicyActsParts {
  readonly desk: PolicyDesk
  readonly findKey: (key: string) => Promise<StoredKey | undefined>
  /** Of the command line: `os:<name>`. */
  readonly account: string
}

/** Carries out an act. Throws UNAUTHENTICATED or FORBIDDEN for a key, and what the act throws. */
export async function runPolicyAct(
  { desk, findKey, account }: PolicyActsParts,
  act: PolicyAct,
): Promise<unknown> {
  if (!Object.hasOwn(RIGHTS, act.act))
    throw new CordonError('NOT_FOUND', `no such act: ${act.act.slice(0, 64)}`)
  const { actor, mayApprove } =
    act.key === undefined
      ? { actor: { type: 'user', login: account } satisfies Actor, mayApprove: true }
      : ofKey(await findKey(act.key), RIGHTS[act.act])
  const { life, activation } = desk
  switch (act.act) {
    case 'list':
      return life.shelf.list(act.filter)
    case 'show':
      return life.shelf.show(act.policy_id)
    case 'version':
      return life.shelf.version(act.name)
    case 'create':
      return life.create(act.policy, actor)
    case 'addVersion':
      return life.addVersion(act.policy_id, act.draft, actor)
    case 'edit':
      return life.edit(act.name, act.edit, act.seen, actor)
    case 'setDates':
      return life.setDates(act.name, act.dates, act.seen, actor, mayApprove)
    case 'validate':
      return life.validate(act.name)
    case 'validateText':
      return life.validateText(act.policy)
    case 'submit':
      return life.submit(act.name, act.comment, act.seen, actor)
    case 'approve':
      return life.approve(act.name, act.comment, act.seen, actor)
    case 'reject':
      return life.reject(act.name, act.comment, act.seen, actor, mayApprove)
    case 'activate':
      return activation.activate(act.names, act.how, act.seen, actor)
    case 'archive':
      return activation.archive(act.name, act.how, act.seen, actor, mayApprove)
    case 'rollBack':
      return activation.rollBack(act.policy_id, act.how, actor)
    case 'compare':
      return life.shelf.compare(act.policy_id, act.from, act.to)
    case 'push':
      return desk.push.push(act.push, actor)
    case 'files':
      return desk.push.active()
    case 'rollout':
      return desk.rollout()
    case 'conflicts':
      return desk.conflicts.list(act.filter)
    case 'scanConflicts': {
      const { conflicts: _, ...scan } = await desk.conflicts.scan()
      return scan
    }
    case 'resolveConflict':
      return desk.conflicts.resolve(act.id, act.notes, actor)
  }
}

function ofKey(
  key: StoredKey | undefined,
  rights: readonly Right[],
): { readonly actor: Actor; readonly mayApprove: boolean } {
  if (key === undefined) throw new CordonError('UNAUTHENTICATED', 'this API key is not known')
  const holds = (right: Right): boolean =>
    key.scopes.includes('admin') || key.scopes.includes(`policies:${right}`)
  if (!rights.some(holds))
    throw new CordonError(
      'FORBIDDEN',
      `this API key lacks the scope ${rights.map((right) => `policies:${right}`).join(' or ')}`,
    )
  if (key.user === undefined)
    throw new CordonError(
      'FORBIDDEN',
      'changes of policies have authors: use a key that belongs to somebody (cordon key create --user)',
    )
  const { id, name } = key.user
  return {
    actor: { type: 'user', id, ...(name === undefined ? {} : { name }) },
    mayApprove: holds('approve'),
  }
}
