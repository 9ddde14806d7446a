// `npm run docs`: fills the tables of docs/reference from the code. What people wrote in them stays.
//
// A table stands between `<!-- table: NAME -->` and `<!-- end -->`. Its first columns come from the code, the
// others are written by hand and are found again by the first cell. test/docs.test.ts compares both.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Block, blocks } from './blocks.ts'

const PAGES = join(import.meta.dirname, 'reference')
const TO_WRITE = 'TODO'

export interface Page {
  readonly file: string
  readonly now: string
  readonly wanted: string
}

/** Each page with generated blocks: as it is, and as the code says. */
export async function pages(): Promise<readonly Page[]> {
  const made = await blocks()
  const files = [...new Set(made.map(({ page }) => page))]
  return files.map((name) => {
    const file = join(PAGES, name)
    const now = readFileSync(file, 'utf8')
    const own = made.filter(({ page }) => page === name)
    return { file, now, wanted: own.reduce(fill, now) }
  })
}

/** Tables are aligned by the formatter, so blanks are no difference. */
export function withoutAlignment(text: string): string {
  return text
    .split('\n')
    .map((line) =>
      line.startsWith('|') ? line.replaceAll(/-{3,}/g, '---').replaceAll(/ {2,}/g, ' ') : line,
    )
    .join('\n')
}

function fill(page: string, block: Block): string {
  const begin = `<!-- table: ${block.name} -->\n`
  const from = page.indexOf(begin)
  const to = page.indexOf('<!-- end -->', from)
  if (from === -1 || to === -1) throw new Error(`${block.page} has no place for ${block.name}`)
  const old = page.slice(from + begin.length, to)
  const text = block.kind === 'text' ? block.text : tableOf(block, old)
  return `${page.slice(0, from + begin.length)}\n${text}\n\n${page.slice(to)}`
}

function tableOf({ head, rows, written }: Block & { kind: 'table' }, old: string): string {
  const known = new Map(
    old
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => {
        const cells = line.slice(1, -1).split(/(?<!\\)\|/)
        return [cells[0]?.trim() ?? '', cells.slice(-written).map((cell) => cell.trim())] as const
      }),
  )
  const lines = rows.map((row) => {
    const first = escaped(row[0] ?? '')
    const byHand =
      written === 0 ? [] : (known.get(first) ?? Array.from({ length: written }, () => TO_WRITE))
    return [...row.map(escaped), ...byHand]
  })
  return [head, head.map(() => '---'), ...lines]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n')
}

function escaped(cell: string): string {
  return cell.replaceAll(/(?<!\\)\|/g, String.raw`\|`)
}

if (process.argv[1] === import.meta.filename) {
  for (const { file, now, wanted } of await pages())
    if (withoutAlignment(now) !== withoutAlignment(wanted)) writeFileSync(file, wanted)
}
