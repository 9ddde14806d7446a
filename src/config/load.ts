// From `cordon.yaml` and `CORDON_*` to one checked Config; the only room that reads the environment.
//
// The file is read first, then the environment, which wins. Everything wrong is reported at once,
// with file, line and column, or the name of the variable.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import {
  isMap as isYamlMap,
  isScalar,
  LineCounter,
  parseDocument,
  type Node as YamlNode,
} from 'yaml'
import { CordonError, type Place, type Problem } from '../base/errors.ts'
import { didYouMean, nearest } from '../base/nearest.ts'
import { type Leaf, Wrong } from './leaf.ts'
import { type Config, SCHEMA, type SchemaNode } from './schema.ts'
import { checkTogether, type GivenSettings, withClientDefault } from './together.ts'

const MAX_FILE_BYTES = 1024 * 1024
const DEFAULT_FILE = 'cordon.yaml'
const PREFIX = 'CORDON_'
/** Kubernetes sets these for every service named cordon; CORDON_CA_* belong to the authority. */
const NOT_OURS = /^CORDON_(PORT|SERVICE_)/
const NOT_SETTINGS = new Set(['CORDON_CA_PASSPHRASE', 'CORDON_CA_PASSPHRASE_FILE'])

export interface Loaded {
  readonly config: Config
  readonly warnings: readonly string[]
  /** The file that was read, absolute; absent where there is none. */
  readonly file: string | undefined
  /** Where a setting was given, for what is found wrong with it later. */
  readonly place: (path: string) => Place
}

export interface LoadOptions {
  /** `--config`; absent: `./cordon.yaml` where there is one. */
  readonly file?: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

/** Throws CordonError CONFIG_INVALID with every problem found, or NOT_FOUND where a named file is missing. */
export function loadConfig({ file, env, cwd }: LoadOptions): Loaded {
  const named = resolve(cwd, file ?? DEFAULT_FILE)
  const exists = existsSync(named)
  if (!exists && file !== undefined) throw new CordonError('NOT_FOUND', `${named}: no such file`)
  const settings = new Settings()
  if (exists) readFile(named, settings)
  readEnvironment(env, cwd, settings)
  const config = withClientDefault(settings.resolve(cwd), settings)
  if (settings.problems.length === 0) settings.problems.push(...checkTogether(config, settings))
  if (settings.problems.length > 0) {
    throw new CordonError('CONFIG_INVALID', 'the configuration is not valid', {
      problems: settings.problems,
    })
  }
  return {
    config,
    warnings: settings.warnings,
    file: exists ? named : undefined,
    place: (path) => settings.place(path),
  }
}

/** Values that were given, by dotted path, with the places they came from. */
class Settings implements GivenSettings {
  readonly problems: Problem[] = []
  readonly warnings: string[] = []
  readonly #values = new Map<string, unknown>()
  readonly #places = new Map<string, Place>()

  set(path: string, value: unknown, place: Place): void {
    this.#values.set(path, value)
    this.#places.set(path, place)
  }

  /** Whether the setting was given at all, default or not. */
  given(path: string): boolean {
    return this.#values.has(path)
  }

  /** Where a setting was given; the defaults have no better place than their own name. */
  place(path: string): Place {
    return this.#places.get(path) ?? { file: path }
  }

  resolve(cwd: string): Config {
    const walk = (node: SchemaNode, path: string): unknown => {
      if (isLeaf(node))
        return this.#values.has(path) ? this.#values.get(path) : defaultOf(node, cwd)
      return Object.fromEntries(
        Object.entries(node).map(([key, child]) => [
          key,
          walk(child, path === '' ? key : `${path}.${key}`),
        ]),
      )
    }
    return walk(SCHEMA, '') as Config
  }
}

/** Default paths are relative to the working directory, as those of the environment are. */
function defaultOf(leaf: Leaf<unknown>, cwd: string): unknown {
  return typeof leaf.default === 'string' && leaf.default !== ''
    ? leaf.read(leaf.default, { from: 'env', base: cwd })
    : leaf.default
}

function readFile(file: string, settings: Settings): void {
  if (statSync(file).size > MAX_FILE_BYTES) {
    settings.problems.push({ file, message: `larger than ${MAX_FILE_BYTES} bytes` })
    return
  }
  const lines = new LineCounter()
  const document = parseDocument(readFileSync(file, 'utf8'), {
    lineCounter: lines,
    prettyErrors: false,
  })
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset)
    return { file, line, column: col }
  }
  for (const error of document.errors)
    settings.problems.push({ ...at(error.pos[0]), message: error.message })
  if (document.errors.length > 0 || document.contents === null) return
  const origin = { from: 'file', base: dirname(file) } as const

  const walk = (schema: SchemaNode, yaml: unknown, path: string, place: Place): void => {
    if (isLeaf(schema)) {
      const value = isNode(yaml) ? yaml.toJS(document) : yaml
      take(settings, schema, path, place, () => schema.read(value, origin))
      return
    }
    if (yaml === null || (isScalar(yaml) && yaml.value === null)) return
    if (!isYamlMap(yaml)) {
      settings.problems.push({
        ...place,
        message: `${path === '' ? 'the file' : path} must be a map of settings`,
      })
      return
    }
    for (const { key, value } of yaml.items) {
      const name = isScalar(key) ? String(key.value) : ''
      const child = Object.hasOwn(schema, name) ? schema[name] : undefined
      const keyAt = at(isNode(key) ? (key.range?.[0] ?? 0) : 0)
      const full = path === '' ? name : `${path}.${name}`
      if (child === undefined) {
        settings.problems.push({
          ...keyAt,
          message: `unknown setting ${full}${hintFor(name, schema)}`,
        })
      } else {
        walk(child, value, full, isNode(value) && value.range ? at(value.range[0]) : keyAt)
      }
    }
  }
  walk(SCHEMA, document.contents, '', { file, line: 1, column: 1 })
}

function readEnvironment(env: LoadOptions['env'], cwd: string, settings: Settings): void {
  const leaves = new Map(
    [...leavesOf(SCHEMA, '')].map(([path, leaf]) => [variableOf(path), { path, leaf }]),
  )
  for (const [name, value] of Object.entries(env)) {
    if (
      !name.startsWith(PREFIX) ||
      value === undefined ||
      NOT_OURS.test(name) ||
      NOT_SETTINGS.has(name)
    )
      continue
    const direct = leaves.get(name)
    const filed = name.endsWith('_FILE') ? leaves.get(name.slice(0, -5)) : undefined
    const place = { file: name }
    if (direct !== undefined) {
      take(settings, direct.leaf, direct.path, place, () =>
        direct.leaf.read(value, { from: 'env', base: cwd }),
      )
    } else if (filed?.leaf.secret === true) {
      if (env[name.slice(0, -5)] !== undefined) {
        settings.problems.push({
          ...place,
          message: `is set beside ${name.slice(0, -5)}; set one of them`,
        })
        continue
      }
      take(settings, filed.leaf, filed.path, place, () =>
        filed.leaf.read(readSecret(resolve(cwd, value)), { from: 'env', base: cwd }),
      )
    } else {
      const known = nearest(name, leaves.keys())
      settings.warnings.push(
        `${name}: no such setting${known === undefined ? '' : ` (did you mean ${known}?)`}`,
      )
    }
  }
}

function take(
  settings: Settings,
  leaf: Leaf<unknown>,
  path: string,
  place: Place,
  read: () => unknown,
): void {
  try {
    settings.set(path, read(), place)
  } catch (error) {
    if (!(error instanceof Wrong)) throw error
    const subject = place.line === undefined ? '' : `${path} `
    settings.problems.push({
      ...place,
      message: `${subject}must be ${error.message === '' ? leaf.expects : error.message}`,
    })
  }
}

function readSecret(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new Wrong(
      `the name of a readable file; ${file}: ${error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'}`,
    )
  }
}

/** `proxy.limits.idle` is `CORDON_PROXY__LIMITS__IDLE`. */
function variableOf(path: string): string {
  return PREFIX + path.replaceAll('.', '__').toUpperCase()
}

/** Every setting with its dotted path, in the order of the schema. */
export function* leavesOf(
  node: SchemaNode,
  path: string,
): Generator<readonly [string, Leaf<unknown>]> {
  if (isLeaf(node)) {
    yield [path, node]
    return
  }
  for (const [key, child] of Object.entries(node))
    yield* leavesOf(child, path === '' ? key : `${path}.${key}`)
}

/** The nearest name on this level, else the full path of a setting of that name elsewhere. */
function hintFor(name: string, level: { readonly [key: string]: SchemaNode }): string {
  const near = didYouMean(name, Object.keys(level))
  if (near !== '') return near
  const elsewhere = [...leavesOf(SCHEMA, '')]
    .map(([path]) => path)
    .find((path) => path.split('.').at(-1) === name)
  return elsewhere === undefined ? '' : ` (did you mean "${elsewhere}"?)`
}

function isLeaf(node: SchemaNode): node is Leaf<unknown> {
  return node['kind'] === 'leaf'
}

function isNode(value: unknown): value is YamlNode {
  return typeof value === 'object' && value !== null && 'toJS' in value
}
