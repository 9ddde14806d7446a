// The command line in this process: the same function that the program calls, over streams of our own.
// A process costs half a second; what a process alone can show is shown with `cordon()` of cordon.ts.

import { tmpdir } from 'node:os'
import { env } from 'node:process'
import { PassThrough } from 'node:stream'
import type { Io } from '../../src/cli/io.ts'
import { runCli } from '../../src/cli/program.ts'

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

export async function run(
  args: readonly string[],
  options: {
    readonly input?: string | Buffer
    readonly cwd?: string
    readonly env?: Readonly<Record<string, string>>
    /** Whether somebody sits before it. */
    readonly isTerminal?: boolean
  } = {},
): Promise<Ran> {
  const [input, out, err] = [new PassThrough(), new PassThrough(), new PassThrough()]
  input.end(options.input ?? '')
  const texts = [collect(out), collect(err)] as const
  const code = await runCli(args, {
    in: Object.assign(input, { isTTY: options.isTerminal === true }) as unknown as Io['in'],
    out: out as unknown as Io['out'],
    err: err as unknown as Io['err'],
    env: {
      HOME: env['HOME'],
      PATH: env['PATH'],
      XDG_CACHE_HOME: env['XDG_CACHE_HOME'],
      ...options.env,
    },
    cwd: options.cwd ?? tmpdir(),
  })
  out.end()
  err.end()
  const [printed, said] = await Promise.all(texts)
  return { code, out: printed, err: said }
}

async function collect(stream: PassThrough): Promise<string> {
  let text = ''
  for await (const part of stream) text += (part as Buffer).toString('utf8')
  return text
}
