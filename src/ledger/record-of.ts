// A frame as the record that the store gets.

import type { PolicyEvaluated } from '../model/decision.ts'
import type { ShippedRecord } from '../model/record.ts'
import { isErased, readPersonal } from './encode.ts'
import { type FrameRead, leafAt, readFrame } from './frame.ts'

const NONE = Buffer.alloc(0)

type Frame = Extract<FrameRead, { kind: 'frame' }>

/** Undefined for a frame whose text is no record of its writer: it passed the checksum, so another program wrote it. */
export function recordOf(
  bytes: Buffer,
  at: number,
  { record, personal }: Frame,
  writer: string,
): ShippedRecord | undefined {
  const text = record.toString('utf8')
  const parsed = parse(text)
  if (parsed?.writer !== writer) return undefined
  const { seq } = parsed
  return {
    writer,
    seq,
    leaf: leafAt(bytes, at),
    text,
    record: parsed,
    personal: readPersonal(personal),
    // In the store nothing stands where a personal part was erased.
    personalBytes: isErased(personal) ? NONE : personal,
  }
}

/** When the first record behind a number was made, in bytes that begin with a frame. */
export function timeOf(bytes: Buffer, behind: number): number | undefined {
  for (let at = 0; ;) {
    const read = readFrame(bytes, at)
    if (read.kind !== 'frame') return undefined
    const parsed = parse(read.record.toString('utf8'))
    if (parsed === undefined) return undefined
    if (parsed.seq > behind) return parsed.time
    at = read.next
  }
}

function parse(text: string): ShippedRecord['record'] | undefined {
  let parsed: Partial<ShippedRecord['record']> | null
  try {
    parsed = (withKnownList(text) ?? JSON.parse(text)) as typeof parsed
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const { kind, tenant, seq, time } = parsed
  const isRecord =
    typeof kind === 'string' &&
    typeof tenant === 'string' &&
    Number.isSafeInteger(seq) &&
    Number(seq) > 0 &&
    Number.isFinite(time)
  return isRecord ? (parsed as ShippedRecord['record']) : undefined
}

const LIST = ',"policies_evaluated":'
const END = ']}}'
const MAX_LISTS = 1000
const lists = new Map<string, readonly PolicyEvaluated[]>()

/**
 * Half of a decision's text is the list of the policies that were asked, its last part and the same in thousands of
 * decisions: it is read once, and all of them share it. Undefined where a text is not of that form.
 *
 * Inside a text the quotes of `LIST` would stand behind backslashes, so what is found is a key.
 */
function withKnownList(text: string): unknown {
  const at = text.endsWith(END) ? text.lastIndexOf(LIST) : -1
  if (at === -1) return undefined
  try {
    const record = JSON.parse(`${text.slice(0, at)}}}`) as Record<string, unknown>
    let last = ''
    for (const key in record) last = key
    const decision = record[last]
    if (last !== 'decision' || typeof decision !== 'object' || decision === null) return undefined
    Object.assign(decision, { policies_evaluated: knownList(text.slice(at + LIST.length, -2)) })
    return record
  } catch {
    // It is another list, with more behind it.
    return undefined
  }
}

function knownList(text: string): readonly PolicyEvaluated[] {
  let list = lists.get(text)
  if (list === undefined) {
    list = JSON.parse(text) as readonly PolicyEvaluated[]
    if (lists.size >= MAX_LISTS) lists.clear()
    lists.set(text, list)
  }
  return list
}
