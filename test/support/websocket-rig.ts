// A door of its own for WebSockets: the handshake is handed on, then the relay joins the sockets.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Judging, Verdict } from '../../src/proxy/client-messages.ts'
import { Deadlines } from '../../src/proxy/deadlines.ts'
import type { ClientMessage } from '../../src/proxy/held-message.ts'
import {
  WebSocketRelay,
  type WebSocketOptions,
  type WebSocketTotals,
} from '../../src/proxy/websocket-relay.ts'
import {
  isWebSocketUpgrade,
  switchFault,
  upgradeFault,
  withoutExtensions,
} from '../../src/websocket/upgrade.ts'

type Chosen = Partial<
  Pick<
    WebSocketOptions,
    'judge' | 'maxMessageBytes' | 'judgeBinary' | 'idleMs' | 'onServerText' | 'onServerTextEnd'
  >
> & {
  /** Of all held content. */
  readonly memoryBytes?: number
  /** Instead of a connection in the clear. */
  toOrigin?(): Duplex
  fromClient?(socket: Socket): Duplex
}

export class WebSocketDoor {
  readonly #server: Server
  readonly #originPort: number
  readonly #chosen: Chosen
  readonly #sockets = new Set<Socket>()
  readonly #changed: (() => void)[] = []
  #clock = 0
  readonly deadlines = new Deadlines(() => this.#clock, 1e6)
  readonly relays: WebSocketRelay[] = []
  readonly judged: ClientMessage[] = []
  readonly totals: WebSocketTotals[] = []
  readonly faults: unknown[] = []
  /** What is held now, and was at most. */
  held = 0
  mostHeld = 0
  /** The relay's legs, newest first. */
  legs: { client: Duplex; origin: Duplex }[] = []
  port = 0

  constructor(originPort: number, chosen: Chosen = {}) {
    this.#originPort = originPort
    this.#chosen = chosen
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      void this.#serve(chosen.fromClient?.(socket) ?? socket)
    })
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  /** Lets time pass. */
  pass(ms: number): void {
    this.#clock += ms
    this.deadlines.tick()
  }

  async untilEnded(count = 1): Promise<void> {
    while (this.totals.length < count) await this.#change()
  }

  async untilJudged(count = 1): Promise<void> {
    while (this.judged.length < count) await this.#change()
  }

  close(): void {
    this.#server.close()
    this.deadlines.close()
    for (const socket of this.#sockets) socket.destroy()
    for (const { origin } of this.legs) origin.destroy()
  }

  async #serve(client: Duplex): Promise<void> {
    const origin = this.#chosen.toOrigin?.() ?? connectTo(this.#originPort)
    origin.on('error', () => undefined)
    client.on('error', () => undefined)
    this.legs.unshift({ client, origin })
    const asked = await headOf(client)
    const request = { method: 'GET', ...asked }
    if (!isWebSocketUpgrade(request) || upgradeFault(request) !== undefined) {
      client.end('HTTP/1.1 400 Bad Request\r\n\r\n')
      origin.destroy()
      return
    }
    origin.write(textOf({ ...asked, fields: withoutExtensions(asked.fields) }))
    const answered = await headOf(origin)
    const fault = switchFault(request, answered)
    if (fault !== undefined) {
      client.end(`HTTP/1.1 502 ${fault}\r\n\r\n`)
      origin.destroy()
      return
    }
    client.write(textOf(answered))
    const relay = new WebSocketRelay(
      { client, origin, fromClient: asked.rest, fromOrigin: answered.rest },
      this.#options(),
    )
    this.relays.push(relay)
    relay.start()
  }

  #options(): WebSocketOptions {
    const { judge, memoryBytes = 1 << 30, ...chosen } = this.#chosen
    const memory: Judging['memory'] = {
      take: (bytes) => {
        if (this.held + bytes > memoryBytes) return false
        this.held += bytes
        this.mostHeld = Math.max(this.mostHeld, this.held)
        return true
      },
      give: (bytes) => {
        this.held -= bytes
      },
    }
    return {
      deadlines: this.deadlines,
      idleMs: 60_000,
      maxMessageBytes: 10 << 20,
      ...chosen,
      memory,
      judge: (message) => {
        this.judged.push(message)
        this.#tell()
        return judge?.(message) ?? { pass: true }
      },
      fault: (error) => this.faults.push(error),
      ended: (totals) => {
        this.totals.push(totals)
        this.#tell()
      },
    }
  }

  #tell(): void {
    for (const changed of this.#changed.splice(0)) changed()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#changed.push(resolve))
  }
}

/** A judge that answers when it is told to. */
export class SlowJudge {
  readonly #waiting: ((verdict: Verdict) => void)[] = []

  judge(): Promise<Verdict> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  answer(verdict: Verdict): void {
    this.#waiting.shift()?.(verdict)
  }
}

interface HeadText {
  readonly first: string
  readonly fields: readonly string[]
  readonly upgrade: string | undefined
  readonly rest: Buffer
}

/** Reads one head and leaves the socket without listeners, as the proxy does. */
async function headOf(socket: Duplex): Promise<HeadText> {
  let received = Buffer.alloc(0)
  while (!received.includes('\r\n\r\n')) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    received = Buffer.concat([received, chunk])
  }
  socket.pause()
  const end = received.indexOf('\r\n\r\n')
  const [first = '', ...lines] = received.toString('latin1', 0, end).split('\r\n')
  const fields = lines.flatMap((line) => {
    const name = line.slice(0, line.indexOf(':'))
    return [name, name.toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]
  })
  const at = fields.indexOf('upgrade')
  const upgrade = at === -1 ? undefined : fields[at + 1]
  return { first, fields, upgrade, rest: received.subarray(end + 4) }
}

function textOf({ first, fields }: Pick<HeadText, 'first' | 'fields'>): string {
  const lines = [first]
  for (let index = 0; index < fields.length; index += 3)
    lines.push(`${fields[index]}: ${fields[index + 2]}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

function connectTo(port: number): Socket {
  return connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
}
