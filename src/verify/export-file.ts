// Checks an export that proves itself, line by line; what its lines are: src/verify/export-lines.ts.

import { createHash, hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import type { PublicKey } from '../proof/note.ts'
import { HASH_BYTES, leafHash, Tree } from '../proof/tree.ts'
import { checkKeys, isPinned } from './anchors.ts'
import { trailerText } from './export-lines.ts'
import { readHead, readRecord } from './record-head.ts'
import { Damaged, type Report, timeText, type WriterReport } from './report.ts'
import { type SignedCheckpoint, Trust, vkeys } from './trust.ts'

const MAX_LINE_BYTES = 1024 * 1024
const LINE_FEED = 10
const TRAILER = /^cordon ledger export\nrows \d+\nsha256 [0-9a-f]{64}\ntime (\S{1,40})\n$/

/** Whether a file begins as such an export does. */
export function isExport(head: string): boolean {
  return head.startsWith('{"cordon_export":1,')
}

/** `keys`: those that somebody has from elsewhere. */
export async function verifyExport(
  path: string,
  keys: readonly PublicKey[],
  onProgress: (records: number) => void,
): Promise<Report> {
  const check = new ExportCheck(basename(path), keys, onProgress)
  const damage = []
  try {
    for await (const line of linesOf(path)) check.line(line)
    check.end()
  } catch (error) {
    if (!(error instanceof Damaged)) throw error
    damage.push(error.damage)
  }
  const unjudged = check.unjudged()
  return {
    verdict: damage.length > 0 ? 'damaged' : unjudged.length > 0 ? 'unknown' : 'intact',
    of: path,
    installations: check.trusts.map((trust) => ({
      installation: trust.installation,
      keys: vkeys(trust.keys),
      writers: trust.entries,
    })),
    records: check.rows,
    writers: check.writers(),
    damage,
    unjudged,
    notes:
      keys.length > 0
        ? []
        : [
            'the keys are those of the file itself: with --key it shows, too, that they are the right ones',
          ],
  }
}

interface Section {
  readonly writer: string
  readonly trust: Trust
  readonly firstSeq: number
  readonly tree: Tree
  readonly checkpoint: SignedCheckpoint | undefined
  readonly leaves: Buffer[]
  count: number
  rows: number
  /** Rows that no checkpoint covers. */
  uncovered: number
  erased: number
  firstTime: number
  lastTime: number
}

class ExportCheck {
  readonly trusts: Trust[] = []
  rows = 0
  readonly #file: string
  readonly #given: readonly PublicKey[]
  readonly #onProgress: (records: number) => void
  readonly #digest = createHash('sha256')
  readonly #sections = new Map<string, Section>()
  #section: Section | undefined
  #number = 0
  #offset = 0
  #isSigned = false

  constructor(file: string, keys: readonly PublicKey[], onProgress: (records: number) => void) {
    this.#file = file
    this.#given = keys
    this.#onProgress = onProgress
  }

  /** A line with its end. Throws Damaged. */
  line(bytes: Buffer): void {
    this.#number += 1
    if (this.#isSigned) throw this.#damaged('stands behind the line that ends the export')
    const read = this.#parsed(bytes)
    if ('signature' in read) this.#trailer(read)
    else {
      this.#digest.update(bytes)
      if ('row' in read) this.#row(read)
      else if ('leaves' in read) this.#leaves(read)
      else if ('first_seq' in read) this.#begin(read)
      else if ('entry' in read) this.#entry(read)
      else if ('keys' in read) this.#keys(read)
      else if (this.#number !== 1) throw this.#damaged('is no line of an export')
    }
    this.#offset += bytes.length
  }

  end(): void {
    if (!this.#isSigned)
      throw this.#damaged('the line that ends the export is missing: it was cut off')
    checkKeys(this.#given, this.trusts)
  }

  unjudged(): string[] {
    const sections = [...this.#sections.values()].filter(({ rows }) => rows > 0)
    const strangers = new Set(
      sections.flatMap(({ trust }) =>
        isPinned(trust, this.#given)
          ? []
          : [
              `installation ${trust.installation}: none of the keys that were given is one of its keys, so who signed its records is not known: give its key, too`,
            ],
      ),
    )
    const uncovered = sections.flatMap(({ writer, uncovered: rows }) =>
      rows === 0
        ? []
        : [
            `writer ${writer}: ${rows} rows are covered by no checkpoint: one follows every ten seconds, so export them again`,
          ],
    )
    return [...strangers, ...uncovered]
  }

  writers(): WriterReport[] {
    return [...this.#sections.values()].map((section) => ({
      writer: section.writer,
      state: 'intact',
      records: section.rows,
      first_seq: section.rows === 0 ? null : section.firstSeq,
      last_seq: section.rows === 0 ? null : section.firstSeq + section.count - 1,
      first_time: timeText(section.firstTime) ?? null,
      last_time: timeText(section.lastTime) ?? null,
      checkpoint:
        section.checkpoint === undefined
          ? null
          : {
              size: section.checkpoint.size,
              time: new Date(section.checkpoint.time).toISOString(),
            },
      beyond_checkpoint: Math.max(0, section.tree.size - (section.checkpoint?.size ?? 0)),
      torn_bytes: 0,
      erased: section.erased,
      gaps: [],
    }))
  }

  #parsed(bytes: Buffer): Readonly<Record<string, unknown>> {
    try {
      const read: unknown = JSON.parse(bytes.toString('utf8'))
      if (typeof read === 'object' && read !== null) return read as Record<string, unknown>
    } catch {
      // Told below.
    }
    throw this.#damaged('is no line of an export')
  }

  #keys({ installation, keys }: Readonly<Record<string, unknown>>): void {
    if (typeof installation !== 'string' || !Array.isArray(keys))
      throw this.#damaged('is no line of an export')
    const kept = (keys as { vkey?: unknown; note?: unknown }[]).map(({ vkey, note }) => ({
      vkey: String(vkey),
      note: typeof note === 'string' ? note : undefined,
    }))
    this.trusts.push(new Trust(installation, kept, () => this.#place()))
  }

  #entry({ entry }: Readonly<Record<string, unknown>>): void {
    const trust = this.trusts.at(-1)
    if (trust === undefined) throw this.#damaged('is an entry of a list of writers without keys')
    trust.enrol(String(entry), this.#place())
  }

  #begin(read: Readonly<Record<string, unknown>>): void {
    this.#close()
    const { writer, installation, first_seq: firstSeq, frontier, checkpoint: note } = read
    const trust = this.trusts.find((each) => each.installation === installation)
    if (typeof writer !== 'string' || !Number.isSafeInteger(firstSeq) || !Array.isArray(frontier))
      throw this.#damaged('is no line of an export')
    if (trust === undefined || !trust.writers.has(writer))
      throw this.#damaged(`no list of writers knows writer ${writer}`)
    const hashes = frontier.map((each) => Buffer.from(String(each), 'base64'))
    let tree
    try {
      tree = new Tree(Number(firstSeq) - 1, hashes)
    } catch {
      throw this.#damaged('has a frontier of another size')
    }
    this.#section = {
      writer,
      trust,
      firstSeq: Number(firstSeq),
      tree,
      checkpoint:
        typeof note === 'string' ? trust.checkpoint(note, writer, this.#place()) : undefined,
      leaves: [],
      count: 0,
      rows: 0,
      uncovered: 0,
      erased: 0,
      firstTime: Infinity,
      lastTime: -Infinity,
    }
    this.#sections.set(writer, this.#section)
    this.#compare(this.#section)
  }

  #leaves({ leaves }: Readonly<Record<string, unknown>>): void {
    const section = this.#section
    const hashes = Buffer.from(String(leaves), 'base64')
    if (section === undefined || hashes.length === 0 || hashes.length % HASH_BYTES !== 0)
      throw this.#damaged('is no line of leaves')
    for (let at = 0; at < hashes.length; at += HASH_BYTES) {
      section.tree.append(hashes.subarray(at, at + HASH_BYTES))
      this.#compare(section)
    }
    section.leaves.push(hashes)
    section.count += hashes.length / HASH_BYTES
  }

  #compare({ writer, tree, checkpoint }: Section): void {
    if (checkpoint?.size === tree.size && !checkpoint.root.equals(tree.root()))
      throw new Damaged({
        ...this.#place(),
        writer,
        what: `the leaves up to ${tree.size} are not those of the tree that the checkpoint has signed`,
      })
  }

  /** Behind the leaves of a writer. */
  #close(): void {
    const section = this.#section
    this.#section = undefined
    if (section === undefined || section.tree.size >= (section.checkpoint?.size ?? 0)) return
    throw new Damaged({
      ...this.#place(),
      writer: section.writer,
      what: `the leaves end with ${section.tree.size}, the checkpoint covers ${section.checkpoint?.size ?? 0}`,
    })
  }

  #row({ row, writer, seq, record, personal }: Readonly<Record<string, unknown>>): void {
    this.#close()
    const text = Buffer.from(String(record))
    const head = readHead(text)
    const section = this.#sections.get(String(writer))
    const place = { ...this.#place(), writer: String(writer), seq: Number(seq), time: head?.time }
    if (row !== this.rows + 1)
      throw new Damaged({
        ...place,
        what: `row ${String(row)} stands where row ${this.rows + 1} should`,
      })
    if (head === undefined || readRecord(text) === undefined)
      throw new Damaged({ ...place, what: 'is no record of a ledger' })
    if (head.writer !== writer || head.seq !== seq)
      throw new Damaged({ ...place, what: `holds record ${head.seq} of writer ${head.writer}` })
    const noted = section === undefined ? undefined : leafOf(section, head.seq)
    if (section === undefined || noted?.equals(leafHash(text)) !== true)
      throw new Damaged({ ...place, what: 'the record is not the one that was written' })
    const part = Buffer.from(typeof personal === 'string' ? personal : '', 'base64')
    if (part.length > 0 && hash('sha256', part) !== head.personalHash)
      throw new Damaged({ ...place, what: 'the personal part is not that of the record' })
    if (part.length === 0 && head.personalHash !== undefined) section.erased += 1
    section.rows += 1
    if (head.seq > (section.checkpoint?.size ?? 0)) section.uncovered += 1
    section.firstTime = Math.min(section.firstTime, head.time)
    section.lastTime = Math.max(section.lastTime, head.time)
    this.rows += 1
    this.#onProgress(1)
  }

  #trailer({ rows, sha256, signature }: Readonly<Record<string, unknown>>): void {
    this.#close()
    this.#isSigned = true
    const note = String(signature)
    const [, time = ''] = TRAILER.exec(note.slice(0, note.lastIndexOf('\n\n') + 1)) ?? []
    const text = trailerText(Number(rows), String(sha256), time)
    // Whose key is not known could have put any keys of its own into the file.
    const isSigned = this.trusts.some((trust) => {
      if (!isPinned(trust, this.#given)) return false
      try {
        return trust.open(note, {}, '').text === text
      } catch {
        return false
      }
    })
    if (!isSigned)
      throw this.#damaged(
        this.#given.length === 0
          ? 'is not signed by a key of this ledger'
          : 'is not signed by a ledger whose key was given',
      )
    if (rows !== this.rows)
      throw this.#damaged(`${String(rows)} rows were exported, here are ${this.rows}`)
    if (this.#digest.digest('hex') !== sha256)
      throw this.#damaged('the lines before are not those that were signed')
  }

  #place(): { readonly file: string; readonly offset: number } {
    return { file: `${this.#file} line ${this.#number}`, offset: this.#offset }
  }

  #damaged(what: string): Damaged {
    return new Damaged({ ...this.#place(), what })
  }
}

/** Lines of leaves have one length, but for the first, which may begin inside a row of the store, and the last. */
function leafOf({ leaves, firstSeq }: Section, seq: number): Buffer | undefined {
  const [first = Buffer.alloc(0), second] = leaves
  const at = (seq - firstSeq) * HASH_BYTES
  const beyond = at - first.length
  const found =
    beyond < 0 || second === undefined
      ? first.subarray(Math.max(0, at), at + HASH_BYTES)
      : leaves[1 + Math.floor(beyond / second.length)]?.subarray(
          beyond % second.length,
          (beyond % second.length) + HASH_BYTES,
        )
  return at < 0 || found?.length !== HASH_BYTES ? undefined : found
}

/** Lines with their ends. Throws Damaged for one that is longer than any of ours. */
async function* linesOf(path: string): AsyncGenerator<Buffer> {
  let pending: Buffer = Buffer.alloc(0)
  for await (const part of createReadStream(path, { highWaterMark: MAX_LINE_BYTES })) {
    pending = pending.length === 0 ? (part as Buffer) : Buffer.concat([pending, part as Buffer])
    let from = 0
    for (let end = pending.indexOf(LINE_FEED); end !== -1; end = pending.indexOf(LINE_FEED, from)) {
      yield pending.subarray(from, end + 1)
      from = end + 1
    }
    pending = pending.subarray(from)
    if (pending.length > MAX_LINE_BYTES)
      throw new Damaged({
        file: basename(path),
        what: 'has a line that is longer than any of an export',
      })
  }
  if (pending.length > 0) yield pending
}
