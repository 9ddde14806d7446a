// A TCP relay that spoils what passes: slow, narrow, silent, cut or gone. What a network does to a store.

import { once } from 'node:events'
import { createServer, connect, type Server, type Socket } from 'node:net'

export interface Toxics {
  /** Added to every piece, each way, in milliseconds. */
  readonly latencyMs?: number
  /** Bytes a second and direction. */
  readonly bandwidth?: number
  /** Connections stay open and nothing passes: a switch that lost its table, a process that was stopped. */
  readonly silent?: boolean
}

export class ToxicRelay {
  readonly #target: { readonly host: string; readonly port: number }
  readonly #open = new Set<Socket>()
  #server: Server | undefined
  #toxics: Toxics = {}
  /** Told when they change: whoever waits looks again. */
  #changed = Promise.withResolvers<void>()
  port = 0

  constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target
  }

  async listen(): Promise<this> {
    this.#server = createServer((socket) => this.#join(socket))
    this.#server.listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (typeof address !== 'object' || address === null) throw new Error('the relay has no port')
    this.port = address.port
    return this
  }

  /** From now on, for what is open and what is to come; `{}` is a sound network. */
  set(toxics: Toxics): void {
    this.#toxics = toxics
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }

  /** Every open connection ends with RST; new ones are taken. */
  reset(): void {
    for (const socket of this.#open) socket.resetAndDestroy()
  }

  /** Nobody listens any more, and what was open is gone. `listen` brings it back on the same port. */
  async close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = once(server, 'close')
    server.close()
    this.reset()
    this.set(this.#toxics)
    await closed
  }

  #join(client: Socket): void {
    const target = connect(this.#target)
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#open.add(from)
      from.setNoDelay(true)
      from.on('error', () => undefined)
      from.on('close', () => {
        this.#open.delete(from)
        to.destroy()
      })
      void this.#relay(from, to)
    }
  }

  async #relay(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        await this.#delay(piece.length)
        while (this.#toxics.silent === true && !to.destroyed)
          await Promise.race([this.#changed.promise, once(to, 'close')])
        if (to.destroyed) return
        if (!to.write(piece)) await Promise.race([once(to, 'drain'), once(to, 'close')])
      }
      to.end()
    } catch {
      // One end was cut: its `close` takes the other one along.
    }
  }

  async #delay(bytes: number): Promise<void> {
    const { latencyMs = 0, bandwidth = Infinity } = this.#toxics
    const ms = latencyMs + (bytes / bandwidth) * 1000
    if (ms === 0) return
    await new Promise((resolve) => {
      setTimeout(resolve, ms)
    })
  }
}
