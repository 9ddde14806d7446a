// What the code says of itself, as tables: settings, errors, metrics, findings, routes, commands.

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { KeyRing } from '../src/api/key.ts'
import { type ApiParts, openApi } from '../src/api/server.ts'
import { NEEDS_START } from '../src/app/reload.ts'
import { CordonError, ERROR_CODES, type ErrorCode } from '../src/base/errors.ts'
import { guard, type Io } from '../src/cli/io.ts'
import { runCli } from '../src/cli/program.ts'
import type { Leaf } from '../src/config/leaf.ts'
import { leavesOf } from '../src/config/load.ts'
import { PROGRAM_DIR, SCHEMA } from '../src/config/schema.ts'
import { SECRET_SHAPES } from '../src/content/secret-shapes.ts'
import { Metrics } from '../src/observe/metrics.ts'
import { PINNED } from '../src/signatures/pinned.ts'

interface Place {
  readonly page: string
  readonly name: string
}

export type Block = Place &
  (
    | {
        readonly kind: 'table'
        readonly head: readonly string[]
        /** Cells from the code; the first one is the row's name. */
        readonly rows: readonly (readonly string[])[]
        /** How many columns after them are written by hand. */
        readonly written: number
      }
    | { readonly kind: 'text'; readonly text: string }
  )

export async function blocks(): Promise<readonly Block[]> {
  return [
    settings(),
    pinned(),
    await errors(),
    metrics(),
    findings(),
    await routes(),
    await commands(),
  ]
}

function settings(): Block {
  return {
    page: 'config.md',
    name: 'settings',
    kind: 'table',
    head: ['setting', 'default', 'expects', 'changes by', 'meaning'],
    rows: [...leavesOf(SCHEMA, '')].map(([path, leaf]) => [
      code(path),
      defaultText(leaf),
      leaf.secret ? `${leaf.expects}; a secret` : leaf.expects,
      NEEDS_START.test(path) ? 'restart' : 'reload',
    ]),
    written: 1,
  }
}

function pinned(): Block {
  return {
    page: 'interception.md',
    name: 'pinned',
    kind: 'table',
    head: ['hosts', 'client', 'why', 'evidence'],
    rows: PINNED.map(({ hosts, client, reason, evidence, source, checked }) => [
      hosts.map(code).join(', '),
      client,
      reason.replaceAll('_', ' '),
      `[${evidence}](${source}), ${checked}`,
    ]),
    written: 0,
  }
}

/** As it would be written; sizes, durations and addresses stand in what the setting expects. */
function defaultText({ default: value, expects }: Leaf<unknown>): string {
  const [, example] = /such as ([^\s,]+)/.exec(expects) ?? []
  const isAddress = Array.isArray(value) && typeof value[0] === 'object'
  const isRecord = Object.getPrototypeOf(value) === Object.prototype
  if (example !== undefined && (isAddress || isRecord || (typeof value === 'number' && value > 0)))
    return code(example)
  if (value === '' || (Array.isArray(value) && value.length === 0)) return 'none'
  if (value instanceof Map) return 'none'
  if (Array.isArray(value))
    return code(value.map((item) => String(item).replace(`${PROGRAM_DIR}/`, '')).join(', '))
  return code(String(value))
}

async function errors(): Promise<Block> {
  const rows = []
  for (const [name, { status, means }] of Object.entries(ERROR_CODES)) {
    const exit = await guard(silentIo().io, () => {
      throw new CordonError(name as ErrorCode, '')
    })
    rows.push([code(name), String(status), String(exit), means])
  }
  const head = ['code', 'status', 'exit', 'meaning', 'what to do']
  return { page: 'errors.md', name: 'errors', kind: 'table', head, rows, written: 1 }
}

function metrics(): Block {
  return {
    page: 'metrics.md',
    name: 'metrics',
    kind: 'table',
    head: ['metric', 'type', 'labels', 'meaning', 'values'],
    rows: new Metrics({ processMetrics: false })
      .describe()
      .map(({ name, type, labels, help }) => [
        code(name),
        type,
        labels.length === 0 ? '' : code(labels.join(', ')),
        help,
      ]),
    written: 1,
  }
}

/** The names stand on the page, because most belong to later releases; here is which are found today. */
function findings(): Block {
  const named = namedTypes()
  const found = detectedTypes()
  const names = [...named, ...[...found].filter((name) => !named.includes(name)).toSorted()]
  return {
    page: 'findings.md',
    name: 'findings',
    kind: 'table',
    head: ['type', 'found', 'category'],
    rows: names.map((name) => [code(name), found.has(name) ? 'yes' : 'later']),
    written: 1,
  }
}

/** The names of the page that stand as a text in the detectors, and whatever they call a type. */
export function detectedTypes(): ReadonlySet<string> {
  const sources = globSync(join(PROGRAM_DIR, 'src/content/*.ts'))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n')
  const texts = new Set([...sources.matchAll(/'(\w+)'/g)].map(([, text = '']) => text))
  return new Set([
    ...namedTypes().filter((name) => texts.has(name)),
    ...SECRET_SHAPES.map(({ type }) => type),
    ...[...sources.matchAll(/\btype: '(\w+)'/g)].map(([, type = '']) => type),
  ])
}

function namedTypes(): readonly string[] {
  const page = readFileSync(join(import.meta.dirname, 'reference/findings.md'), 'utf8')
  return [...page.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name = '']) => name)
}

interface Operation {
  readonly summary?: string
}

/** Scopes are asked of the routes themselves, with a key that holds none. */
async function routes(): Promise<Block> {
  const keys = new KeyRing({ findKey: () => Promise.resolve({ id: '', name: '', scopes: [] }) })
  const parts = { keys, ids: { next: () => '' }, version: '', policies: {} }
  const app = await openApi(parts as unknown as ApiParts)
  await app.ready()
  const { paths = {} } = app.swagger() as { paths?: Record<string, Record<string, Operation>> }
  const rows = []
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, { summary = '' }] of Object.entries(operations)) {
      const answer = await app.inject({
        method: method.toUpperCase() as 'GET',
        url: path.replaceAll(/\{\w+\}/g, '00000000-0000-7000-8000-000000000000'),
        headers: { authorization: 'Bearer none', 'content-type': 'application/json' },
        ...(method === 'get' ? {} : { payload: '{}' }),
      })
      const { detail } = answer.json<{ detail: string }>()
      const [, scopes = ''] = /lacks the scope (.*)$/.exec(detail) ?? []
      rows.push([code(`${method.toUpperCase()} ${path}`), code(scopes), summary])
    }
  }
  await app.close()
  const head = ['call', 'scope', 'what it does']
  return { page: 'api.md', name: 'routes', kind: 'table', head, rows, written: 0 }
}

/** The help of every command, as it is printed where the output is no terminal. */
async function commands(): Promise<Block> {
  // The width of a help text follows the terminal, and a page has none.
  const isTerminal = process.stdout.isTTY
  process.stdout.isTTY = false
  const parts: string[] = []
  const visit = async (path: readonly string[]): Promise<void> => {
    const { io, text } = silentIo()
    await runCli([...path, '--help'], io)
    const help = text().trimEnd()
    const inner = /^Commands:\n((?: {2}.*\n?)*)/m.exec(help)?.[1] ?? ''
    const names = [...inner.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name = '']) => name)
    const below = names.filter((name) => name !== 'help')
    if (below.length === 0) parts.push(`### cordon ${path.join(' ')}\n\n${fence(help)}`)
    for (const name of below) await visit([...path, name])
  }
  await visit([])
  process.stdout.isTTY = isTerminal
  return { page: 'cli.md', name: 'commands', kind: 'text', text: parts.join('\n\n') }
}

function silentIo(): { readonly io: Io; readonly text: () => string } {
  let text = ''
  const keep = new Writable({
    write: (part, _encoding, done) => {
      text += String(part)
      done()
    },
  }) as unknown as NodeJS.WriteStream
  const io = { in: process.stdin, out: keep, err: keep, env: {}, cwd: import.meta.dirname }
  return { io, text: () => text }
}

function fence(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``
}

function code(text: string): string {
  return text === '' ? '' : `\`${text}\``
}
