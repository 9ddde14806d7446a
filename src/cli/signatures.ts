// `cordon signatures match`: which AI service does a URL belong to?

import { readCatalogue } from '../app/rules.ts'
import { CordonError } from '../base/errors.ts'
import { Catalogue } from '../signatures/catalogue.ts'
import { matchLine, matchUrl } from '../signatures/match-line.ts'
import { configOf, type ExitCode, type Io } from './io.ts'
import { eachLine } from './lines.ts'

export async function signaturesMatch(
  io: Io,
  url: string | undefined,
  options: {
    readonly config?: string
    readonly json?: boolean
    readonly header: readonly string[]
    readonly method?: string
    readonly userAgent?: string
    readonly stdin?: boolean
  },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const catalogue = new Catalogue(readCatalogue(config, io.env).services)
  if (options.stdin === true) {
    if (url !== undefined) throw new CordonError('INPUT_INVALID', 'give a URL or --stdin, not both')
    await eachLine(io, (line) => matchLine(catalogue, line))
    return 0
  }
  if (url === undefined) throw new CordonError('INPUT_INVALID', 'give a URL, or --stdin')
  const headers: Record<string, string> = {}
  for (const header of options.header) {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(header) ?? []
    if (name === undefined || value === undefined)
      throw new CordonError('INPUT_INVALID', `-H '${header}': must be 'Name: value'`)
    headers[name] = value
  }
  if (options.userAgent !== undefined) headers['user-agent'] = options.userAgent
  const result = matchUrl(catalogue, {
    url,
    headers,
    ...(options.method === undefined ? {} : { method: options.method }),
  })
  if ('error' in result) throw new CordonError('INPUT_INVALID', `${url}: ${result.error}`)
  if (options.json === true) io.out.write(`${JSON.stringify(result)}\n`)
  else
    io.out.write(
      result.service === null
        ? `${url}: no known AI service\n`
        : `${url}: ${result.service} (${result.match ?? ''})\n`,
    )
  return result.service === null ? 1 : 0
}
