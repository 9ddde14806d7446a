// One batch into the store, whatever is in it: what the store refuses is found by bisection and set aside.

import { setTimeout as wait } from 'node:timers/promises'
import type { ShippedRecord, Sink } from '../model/record.ts'
import { codeOf } from './disk.ts'

export type Delivery =
  | { readonly outcome: 'written'; readonly fresh: readonly ShippedRecord[] }
  | {
      readonly outcome: 'set_aside'
      readonly record: ShippedRecord
      /** SQLSTATE; empty where another record has its number. */
      readonly code: string
      readonly reason: string
    }
  /** Another transaction was in the way. */
  | { readonly outcome: 'retried' }

/** Data exceptions, integrity violations, limits of the program: this row will never be taken. */
const POISON = /^(?:22|23|54)/
/** serialization_failure and deadlock_detected: another transaction was in the way, and is gone by now. */
const CONTENTION = /^40(?:001|P01)$/
const CONTENTION_TRIES = 5
const CONTENTION_MS = 100

/** `isPart`: as in Sink. Throws where the store does not take records now: nothing of the batch is lost, and it can be given again. */
export async function deliver(
  sink: Sink,
  writer: string,
  records: readonly ShippedRecord[],
  tell: (delivery: Delivery) => void,
  isPart = false,
): Promise<void> {
  try {
    const { fresh, clashing } = await contend(() => sink.write(writer, records, isPart), tell)
    for (const record of clashing)
      tell({
        outcome: 'set_aside',
        record,
        code: '',
        reason: 'the store has another record of this number',
      })
    tell({ outcome: 'written', fresh })
  } catch (error) {
    const code = codeOf(error)
    if (!POISON.test(code)) throw error
    const [only] = records
    if (records.length > 1 || only === undefined) {
      const half = Math.ceil(records.length / 2)
      await deliver(sink, writer, records.slice(0, half), tell, isPart)
      await deliver(sink, writer, records.slice(half), tell, isPart)
      return
    }
    const reason = refusalOf(error)
    await sink.setAside(only, reason, isPart)
    tell({ outcome: 'set_aside', record: only, code, reason })
  }
}

async function contend<T>(act: () => Promise<T>, tell: (delivery: Delivery) => void): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await act()
    } catch (error) {
      if (!CONTENTION.test(codeOf(error)) || tries === CONTENTION_TRIES) throw error
      tell({ outcome: 'retried' })
      await wait(Math.random() * CONTENTION_MS * tries)
    }
  }
}

/** Why the store refused a record, in words of its schema: the server's message may quote what is in it. */
function refusalOf(error: unknown): string {
  if (!(error instanceof Error) || !('severity' in error))
    return error instanceof Error ? error.message : 'unknown error'
  const parts = ['table', 'column', 'constraint', 'dataType'] as const
  const { code, ...of } = error as Error & { readonly code?: string } & {
    readonly [K in (typeof parts)[number]]?: string
  }
  const places = parts.flatMap((part) => (of[part] === undefined ? [] : [`${part} ${of[part]}`]))
  return [`SQLSTATE ${code ?? ''}`, ...places].join(', ')
}
