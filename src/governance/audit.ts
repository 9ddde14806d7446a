// The audit event of an act: who did what to whom. The text of a record stays for years and can never be changed, so it
// names people by id and key; what they and their things are called, and what was written about them, is in the part
// that can be erased.

import { createHash } from 'node:crypto'
import type { AuditRecord, PersonalPart } from '../model/record.ts'

export interface Actor {
  readonly type: 'user' | 'system' | 'integration'
  readonly id?: string
  readonly name?: string
  /** Of a person whom the directory does not know, such as `os:maya` at the command line. */
  readonly login?: string
}

export interface Target {
  readonly type: string
  readonly id?: string
  readonly name?: string
  /** Whose it is, or who it is: a key (src/model/person.ts). */
  readonly person_key?: string
}

export interface Act {
  readonly event_type: string
  readonly actor: Actor
  readonly target?: Target
  readonly action: string
  readonly result: AuditRecord['result']
  readonly severity?: AuditRecord['severity']
  readonly data?: Readonly<Record<string, unknown>>
  /** Of what was changed, what is other than before; without names of people and without what they wrote. */
  readonly changes?: AuditRecord['changes']
  /** What of the data somebody wrote by hand, or names somebody. */
  readonly personalData?: Readonly<Record<string, unknown>>
}

export interface AuditParts {
  readonly tenant: string
  readonly nextId: () => string
  readonly now: () => number
  /** The key of a user by id. */
  readonly personKey: (person: string) => string
}

/** Half of what a record of the ledger may have (src/ledger/encode.ts). */
const MAX_EVENT_BYTES = 128 * 1024
const MAX_NAME = 256

/** What is no person keeps its name in the text: an import's kind, a setting, the command line. */
const NAMED_AFTER_PEOPLE = new Set(['user', 'api_key'])

export function auditRecord(
  { tenant, nextId, now, personKey }: AuditParts,
  {
    event_type,
    actor,
    target,
    action,
    result,
    severity = 'info',
    data,
    changes,
    personalData,
  }: Act,
): AuditRecord {
  const person = actor.type === 'user' ? (actor.id ?? actor.login) : undefined
  const name = actor.name ?? actor.login
  const personal: PersonalPart = {
    ...(actor.type === 'system' || name === undefined ? {} : { actor_name: name }),
    ...(target?.name !== undefined && NAMED_AFTER_PEOPLE.has(target.type)
      ? { target_name: target.name }
      : {}),
    ...(personalData === undefined ? {} : { data: personalData }),
  }
  return {
    kind: 'audit',
    tenant,
    time: now(),
    event_id: nextId(),
    event_type,
    severity,
    actor: {
      type: actor.type,
      ...(actor.id === undefined ? {} : { id: actor.id }),
      ...(personal.actor_name !== undefined || name === undefined ? {} : { name }),
      ...(person === undefined ? {} : { person_key: personKey(person) }),
    },
    ...(target === undefined
      ? {}
      : {
          target: {
            type: target.type,
            ...(target.id === undefined ? {} : { id: target.id }),
            ...(personal.target_name !== undefined || target.name === undefined
              ? {}
              : { name: target.name }),
            ...keyOf(target, personKey),
          },
        }),
    action,
    result,
    ...(data === undefined ? {} : { data }),
    ...(changes === undefined ? {} : { changes }),
    ...(Object.keys(personal).length === 0 ? {} : { personal }),
  }
}

function keyOf(
  { type, id, person_key: given }: Target,
  personKey: AuditParts['personKey'],
): { readonly person_key?: string } {
  if (given !== undefined) return { person_key: given }
  return type === 'user' && id !== undefined ? { person_key: personKey(id) } : {}
}

/**
 * What the ledger would refuse for ever is told without what makes it so large: `left_out` has its SHA-256 and size. Of the
 * data a version stays.
 */
export function fitting(record: AuditRecord): AuditRecord {
  if (Buffer.byteLength(JSON.stringify(record)) <= MAX_EVENT_BYTES) return record
  const { data, changes, personal, target, ...act } = record
  const actor = personal?.actor_name
  return {
    ...act,
    ...(target === undefined
      ? {}
      : {
          target: {
            type: target.type,
            ...(target.id === undefined ? {} : { id: target.id }),
            ...(target.person_key === undefined ? {} : { person_key: target.person_key }),
          },
        }),
    data: {
      ...(data?.['version'] === undefined ? {} : { version: data['version'] }),
      left_out: digestOf(JSON.stringify({ data, changes })),
    },
    ...(actor === undefined ? {} : { personal: { actor_name: cut(actor) } }),
  }
}

/** What stands in an event for a longer value. */
export function digestOf(json: string): { readonly sha256: string; readonly bytes: number } {
  return {
    sha256: createHash('sha256').update(json).digest('hex'),
    bytes: Buffer.byteLength(json),
  }
}

export function cut(name: string): string {
  return name.length <= MAX_NAME ? name : `${name.slice(0, MAX_NAME).toWellFormed()}…`
}
