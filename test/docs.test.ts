// What the pages say and what the program does are compared, both ways. `npm run docs` refreshes the tables.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { detectedTypes } from '../docs/blocks.ts'
import { pages, withoutAlignment } from '../docs/generate.ts'
import { loadConfig } from '../src/config/load.ts'
import { PROGRAM_DIR } from '../src/config/schema.ts'
import { FINDING_CATEGORIES } from '../src/model/finding.ts'
import { VISIBILITIES, VISIBILITY_REASONS } from '../src/model/record.ts'
import { loadServices } from '../src/signatures/load.ts'

const root = join(import.meta.dirname, '..')
const PROSE = ['*.md', 'docs/**/*.md', 'bench/*.md']
const prose = PROSE.flatMap((glob) => globSync(glob, { cwd: root }))

t.test('the reference pages say what the code says', async (t) => {
  for (const { file, now, wanted } of await pages()) {
    const name = relative(root, file)
    t.equal(withoutAlignment(now), withoutAlignment(wanted), `${name}: else run "npm run docs"`)
    t.notMatch(now, /\bTODO\b/, `${name}: what is new has been described by hand`)
  }
})

t.test('a difference between page and code is noticed', async (t) => {
  const [page] = await pages()
  if (page === undefined) throw new Error('there are no generated pages')
  const { wanted } = page
  t.not(withoutAlignment(wanted), withoutAlignment(wanted.replace('`redis_url`', '`redis`')))
  t.not(withoutAlignment(wanted), withoutAlignment(wanted.replace('127.0.0.1', '127.0.0.2')))
})

t.test('findings stand under a category that there is', async (t) => {
  const rows = [...read('docs/reference/findings.md').matchAll(/^\| `(\w+)` +\| (\w+) +\| (\w+)/gm)]
  const categories = new Map(rows.map(([, type = '', , category = '']) => [type, category]))
  for (const type of detectedTypes())
    t.ok((FINDING_CATEGORIES as readonly string[]).includes(categories.get(type) ?? ''), type)
})

t.test('the wire page names every error that the proxy tells', async (t) => {
  const page = read('docs/reference/wire.md')
  for (const file of globSync('src/proxy/*.ts', { cwd: root }))
    for (const [, error = ''] of read(file).matchAll(/\berror: '([a-z_]+)'/g))
      t.ok(page.includes(`\`${error}\``), `${error} of ${file}`)
})

t.test('the architecture page has the rooms and arrows of the architecture test', async (t) => {
  const source = read('test/architecture.test.ts')
  const lists = new Map<string, readonly string[]>()
  const listOf = (text: string): readonly string[] =>
    text
      .split(',')
      .map((item) => item.trim().replaceAll("'", ''))
      .filter((item) => item !== '')
      .flatMap((item) => (item.startsWith('...') ? (lists.get(item.slice(3)) ?? []) : [item]))
  for (const [, name = '', text = ''] of source.matchAll(/^const (\w+) = \[(.*)\]$/gm))
    lists.set(name, listOf(text))
  const rooms = [...source.matchAll(/^ {2}(\w+): (?:\[(.*)\]|(\w+)),$/gm)]
  t.ok(rooms.length > 10, 'the rooms are found')
  const page = read('docs/architecture.md')
  for (const [, room = '', text = '', list = ''] of rooms) {
    const may = list === '' ? listOf(text) : (lists.get(list) ?? [])
    const [, told = ''] =
      new RegExp(`^\\| \`${room}\` +\\|[^|]*\\| (.*?) +\\|$`, 'm').exec(page) ?? []
    t.same(told === '-' ? [] : told.split(', '), may, room)
  }
})

t.test(
  'the API page explains how much was seen, and every reason why it was not more',
  async (t) => {
    const [, part = ''] = read('docs/reference/api.md').split('\n## Coverage\n')
    for (const word of [...VISIBILITIES, ...VISIBILITY_REASONS])
      t.match(part.split('\n## ')[0], new RegExp(`^\\| [^|]*\`${word}\``, 'm'), word)
  },
)

t.test('links inside the pages lead somewhere', async (t) => {
  for (const page of prose) {
    for (const [, target = ''] of withoutCode(read(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const file = path === '' ? join(root, page) : join(root, dirname(page), path)
      t.ok(existsSync(file), `${page}: ${target}`)
      if (anchor !== undefined && file.endsWith('.md'))
        t.ok(anchorsOf(readFileSync(file, 'utf8')).includes(anchor), `${page}: ${target}`)
    }
  }
})

t.test('files that the pages name are there', async (t) => {
  const named = /`((?:src|test|docs|deploy|bench|demo|migrations|policies|signatures)\/[\w./-]+)`/g
  for (const page of prose)
    for (const [, path = ''] of read(page).matchAll(named))
      t.ok(existsSync(join(root, path)), `${page}: ${path}`)
})

t.test('every configuration that a page shows is accepted', async (t) => {
  for (const page of prose) {
    for (const block of blocksOf(read(page), 'yaml')) {
      const document = parse(block) as Record<string, unknown>
      if (!Object.keys(document).some((key) => SETTINGS.has(key))) continue
      const dir = t.testdir({ 'cordon.yaml': block })
      t.doesNotThrow(() => loadConfig({ env: {}, cwd: dir }), `${page}: ${block.split('\n')[0]}`)
    }
  }
})

t.test('commands that the pages show are commands that there are', async (t) => {
  const known = [...read('docs/reference/cli.md').matchAll(/^### cordon (.+)$/gm)].map(
    ([, command = '']) => command.split(' '),
  )
  for (const page of prose) {
    const shell = [...blocksOf(read(page), 'sh'), ...blocksOf(read(page), 'console')].join('\n')
    for (const [, words = ''] of shell.matchAll(/(?:npx |\$ |\()cordon ((?:[a-z]+ ?)+)/g)) {
      const given = words.trim().split(' ')
      t.ok(
        known.some((command) => command.every((word, index) => given[index] === word)),
        `${page}: cordon ${words}`,
      )
    }
  }
})

t.test('the readme tells what a setting is by default', async (t) => {
  const reference = read('docs/reference/config.md')
  const rows = [...read('README.md').matchAll(/^\| `([a-z_.]+)` +\| (\S[^|]*?) +\|/gm)]
  t.ok(rows.length > 8, 'the table of settings is there')
  for (const [, setting = '', value = ''] of rows) {
    const row = reference.split('\n').find((line) => line.startsWith(`| \`${setting}\``))
    const isSetting =
      row !== undefined ||
      new RegExp(`^\\| \`${setting.replaceAll('.', String.raw`\.`)}\\.`, 'm').test(reference)
    t.ok(isSetting, `${setting} is a setting`)
    if (row !== undefined && value.startsWith('`')) t.match(row, value, `${setting}: ${value}`)
  }
})

t.test('the number of services that the pages tell is the number of services', async (t) => {
  const { services } = loadServices([join(root, 'signatures')])
  for (const page of ['README.md', 'CHANGELOG.md', 'docs/decisions/0001-foundation.md'])
    t.match(read(page), new RegExp(`\\b${services.length} (?:AI )?services`), page)
})

const SETTINGS = new Set([
  'data_dir',
  'database_url',
  'redis_url',
  'tenant',
  'proxy',
  'api',
  'observe',
  'policy',
  'signatures',
  'risk',
  'budgets',
  'ledger',
])

function read(path: string): string {
  return readFileSync(join(PROGRAM_DIR, path), 'utf8')
}

function blocksOf(markdown: string, language: string): string[] {
  const fence = new RegExp(`^( *)\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\``, 'gm')
  return [...markdown.matchAll(fence)].map(([, indent = '', text = '']) =>
    text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^ *```[\s\S]*?^ *```/gm, '').replaceAll(/`[^`\n]*`/g, '')
}

/** As GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
