// What a WebSocket client says, message by message: held, judged one after the other, passed on in order.
//
// Text is held until its message is complete or its first `maxMessageBytes` are here; what a judge sees
// has not left. Everything after a message that is being judged waits, but for pings and pongs, which pass
// at once so that a long judgement breaks no connection. Little may wait: beyond, nothing is read.

import { FrameReader } from '../websocket/frames.ts'
import { CLOSE, CONTINUATION } from '../websocket/opcodes.ts'
import { textFrame } from '../websocket/write.ts'
import { type ClientMessage, Held } from './held-message.ts'

export type Verdict =
  | {
      readonly pass: true
      /** What goes out in its place; not possible for a truncated message. */
      readonly text?: string
      /** Called once, when the message has gone out or never will. */
      finish?(): void
    }
  /** See `closeReason`. */
  | { readonly pass: false; readonly closeReason: string }

/** A share of the memory that all held content has together. */
export interface HeldMemory {
  /** False: there is no more. */
  take(bytes: number): boolean
  give(bytes: number): void
}

export interface Judging {
  /** So much of a message is held and searched. */
  readonly maxMessageBytes: number
  readonly memory: HeldMemory
  /** Whether binary messages are judged too, by their size. */
  readonly judgeBinary?: boolean
  judge(message: ClientMessage): Verdict | Promise<Verdict>
  /** A judge failed: its message has not passed, and the connection ends. */
  fault(error: unknown): void
}

export interface MessagesOwner {
  toOrigin(bytes: Buffer): void
  /** Nothing more may pass. */
  refuse(code: number, reason: string): void
  /** The client's frames cannot be read any further. */
  clientFailed(code: number, reason: string): void
  /** The client's close frame has come, and everything it said before has passed or is forgotten. */
  clientClosed(code: number): void
  /** The client's end has come, after everything it said before. */
  clientEnded(): void
  /** Reading may have to pause or to go on. */
  flow(): void
}

/** So many bytes may wait for a judgement. */
const WAITING_BYTES = 64 * 1024
/** What an entry of the queue costs beside its bytes. */
const ENTRY_BYTES = 512
/** Frames' heads may take up as much room as their payloads; fragments beyond that cut a message short. */
const HEADS = 4096

export class ClientMessages {
  readonly #owner: MessagesOwner
  readonly #judging: Judging
  readonly #reader = new FrameReader(true)
  /** Bytes that pass, and messages to be judged first. */
  #queue: (Buffer | Held)[] = []
  #waiting = 0
  /** The message that is being assembled: always the last, so not yet in the queue. */
  #held: Held | undefined
  #judged: Held | undefined
  #ended = false
  #stopped = false
  #midFrame = false
  /** Messages that have begun. */
  count = 0
  refused = 0

  constructor(owner: MessagesOwner, judging: Judging) {
    this.#owner = owner
    this.#judging = judging
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk)
    this.#read()
  }

  /** The client has ended its side. */
  end(): void {
    this.#ended = true
    this.#endIfDone()
  }

  /** Forgets what has not passed; from now on only the client's close frame counts. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    for (const entry of this.#queue) if (entry instanceof Held) this.#giveBack(entry)
    if (this.#held !== undefined) this.#giveBack(this.#held)
    this.#queue = []
    this.#held = undefined
    this.#waiting = 0
    // What was not read for the sake of order is no longer waited for.
    this.#read()
  }

  /** Whether as much waits as may. */
  get full(): boolean {
    if (this.#stopped || this.#judged === undefined) return false
    return this.#waiting + (this.#held?.raw.length ?? 0) > WAITING_BYTES
  }

  /** Whether the origin has got a part of a frame: then no other frame can be sent to it. */
  get midFrame(): boolean {
    return this.#midFrame
  }

  /** Whether the client has sent its close frame. */
  get hasClosed(): boolean {
    return this.#reader.closeCode !== 0
  }

  /** Whether the client's bytes can no longer be read. */
  get hasFailed(): boolean {
    return this.#reader.failure !== undefined
  }

  #read(): void {
    const reader = this.#reader
    while (!this.full) {
      switch (reader.next()) {
        case 'more':
          reader.release()
          return
        case 'frame':
          if (!this.#stopped) this.#frame()
          break
        case 'payload':
          if (!this.#stopped) this.#payload()
          break
        case 'end':
          if (!this.#stopped) this.#frameEnd()
          break
        case 'control':
          this.#control()
          break
        default: {
          const { failure } = reader
          if (failure !== undefined && !this.#stopped)
            this.#owner.clientFailed(failure.code, failure.reason)
          return
        }
      }
    }
  }

  #frame(): void {
    const { opcode, text, raw } = this.#reader
    if (opcode !== CONTINUATION) {
      this.count += 1
      if (text || this.#judging.judgeBinary === true) this.#held = new Held(text)
    }
    if (this.#held === undefined) this.#pass(raw)
    else this.#hold(this.#held, raw, undefined)
  }

  #payload(): void {
    const { raw, text, clear } = this.#reader
    if (this.#held === undefined) this.#pass(raw)
    else this.#hold(this.#held, raw, text ? clear : raw)
  }

  #frameEnd(): void {
    this.#midFrame = false
    if (this.#held !== undefined && this.#reader.fin) this.#ready(this.#held)
  }

  #control(): void {
    const { opcode, raw } = this.#reader
    if (opcode !== CLOSE) {
      if (!this.#stopped) this.#owner.toOrigin(raw)
      return
    }
    if (!this.#stopped) {
      // A message without its end comes to nothing.
      if (this.#held !== undefined) this.#giveBack(this.#held)
      this.#held = undefined
      this.#pass(raw)
    }
    if (this.#stopped || this.#isDone) this.#owner.clientClosed(this.#reader.closeCode)
  }

  #hold(held: Held, raw: Buffer, payload: Buffer | undefined): void {
    const { maxMessageBytes, memory } = this.#judging
    const room = maxMessageBytes - held.bytes
    const cost = held.costOf(raw, payload)
    if (!memory.take(cost)) {
      this.#owner.refuse(1013, 'too much waits to be searched')
      return
    }
    held.cost += cost
    held.add(raw, payload?.subarray(0, room))
    held.truncated = (payload?.length ?? 0) > room || held.raw.length > 2 * maxMessageBytes + HEADS
    if (held.truncated) this.#ready(held)
  }

  /** The message can be judged; what still comes of it only passes. */
  #ready(held: Held): void {
    this.#held = undefined
    this.#queue.push(held)
    this.#waiting += held.raw.length + ENTRY_BYTES
    this.#advance()
  }

  #pass(raw: Buffer): void {
    if (this.#isDone) this.#send(raw)
    else {
      this.#queue.push(raw)
      this.#waiting += raw.length + ENTRY_BYTES
    }
  }

  get #isDone(): boolean {
    return this.#judged === undefined && this.#queue.length === 0
  }

  #advance(): void {
    while (!this.#stopped && this.#judged === undefined) {
      const entry = this.#queue.shift()
      if (entry === undefined) break
      if (entry instanceof Held) {
        this.#waiting -= entry.raw.length + ENTRY_BYTES
        this.#judge(entry)
      } else {
        this.#waiting -= entry.length + ENTRY_BYTES
        this.#send(entry)
      }
    }
  }

  #judge(held: Held): void {
    let verdict: Verdict | Promise<Verdict>
    try {
      verdict = this.#judging.judge(held.message())
    } catch (fault) {
      this.#fault(held, fault)
      return
    }
    if (!(verdict instanceof Promise)) {
      this.#decided(held, verdict)
      return
    }
    this.#judged = held
    verdict
      .then(
        (found) => this.#decided(held, found),
        (fault: unknown) => this.#fault(held, fault),
      )
      .then(() => this.#goOn())
      .catch((fault: unknown) => this.#fault(held, fault))
  }

  #goOn(): void {
    this.#advance()
    this.#read()
    if (this.hasClosed && this.#isDone && !this.#stopped)
      this.#owner.clientClosed(this.#reader.closeCode)
    this.#endIfDone()
    this.#owner.flow()
  }

  #decided(held: Held, verdict: Verdict): void {
    this.#judged = undefined
    if (!verdict.pass) {
      this.refused += 1
      if (!this.#stopped) this.#owner.refuse(1008, verdict.closeReason)
    } else if (!this.#stopped) {
      const { text } = verdict
      if (text === undefined) this.#send(held.raw.bytes)
      else if (held.truncated || !held.isText) {
        this.#owner.refuse(1011, 'the message cannot be rewritten')
      } else this.#owner.toOrigin(textFrame(text, true))
    }
    this.#giveBack(held)
    if (verdict.pass) verdict.finish?.()
  }

  #fault(held: Held, fault: unknown): void {
    this.#judged = undefined
    this.#giveBack(held)
    this.#judging.fault(fault)
    if (!this.#stopped) this.#owner.refuse(1011, 'the message could not be judged')
  }

  #send(bytes: Buffer): void {
    this.#owner.toOrigin(bytes)
    this.#midFrame = this.#reader.midFrame && this.#queue.length === 0
  }

  #giveBack(held: Held): void {
    this.#judging.memory.give(held.cost)
    held.cost = 0
  }

  #endIfDone(): void {
    if (this.#ended && this.#isDone && !this.#stopped) this.#owner.clientEnded()
  }
}
