// What goes out next on one leg: head, content and end of a message, gathered and written at once.
//
// A head and the first bytes of its body leave in one write; the chunks of one read leave as one chunk.
// Nothing waits: whoever adds, flushes before the turn of the event loop ends.

import type { Socket } from 'node:net'
import type { FieldList } from '../http1/message.ts'
import { bodyEnd, chunkLine } from '../http1/write.ts'

/** Up to here copying is cheaper than another buffer for the kernel. */
const COPY_BYTES = 16_384

export class Outgoing {
  #text = ''
  #parts: Buffer[] = []
  #bytes = 0
  #end = ''
  /** Whether content is written in chunks. */
  chunked = false

  /** Adds text in latin1; content may follow, text after content may not. */
  head(text: string): void {
    this.#text += text
  }

  content(bytes: Buffer): void {
    this.#parts.push(bytes)
    this.#bytes += bytes.length
  }

  /** The body is complete. */
  end(trailers: FieldList): void {
    if (this.chunked) this.#end = bodyEnd(trailers)
  }

  /** Forgets what was not written. */
  clear(): void {
    this.#text = ''
    this.#end = ''
    this.#parts = []
    this.#bytes = 0
  }

  /** Writes what has gathered; false where the socket should be given no more until it drains. */
  flush(socket: Socket): boolean {
    const bytes = this.#bytes
    let before = this.#text
    let after = this.#end
    if (bytes === 0) {
      if (before === '' && after === '') return true
      this.#text = ''
      this.#end = ''
      return socket.write(before + after, 'latin1')
    }
    if (this.chunked) {
      before += chunkLine(bytes)
      after = `\r\n${after}`
    }
    const parts = this.#parts
    this.clear()
    if (bytes <= COPY_BYTES) return socket.write(join(before, parts, after, bytes))
    socket.cork()
    if (before !== '') socket.write(before, 'latin1')
    let open = true
    for (const part of parts) open = socket.write(part)
    if (after !== '') open = socket.write(after, 'latin1')
    socket.uncork()
    return open
  }
}

function join(before: string, parts: readonly Buffer[], after: string, bytes: number): Buffer {
  const [first] = parts
  if (before === '' && after === '' && parts.length === 1 && first !== undefined) return first
  const joined = Buffer.allocUnsafe(before.length + bytes + after.length)
  let at = joined.write(before, 0, 'latin1')
  for (const part of parts) at += part.copy(joined, at)
  joined.write(after, at, 'latin1')
  return joined
}
