// `cordon context import`: directory files into the database, all or nothing per file.
//
// A row names its thing by `name` (assets by host name); what the row leaves out stays as it is. Rows are
// applied in order to what the database knows of the things that the file names, in memory; then what has
// changed is written in a few statements. The result says what became of every row.

import { type Kysely, sql, type Transaction } from 'kysely'
import { CordonError, type Problem } from '../base/errors.ts'
import type { Tables } from '../store/tables.ts'
import { COLUMNS, type Kind } from './columns.ts'
import { type DirectoryRow, readDirectoryFile } from './directory-file.ts'
import { People } from './people.ts'
import { type Change, Things } from './things.ts'

export interface ImportResult {
  readonly file: string
  readonly kind: Kind
  readonly created: number
  readonly updated: number
  readonly unchanged: number
  readonly refused: readonly Problem[]
}

/** Deeper ones are not followed when somebody's departments are looked up. */
const MAX_DEPARTMENT_DEPTH = 64
/** One change of a directory at a time: names are compared across columns, which no index does. */
const DIRECTORY_LOCK = 7_303_603

export async function importFile(
  db: Kysely<Tables>,
  tenant: string,
  { file, content, kind }: { file: string; content: string; kind: Kind },
): Promise<ImportResult> {
  const { rows, problems } = readDirectoryFile(file, content, kind)
  const counts: Record<Change, number> = { created: 0, updated: 0, unchanged: 0 }
  const refused = [...problems]
  if (refused.length === 0) {
    try {
      await db.transaction().execute(async (transaction) => {
        const changes = await apply(transaction, tenant, kind, rows)
        for (const [index, change] of changes.entries()) {
          if (typeof change === 'string') counts[change] += 1
          else
            refused.push({ file, line: rows[index]?.line ?? 1, column: 1, message: change.wrong })
        }
        if (kind === 'departments')
          refused.push(
            ...(await nestingProblems(transaction, tenant)).map((message) => ({ file, message })),
          )
        if (refused.length > 0) throw new Rollback()
      })
    } catch (error) {
      if (!(error instanceof Rollback)) throw error
    }
  }
  if (refused.length > 0) return { file, kind, created: 0, updated: 0, unchanged: 0, refused }
  return { file, kind, ...counts, refused: [] }
}

/** Adds one user; throws CONFLICT where the name or e-mail is another's, INPUT_INVALID where one is no name. */
export async function addUser(
  db: Kysely<Tables>,
  tenant: string,
  user: {
    readonly name: string
    readonly email?: string
    readonly department?: string
    readonly groups?: readonly string[]
  },
): Promise<{ readonly user_id: string }> {
  const values = checked({ ...user, groups: (user.groups ?? []).join(';') })
  if (values['name'] === undefined) throw new CordonError('INPUT_INVALID', 'a user needs a name')
  return db.transaction().execute(async (transaction) => {
    await lock(transaction, tenant)
    const people = await People.load(transaction, tenant, [values])
    const taken = people.holderOf([values['name'], values['email']])
    if (taken !== undefined)
      throw new CordonError(
        'CONFLICT',
        `"${taken.value}" is the name, e-mail or external id of ${taken.name} already`,
      )
    people.apply(values)
    await people.write()
    const id = people.idOf(values['name'])
    if (id === undefined) throw new CordonError('INTERNAL', 'the user could not be stored')
    return { user_id: id }
  })
}

class Rollback extends Error {}

async function apply(
  db: Transaction<Tables>,
  tenant: string,
  kind: Kind,
  rows: readonly DirectoryRow[],
): Promise<(Change | { readonly wrong: string })[]> {
  await lock(db, tenant)
  const values = rows.map((row) => row.values)
  if (kind === 'users' || kind === 'memberships') {
    const people = await People.load(db, tenant, values)
    const changes = values.map((row) => (kind === 'users' ? people.apply(row) : people.join(row)))
    if (changes.every((change) => typeof change === 'string')) await people.write()
    return changes
  }
  const things = await Things.load(db, tenant, kind, values)
  const changes = values.map((row) => things.apply(row))
  await things.write()
  return changes
}

async function lock(db: Transaction<Tables>, tenant: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(${DIRECTORY_LOCK}, hashtext(${tenant}))`.execute(db)
}

/** The values as a file would give them. */
function checked(cells: Readonly<Record<string, string | undefined>>): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const [column, cell] of Object.entries(cells)) {
    const text = cell?.trim() ?? ''
    const read = COLUMNS.users[column]
    if (read === undefined || (text === '' && column !== 'groups')) continue
    const result = read(text)
    if ('wrong' in result) throw new CordonError('INPUT_INVALID', `${column} ${result.wrong}`)
    values[column] = result.value
  }
  return values
}

/** Departments that are their own ancestors, or that lie too deep to be looked up. */
async function nestingProblems(db: Transaction<Tables>, tenant: string): Promise<string[]> {
  const { rows } = await sql<{ name: string; parent: string | null }>`
    select name, parent from departments where tenant = ${tenant} order by name`.execute(db)
  const parents = new Map(
    rows.map(({ name, parent }) => [name.toLowerCase(), parent?.toLowerCase()]),
  )
  return rows.flatMap(({ name }) => {
    const own = name.toLowerCase()
    let current = parents.get(own)
    for (let depth = 0; current !== undefined; depth++) {
      if (current === own) return [`department "${name}" is its own ancestor`]
      if (depth >= MAX_DEPARTMENT_DEPTH)
        return [`department "${name}" lies deeper than ${MAX_DEPARTMENT_DEPTH} levels`]
      current = parents.get(current)
    }
    return []
  })
}
