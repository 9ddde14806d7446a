// A server of bundles as OPA expects it: a bearer token, ETag, 304, and a long poll.

import { createHash } from 'node:crypto'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const TYPE = 'application/vnd.openpolicyagent.bundles'

/** Whoever asks needs `Bearer a-token`. */
export class BundleServer {
  readonly asked: IncomingHttpHeaders[] = []
  /** In place of the tag of the bytes: one that stays the same says that nothing has changed. */
  tag: string | undefined
  port = 0
  #bytes: Buffer = Buffer.alloc(0)
  readonly #waiting: { readonly response: ServerResponse; readonly timer: NodeJS.Timeout }[] = []
  readonly #server = createServer((incoming, response) => {
    this.asked.push(incoming.headers)
    if (incoming.headers.authorization !== 'Bearer a-token') {
      response.writeHead(401).end()
      return
    }
    const wait = Number(/wait=(\d+)/.exec(String(incoming.headers['prefer']))?.[1] ?? 0)
    if (incoming.headers['if-none-match'] !== this.etag) this.#send(response)
    else if (wait === 0) this.#same(response)
    else {
      const timer = setTimeout(() => this.#same(response), wait * 1000)
      this.#waiting.push({ response, timer })
    }
  })

  get etag(): string {
    return this.tag ?? `"${createHash('sha256').update(this.#bytes).digest('hex')}"`
  }

  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
    this.port = (this.#server.address() as AddressInfo).port
    return this
  }

  offer(bytes: Buffer): void {
    this.#bytes = bytes
    for (const { response, timer } of this.#waiting.splice(0)) {
      clearTimeout(timer)
      this.#send(response)
    }
  }

  close(): void {
    for (const { timer } of this.#waiting) clearTimeout(timer)
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #send(response: ServerResponse): void {
    response.writeHead(200, { 'content-type': TYPE, etag: this.etag }).end(this.#bytes)
  }

  #same(response: ServerResponse): void {
    response.writeHead(304, { 'content-type': TYPE, etag: this.etag }).end()
  }
}
