// What does a body say? Holds as much of it as is searched, undoes its codings and has its format read.
//
// A body is held where a policy may read it, and where an unknown host may speak an AI wire format.
// All held bodies of this process share one budget; the rest of a larger body follows unsearched.

import type { Foreseen } from '../decision/decide.ts'
import { type FieldList, fieldValue, type RequestHead } from '../http1/message.ts'
import type { Span } from '../model/finding.ts'
import type { VisibilityReason } from '../model/record.ts'
import type { Destination, OfferedContent } from '../model/request.ts'
import { isWebSocketUpgrade } from '../websocket/upgrade.ts'
import { decode, type DecodeProblem } from '../wire/coding.ts'
import { expectedOf, type WireHead } from '../wire/request.ts'
import type { BodyReader, BodyReading } from './body-reader.ts'
import { HeldParts } from './held-parts.ts'

export interface InspectorOptions {
  /** Of one body, in bytes; read anew for every request. */
  readonly maxBytes: () => number
  /** Of all bodies held at one moment. */
  readonly memory: number
  readonly reader: BodyReader
}

/** Enough to tell a wire format, where no policy wants to know what is said. */
const SUSPECT_BYTES = 256 * 1024

export class Inspector {
  readonly #options: InspectorOptions
  #held = 0

  constructor(options: InspectorOptions) {
    this.#options = options
  }

  get maxBytes(): number {
    return this.#options.maxBytes()
  }

  /** What the head says, and whether the body is to be read before anything is decided. */
  begin(head: RequestHead, destination: Destination, foreseen: Foreseen): Inspection {
    const wire = wireHead(head, destination, foreseen)
    const { format, kind, mayBeAi } = expectedOf(wire)
    const { service, readsContent } = foreseen
    const hasBody = head.chunked || head.contentLength > 0
    // A body that does not say what it is, at a path that says nothing, is left alone.
    const suspect =
      service === undefined &&
      mayBeAi &&
      (format !== undefined || wire.header('content-type') !== undefined)
    const most = readsContent ? this.maxBytes : Math.min(this.maxBytes, SUSPECT_BYTES)
    const upgrades = isWebSocketUpgrade(head)
    return new Inspection(this, wire, head.fields, most, {
      format: service === undefined ? undefined : format,
      action:
        service === undefined || kind === 'other'
          ? 'access_ai_service'
          : kind === 'prompt'
            ? 'send_prompt'
            : 'upload_file',
      holds: hasBody && (readsContent || suspect),
      readsMessages: upgrades && (service !== undefined || readsContent || mayBeAi),
    })
  }

  get reader(): BodyReader {
    return this.#options.reader
  }

  take(bytes: number): boolean {
    if (this.#held + bytes > this.#options.memory) return false
    this.#held += bytes
    return true
  }

  give(bytes: number): void {
    this.#held -= bytes
  }
}

/** What a request turned out to be; before its body was read, as far as the head tells. */
export interface Foretold {
  readonly format: string | undefined
  readonly action: string
  /** Whether the body is to be read. */
  readonly holds: boolean
  /** Whether it asks for a WebSocket whose messages are to be read. */
  readonly readsMessages: boolean
}

const NO_TEXT: OfferedContent = { text: '', media_type: 'application/octet-stream' }

export class Inspection {
  readonly #inspector: Inspector
  readonly #fields: FieldList
  readonly #most: number
  readonly #parts = new HeldParts()
  /** Bytes of the budget: of the body as it came, and without its codings. */
  #taken = 0
  /** What is remembered once the body is not. */
  #told:
    | { readonly format: string | undefined; readonly unseen: VisibilityReason | undefined }
    | undefined
  #reading: BodyReading | undefined
  #fault: VisibilityReason | undefined
  #truncated = false
  readonly wire: WireHead
  readonly foretold: Foretold

  /** `most`: of the body, in bytes, as much as is held. */
  constructor(
    inspector: Inspector,
    wire: WireHead,
    fields: FieldList,
    most: number,
    foretold: Foretold,
  ) {
    this.#inspector = inspector
    this.#fields = fields
    this.wire = wire
    this.#most = most
    this.foretold = foretold
  }

  /** Keeps a part of the body; `full`: what is searched is here; `no_memory`: there is no room for it. */
  push(bytes: Buffer): 'more' | 'full' | 'no_memory' {
    if (!this.#take(this.#parts.growth(bytes))) return 'no_memory'
    this.#parts.add(bytes)
    // A body of just as much as is searched is searched whole.
    return this.#parts.size > this.#most ? 'full' : 'more'
  }

  /** The body as it came, to be sent on. */
  get parts(): readonly Buffer[] {
    return this.#parts.list
  }

  /** Nothing of the body is needed any more. */
  release(): void {
    if (this.#told !== undefined) return
    // A stream may go on for minutes: of its request only this is remembered.
    this.#told = { format: this.format, unseen: this.unseen }
    this.#inspector.give(this.#taken)
    this.#taken = 0
    this.#parts.clear()
    this.#reading?.release?.()
    this.#reading = undefined
  }

  /** Reads what is held; `complete`: that is all of it. */
  read(complete: boolean): void | Promise<void> {
    this.#truncated = !complete
    const { list } = this.#parts
    const body = list.length === 1 ? list[0] : Buffer.concat(list)
    const codings = this.wire.header('content-encoding')
    if (body === undefined) return undefined
    if (codings === undefined || codings === '' || codings.toLowerCase() === 'identity') {
      return this.#readDecoded(body)
    }
    const decoded = decode(body, codings, {
      maxBytes: this.#inspector.maxBytes,
      partial: !complete,
      take: (bytes) => this.#take(bytes),
    })
    return decoded instanceof Promise
      ? decoded.then((found) => this.#decoded(found))
      : this.#decoded(decoded)
  }

  get format(): string | undefined {
    if (this.#told !== undefined) return this.#told.format
    return this.#reading === undefined ? this.foretold.format : this.#reading.format
  }

  get action(): string {
    return this.#reading?.action ?? this.foretold.action
  }

  get model(): string | undefined {
    return this.#reading?.model
  }

  get canRedact(): boolean {
    return this.#reading?.parsed === true && !this.#truncated
  }

  /** Why not all of it was seen; undefined where it was. */
  get unseen(): VisibilityReason | undefined {
    if (this.#told !== undefined) return this.#told.unseen
    if (!this.foretold.holds) return 'not_read'
    if (this.#fault !== undefined) return this.#fault
    if (this.#truncated) return 'too_large'
    return this.#reading?.parsed === true ? undefined : 'unparsed'
  }

  /** What the corridor searches; undefined where no body was read. */
  content(bytes: number): OfferedContent | undefined {
    if (!this.foretold.holds) return undefined
    const reading = this.#reading
    const text = reading?.text
    const searched = reading?.searched
    return {
      ...(text === undefined ? NO_TEXT : { text, media_type: 'text/plain' }),
      ...(searched === undefined ? {} : { searched }),
      message: {
        parsed: reading?.parsed === true,
        truncated: this.#truncated || this.#fault === 'too_large',
        bytes: Math.max(bytes, this.#parts.size),
        tools: reading?.tools ?? [],
        attachments: reading?.attachments ?? [],
        ...(reading?.stream === undefined ? {} : { stream: reading.stream }),
        ...(reading?.max_tokens === undefined ? {} : { max_tokens: reading.max_tokens }),
      },
    }
  }

  /** The body with these places replaced, without its codings; undefined where that cannot be done. */
  redacted(spans: readonly Span[]): Buffer | undefined | Promise<Buffer | undefined> {
    return this.#reading?.redact(spans)
  }

  /** There was no room for the body without its codings. */
  get exhausted(): boolean {
    return this.#fault === 'no_memory'
  }

  #take(bytes: number): boolean {
    if (this.#told !== undefined || !this.#inspector.take(bytes)) return false
    this.#taken += bytes
    return true
  }

  #decoded(decoded: Buffer | DecodeProblem): void | Promise<void> {
    if (Buffer.isBuffer(decoded)) return this.#readDecoded(decoded)
    this.#fault = decoded.problem
    if (decoded.bytes === undefined) return undefined
    this.#truncated = true
    return this.#readDecoded(decoded.bytes)
  }

  #readDecoded(bytes: Buffer): void | Promise<void> {
    const { reader, maxBytes } = this.#inspector
    const reading = reader.read({
      head: this.wire,
      fields: this.#fields,
      bytes,
      truncated: this.#truncated,
      maxBytes,
    })
    if (!(reading instanceof Promise)) {
      this.#reading = reading
      return undefined
    }
    return reading.then((found) => {
      // Whoever asked may have gone meanwhile.
      if (this.#told === undefined) this.#reading = found
      else found.release?.()
    })
  }
}

function wireHead(head: RequestHead, destination: Destination, { service }: Foreseen): WireHead {
  const { path = '/', query } = destination
  return {
    method: head.method,
    path,
    header: (name) => fieldValue(head.fields, name),
    ...(query === undefined ? {} : { query }),
    ...(service?.protocol === undefined ? {} : { protocol: service.protocol }),
  }
}
