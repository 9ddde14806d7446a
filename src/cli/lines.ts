// Commands that answer one line for each line of stdin, in order.

import { type Io, writeOut } from './io.ts'

const MAX_LINE_BYTES = 16 * 1024 * 1024

/** Calls `answer` for every non-empty line; a line beyond 16 MiB ends with an error in its place. */
export async function eachLine(
  io: Io,
  answer: (line: string) => string | Promise<string>,
): Promise<void> {
  let pending: Buffer[] = []
  let size = 0
  const flush = async (): Promise<boolean> => {
    const line =
      size > MAX_LINE_BYTES ? undefined : Buffer.concat(pending).toString('utf8').replace(/\r$/, '')
    pending = []
    size = 0
    const text =
      line === undefined
        ? JSON.stringify({ error: `line longer than ${MAX_LINE_BYTES} bytes` })
        : await answer(line)
    return writeOut(io, `${text}\n`)
  }
  for await (const part of io.in) {
    const chunk = part as Buffer
    let from = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      keep(chunk.subarray(from, end))
      if (!(await flush())) return
      from = end + 1
    }
    keep(chunk.subarray(from))
  }
  if (size > 0) await flush()

  function keep(piece: Buffer): void {
    size += piece.length
    if (size <= MAX_LINE_BYTES) pending.push(piece)
  }
}
