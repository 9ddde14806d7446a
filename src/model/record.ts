// What the ledger keeps. A record is written once and never changed; personal fields live in a side
// part that the record commits to by a salted hash, so that they can be erased and proofs stay valid.

import type { Decision, Mode, Severity, Verdict } from './decision.ts'
import type { UserInput } from './input.ts'
import type { RiskSignals } from './risk.ts'

/** Bytes before the JSON of a personal part, without which its hash could be found by trying. */
export const SALT_BYTES = 16

/** The erasable part of a record: whatever names a person, a device or an address. */
export interface PersonalPart {
  /** The input's user without `known`, `status`, `department`, `groups`, `roles`, which stay in the record. */
  readonly user?: Partial<UserInput>
  readonly login?: string
  readonly ip_address?: string
  readonly device?: Readonly<Record<string, unknown>>
  readonly user_agent?: string
  readonly geo_location?: string
  readonly asset?: Readonly<Record<string, unknown>>
  /** The resource's path and model as they were, where the record's text has words in place of names. */
  readonly path?: string
  readonly model?: string
  /** Signs of the risk score that are about the person, their device or what they did before. */
  readonly risk_signals?: RiskSignals
  /** Of an audit record: what the people and their things are called, and what somebody wrote about them. */
  readonly actor_name?: string
  readonly target_name?: string
  readonly data?: Readonly<Record<string, unknown>>
}

interface RecordBase {
  readonly tenant: string
  /** Milliseconds since the epoch, from the clock that made the record. */
  readonly time: number
  readonly personal?: PersonalPart
}

export interface DecisionRecord extends RecordBase {
  readonly kind: 'decision'
  readonly request_id: string
  readonly decision: Decision
  /** The enforcement point's mode at that moment. */
  readonly mode: Mode
  /** As policies saw it, without content text and without what is in `personal`. */
  readonly input: unknown
  /** Paths of the input that policies saw and that stand nowhere in the record, or not as they were. Absent: a former release. */
  readonly masked?: readonly string[]
  /** What the policies said, where something else was done: mode, monitor, a reviewer's answer, a budget, an obligation of no door. */
  readonly verdict?: RecordedVerdict
  /** Which exceptions had a part, and the ids of the policies that did not vote because of them; an empty one is the default. */
  readonly excepted?: {
    readonly exceptions: readonly string[]
    readonly policies: readonly string[]
  }
  /** The signs of the risk score that are not about the person; the score and its factors stand in the input. */
  readonly risk_signals?: RiskSignals
  /** Set where the answer was enforced and somebody must look at it (DENY or REVIEW, not monitor). */
  readonly violation?: {
    readonly severity: Severity
    readonly type: string
    /** False where the refusal follows from the person's risk or from a budget. */
    readonly raises_risk?: false
  }
  /** Groups violations and reviews without naming anybody (src/model/person.ts). */
  readonly person_key: string
}

export type RecordedVerdict = Pick<
  Verdict,
  'decision' | 'reason' | 'primary_policy_id' | 'obligations' | 'would_be'
>

/** How much of an exchange could be seen, most first; docs/reference/api.md says what each means. */
export const VISIBILITIES = ['content', 'metadata', 'sni', 'none'] as const
export type Visibility = (typeof VISIBILITIES)[number]

/** Why it was not more; a bounded list, because it is a label of a metric. */
export const VISIBILITY_REASONS = [
  'not_read',
  'not_selected',
  'tunnelled',
  'pinned',
  'never',
  'outside_authority',
  'handshake_failed',
  'other_name',
  'origin_failed',
  'not_tls',
  'ech',
  'client_certificate',
  'too_large',
  'unknown_encoding',
  'bad_encoding',
  'unparsed',
  'websocket',
  'no_memory',
  'denied',
  'aborted',
  'unstated',
] as const
export type VisibilityReason = (typeof VISIBILITY_REASONS)[number]

/** What could be seen of an exchange, and what it turned out to be. */
export interface Seen {
  readonly visibility?: Visibility
  /** Absent where all of it was seen. */
  readonly visibility_reason?: VisibilityReason
  /** Id of the wire format. */
  readonly format?: string
  /** As the service counts them. */
  readonly input_tokens?: number
  readonly output_tokens?: number
}

/** How the request of a decision ended. */
export interface OutcomeRecord extends RecordBase, Seen {
  readonly kind: 'outcome'
  readonly request_id: string
  readonly decision_id: string
  /** HTTP status that the client got; 0 where the connection broke before one. */
  readonly status: number
  /** Body bytes from the client, and to it; for tunnels all bytes. */
  readonly bytes_in: number
  readonly bytes_out: number
  readonly duration_ms: number
}

export interface AuditRecord extends RecordBase {
  readonly kind: 'audit'
  readonly event_id: string
  readonly event_type: string
  readonly severity: 'info' | 'warning' | 'error' | 'critical'
  /** Names of people stand in `personal`; `person_key` tells whose that part is. */
  readonly actor: {
    readonly type: 'user' | 'system' | 'integration'
    readonly id?: string
    readonly name?: string
    readonly person_key?: string
  }
  readonly target?: {
    readonly type: string
    readonly id?: string
    readonly name?: string
    readonly person_key?: string
  }
  readonly action: string
  readonly result: 'success' | 'failure' | 'partial'
  readonly data?: Readonly<Record<string, unknown>>
  readonly changes?: { readonly before?: unknown; readonly after?: unknown }
}

/** Records that were not kept: how many, when and why. Missing evidence is itself evidence. */
export interface GapRecord extends RecordBase {
  readonly kind: 'gap'
  readonly from: number
  readonly to: number
  readonly count: number
  readonly reason: 'spool_full' | 'spool_failed' | 'corrupt'
}

export type LedgerRecord = DecisionRecord | OutcomeRecord | AuditRecord | GapRecord

/** The people whom the personal part of a record is about, by key; of a text that is no record of ours, nobody. */
export function peopleIn(record: LedgerRecord): readonly string[] {
  const { kind, ...of } = record as {
    readonly kind: string
    readonly person_key?: unknown
    readonly actor?: { readonly person_key?: unknown }
    readonly target?: { readonly person_key?: unknown }
  }
  const keys = kind === 'audit' ? [of.actor?.person_key, of.target?.person_key] : [of.person_key]
  return keys.filter((key) => typeof key === 'string')
}

/** A record as the store gets it. */
export interface ShippedRecord {
  readonly writer: string
  readonly seq: number
  readonly leaf: Buffer
  /** The exact text that the leaf is the hash of. */
  readonly text: string
  readonly record: LedgerRecord & {
    readonly v: number
    readonly writer: string
    readonly seq: number
  }
  readonly personal: PersonalPart | undefined
  readonly personalBytes: Buffer
}

/** What proves the records of a data directory, in the texts of its folder (docs/decisions/0008-ledger.md). */
export interface Evidence {
  /** UUID of the data directory. */
  readonly installation: string
  readonly keys: readonly {
    readonly number: number
    readonly vkey: string
    readonly note: string | undefined
  }[]
  /** Entries of the list of writers. */
  readonly roster: readonly { readonly number: number; readonly note: string }[]
  readonly checkpoints: readonly {
    readonly writer: string
    readonly size: number
    /** Milliseconds since the epoch. */
    readonly time: number
    /** Else it is the newest of its writer. */
    readonly isSeal: boolean
    /** Of a seal: that of the tree over the records up to `size`, 32 bytes a hash. */
    readonly frontier: Buffer | undefined
    readonly note: string
  }[]
}

/** What became of a batch. */
export interface Stored {
  /** Those that the store did not have. */
  readonly fresh: readonly ShippedRecord[]
  /** Those whose number another record has in the store: they were set aside. */
  readonly clashing: readonly ShippedRecord[]
}

export interface Sink {
  /** Behind which sequence number each writer is to be read. */
  cursors(): Promise<ReadonlyMap<string, number>>
  /**
   * All rows, leaves and the cursor in one transaction; repeats change nothing. Throws with SQLSTATE in `code`. `isPart`:
   * what lies between these records and what the store has was left out, and is still to come.
   */
  write(writer: string, records: readonly ShippedRecord[], isPart?: boolean): Promise<Stored>
  /** Keeps a record that the store refuses, so that its place is known. */
  setAside(record: ShippedRecord, reason: string, isPart?: boolean): Promise<void>
  /** Keeps what proves the records; a checkpoint only where the store has what it covers. Repeats change nothing. */
  keepEvidence(evidence: Evidence): Promise<void>
}
