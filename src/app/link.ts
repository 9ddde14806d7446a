// Calls between the primary and its gateway workers over the cluster channel: requests with answers, and notices.
//
// A call that is not answered within its time fails; a peer that is gone fails every open call at once.

import { CordonError, type ErrorCode } from '../base/errors.ts'

/** The end of a channel: a cluster worker seen from the primary, or `process` seen from the worker. */
export interface Channel {
  send(message: unknown): unknown
  onMessage(listener: (message: unknown) => void): void
  onGone(listener: () => void): void
}

type Frame =
  | { readonly call: string; readonly id: number; readonly argument: unknown }
  | { readonly answer: number; readonly value: unknown }
  | { readonly failed: number; readonly code: ErrorCode; readonly message: string }

interface Open {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export type Handlers = Readonly<Record<string, (argument: never) => unknown>>

const CALL_TIMEOUT_MS = 10_000
const MAX_OPEN_CALLS = 50_000

export class Link {
  readonly #channel: Channel
  readonly #handlers: Handlers
  readonly #open = new Map<number, Open>()
  #next = 1
  #gone = false

  constructor(channel: Channel, handlers: Handlers) {
    this.#channel = channel
    this.#handlers = handlers
    channel.onMessage((message) => this.#receive(message as Frame))
    channel.onGone(() => this.#fail())
  }

  /** The peer's answer; rejects with the peer's error, or STORE_UNAVAILABLE when it does not answer in time. */
  call<T>(name: string, argument: unknown, timeoutMs: number = CALL_TIMEOUT_MS): Promise<T> {
    if (this.#gone || this.#open.size >= MAX_OPEN_CALLS) {
      return Promise.reject(
        new CordonError('STORE_UNAVAILABLE', `${name}: the other process does not answer`),
      )
    }
    const id = this.#next++
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#open.delete(id)
        reject(new CordonError('STORE_UNAVAILABLE', `${name}: no answer within ${timeoutMs} ms`))
      }, timeoutMs)
      this.#open.set(id, { resolve: (value) => resolve(value as T), reject, timer })
      this.#send({ call: name, id, argument })
    })
  }

  /** A call whose answer nobody waits for. */
  notify(name: string, argument: unknown): void {
    if (!this.#gone) this.#send({ call: name, id: 0, argument })
  }

  #receive(frame: Frame): void {
    if ('call' in frame) {
      void this.#answer(frame)
    } else if ('answer' in frame) {
      this.#take(frame.answer)?.resolve(frame.value)
    } else {
      this.#take(frame.failed)?.reject(new CordonError(frame.code, frame.message))
    }
  }

  async #answer({ call, id, argument }: Extract<Frame, { call: string }>): Promise<void> {
    try {
      const handler = this.#handlers[call]
      if (handler === undefined) throw new CordonError('INTERNAL', `no such call: ${call}`)
      const value: unknown = await handler(argument as never)
      if (id !== 0) this.#send({ answer: id, value })
    } catch (error) {
      if (id === 0) return
      const code = error instanceof CordonError ? error.code : 'INTERNAL'
      this.#send({ failed: id, code, message: error instanceof Error ? error.message : 'failed' })
    }
  }

  #take(id: number): Open | undefined {
    const open = this.#open.get(id)
    if (open !== undefined) {
      clearTimeout(open.timer)
      this.#open.delete(id)
    }
    return open
  }

  #send(frame: Frame): void {
    if (!this.#gone) this.#channel.send(frame)
  }

  #fail(): void {
    this.#gone = true
    for (const id of this.#open.keys()) {
      this.#take(id)?.reject(new CordonError('STORE_UNAVAILABLE', 'the other process has gone'))
    }
  }
}
