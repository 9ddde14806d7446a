// Reviews and exceptions as the command line asks for them. Who acts is never an argument: it is the account that vouches
// for the command line, or the person whose API key is shown.

import { grants } from '../api/key.ts'
import { CordonError } from '../base/errors.ts'
import type { Admin } from '../governance/admin.ts'
import type { Actor } from '../governance/audit.ts'
import type { ExceptionRequest } from '../governance/exceptions.ts'
import type { Answer } from '../governance/reviews.ts'
import type { Filter } from '../store/filters.ts'

/** What each act is asked with. */
interface Arguments {
  reviews: { readonly filter: Filter }
  review: { readonly id: string }
  answerReview: { readonly id: string; readonly answer: Answer }
  assignReview: { readonly id: string; readonly assignee: string | null }
  exceptions: { readonly filter: Filter }
  exception: { readonly id: string }
  exceptionUses: { readonly id: string; readonly filter: Filter }
  requestException: { readonly request: ExceptionRequest }
  approveException: { readonly id: string; readonly comment?: string }
  denyException: { readonly id: string; readonly reason: string }
  revokeException: { readonly id: string; readonly reason: string }
}

type DeskActName = keyof Arguments

export type DeskAct<N extends DeskActName = DeskActName> = {
  readonly [K in N]: Arguments[K] & {
    readonly act: K
    /** An API key: its owner acts, within its scopes. */
    readonly key?: string
  }
}[N]

const SCOPES: Readonly<Record<DeskActName, string>> = {
  reviews: 'reviews:read',
  review: 'reviews:read',
  answerReview: 'reviews:write',
  assignReview: 'reviews:write',
  exceptions: 'exceptions:read',
  exception: 'exceptions:read',
  exceptionUses: 'decisions:read',
  requestException: 'exceptions:write',
  approveException: 'exceptions:write',
  denyException: 'exceptions:write',
  revokeException: 'exceptions:write',
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Carries out an act; `account`: of the command line. Throws UNAUTHENTICATED or FORBIDDEN for a key, NOT_FOUND. */
export async function runDeskAct(
  { admin, account }: { readonly admin: Admin; readonly account: string },
  act: DeskAct,
): Promise<unknown> {
  if (!Object.hasOwn(SCOPES, act.act))
    throw new CordonError('NOT_FOUND', `no such act: ${act.act.slice(0, 64)}`)
  const wanted = [SCOPES[act.act]]
  if (act.act === 'answerReview' && act.answer.exception !== undefined)
    wanted.push('exceptions:write')
  const actor: Actor =
    act.key === undefined ? { type: 'user', login: account } : await ownerOf(admin, act.key, wanted)
  const { desk, exceptions, lists } = admin
  switch (act.act) {
    case 'reviews':
      return lists.reviews(act.filter)
    case 'review':
      return found(await desk.show(idOf(act)), act.id, 'review')
    case 'answerReview':
      return found(await desk.answer(idOf(act), act.answer, actor), act.id, 'review')
    case 'assignReview':
      return found(await desk.assign(idOf(act), act.assignee, actor), act.id, 'review')
    case 'exceptions':
      return lists.exceptions(act.filter)
    case 'exception':
      return found(await exceptions.show(idOf(act)), act.id, 'exception')
    case 'exceptionUses':
      found(await exceptions.show(idOf(act)), act.id, 'exception')
      return lists.decisions({ ...act.filter, exception_id: act.id })
    case 'requestException':
      return exceptions.request(act.request, actor)
    case 'approveException':
      return found(await exceptions.approve(idOf(act), act.comment, actor), act.id, 'exception')
    case 'denyException':
      return found(await exceptions.deny(idOf(act), act.reason, actor), act.id, 'exception')
    case 'revokeException':
      return found(await exceptions.revoke(idOf(act), act.reason, actor), act.id, 'exception')
  }
}

async function ownerOf(admin: Admin, secret: string, wanted: readonly string[]): Promise<Actor> {
  const key = await admin.credentials.findKey(secret)
  if (key === undefined) throw new CordonError('UNAUTHENTICATED', 'this API key is not known')
  const missing = wanted.filter((scope) => !grants(key.scopes, scope))
  if (missing.length > 0)
    throw new CordonError('FORBIDDEN', `this API key lacks the scope ${missing.join(' and ')}`)
  if (key.user === undefined) return { type: 'integration', name: key.name }
  const { id, name } = key.user
  return { type: 'user', id, ...(name === undefined ? {} : { name }) }
}

function idOf({ id }: { readonly id: string }): string {
  if (!UUID.test(id))
    throw new CordonError('INPUT_INVALID', `"${id.slice(0, 100)}" is no id: the list shows them`)
  return id
}

function found<T>(row: T | undefined, id: string, what: string): T {
  if (row === undefined) throw new CordonError('NOT_FOUND', `there is no ${what} ${id}`)
  return row
}
