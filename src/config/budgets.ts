// `budgets`: a list of limits, each with an id that metrics, reasons and `input.context.budget` call it by.

import { didYouMean } from '../base/nearest.ts'
import { parseDuration, parseSize } from '../base/size.ts'
import {
  type Budget,
  BUDGET_ANSWERS,
  BUDGET_KINDS,
  BUDGET_MATCHES,
  BUDGET_PARTS,
  BUDGET_UNITS,
  type BudgetMatch,
} from '../model/budget.ts'
import { isMap, type Leaf, leaf, listOf, type Origin, Wrong } from './leaf.ts'

const KEYS = ['id', 'per', 'match', 'limit', 'unit', 'window', 'kind', 'then', 'cut', 'reason']
const EXPECTS = 'a list of {id, limit, unit, window, per, match, kind, then, cut, reason}'
/** As many series as the metric of denials may have. */
const MOST_BUDGETS = 100
const MOST_VALUES = 1000
const MOST_LIMIT = 1e15
const MOST_REASON = 500
const SECOND_MS = 1000
const LONGEST_MS = 366 * 86_400_000

export function budgets(): Leaf<readonly Budget[]> {
  return leaf<readonly Budget[]>([], EXPECTS, (value, origin) => {
    const list = listOf(value, origin, EXPECTS, 'json')
    if (list.length > MOST_BUDGETS) throw new Wrong(`${EXPECTS}, at most ${MOST_BUDGETS} of them`)
    const read = list.map((item) => readBudget(item))
    const ids = read.map(({ id }) => id)
    const twice = ids.find((id, index) => ids.indexOf(id) !== index)
    if (twice !== undefined) throw new Wrong(`${EXPECTS}; two of them have the id "${twice}"`)
    return read
  })
}

function readBudget(item: unknown): Budget {
  if (!isMap(item)) throw new Wrong(EXPECTS)
  const { id } = item
  if (typeof id !== 'string' || !/^[a-z0-9][a-z0-9._-]{0,62}$/.test(id))
    throw new Wrong(
      `${EXPECTS}, where id is a name of small letters, digits, dots, dashes and underscores`,
    )
  const refuse = (message: string): never => {
    throw new Wrong(`${EXPECTS}; budget "${id}": ${message}`)
  }
  for (const key of Object.keys(item))
    if (!KEYS.includes(key)) refuse(`there is no "${key}"${didYouMean(key, KEYS)}`)
  const word = <T extends string>(key: string, words: readonly T[], fallback: T | undefined): T => {
    const given = item[key] ?? fallback
    const known = words.find((each) => each === given)
    return known ?? refuse(`${key} must be one of ${words.join(', ')}`)
  }
  const unit = word('unit', BUDGET_UNITS, undefined)
  const budget = {
    id,
    per: readWords(item['per'], 'per', refuse).map(
      (part) =>
        BUDGET_PARTS.find((each) => each === part) ??
        refuse(`per must be a list of ${BUDGET_PARTS.join(', ')}`),
    ),
    match: readMatch(item['match'], refuse),
    limit: readLimit(item['limit'], unit, refuse),
    unit,
    window: readWindow(item['window'], refuse),
    kind: word('kind', BUDGET_KINDS, 'fixed'),
    answer: word('then', BUDGET_ANSWERS, 'deny'),
    cut: item['cut'] ?? false,
  }
  const { cut } = budget
  if (typeof cut !== 'boolean') return refuse('cut must be true or false')
  if (cut && unit === 'requests')
    return refuse('cut has no effect on requests: an answer that runs is one already')
  const { reason } = item
  if (reason === undefined || reason === null) return { ...budget, cut }
  if (typeof reason !== 'string' || reason.trim() === '' || reason.length > MOST_REASON)
    return refuse(`reason must be a text of at most ${MOST_REASON} characters`)
  return { ...budget, cut, reason }
}

type Refuse = (message: string) => never

function readLimit(value: unknown, unit: Budget['unit'], refuse: Refuse): number {
  const size = unit === 'bytes' && typeof value === 'string' ? parseSize(value) : undefined
  const limit = size ?? value
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 1 || limit > MOST_LIMIT)
    return refuse(
      unit === 'bytes'
        ? 'limit must be a size with a unit, such as 10MiB, or a number of bytes'
        : 'limit must be a whole number of at least 1',
    )
  return limit
}

function readWindow(value: unknown, refuse: Refuse): number {
  const ms = typeof value === 'string' ? parseDuration(value) : undefined
  if (ms === undefined || ms < SECOND_MS || ms > LONGEST_MS)
    return refuse('window must be a duration from 1s to 366d, such as 1m, 1h, 1d or 30d')
  return ms
}

function readMatch(value: unknown, refuse: Refuse): BudgetMatch {
  if (value === undefined || value === null) return {}
  if (!isMap(value)) return refuse('match must be a map of lists')
  const match: Record<string, readonly string[]> = {}
  for (const [key, list] of Object.entries(value)) {
    if (!(BUDGET_MATCHES as readonly string[]).includes(key))
      refuse(`match has no "${key}"${didYouMean(key, BUDGET_MATCHES)}`)
    match[key] = readWords(list, `match.${key}`, refuse)
  }
  const early = (match['models'] ?? []).find((model) => model.slice(0, -1).includes('*'))
  if (early !== undefined) refuse(`match.models: "${early}" has a * that is not its end`)
  return match
}

const FROM_FILE: Origin = { from: 'file', base: '' }

function readWords(value: unknown, name: string, refuse: Refuse): readonly string[] {
  const list = typeof value === 'string' ? [value] : listOf(value, FROM_FILE, EXPECTS)
  if (list.length > MOST_VALUES) refuse(`${name} has more than ${MOST_VALUES} values`)
  return list.map((each) =>
    typeof each === 'string' && each !== '' ? each : refuse(`${name} must be a list of texts`),
  )
}
