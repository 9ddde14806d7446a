// What a recipe for a client is made of, and what every recipe is made from.

/** Reached without the proxy, unless told otherwise. */
export const DIRECT: readonly string[] = ['localhost', '127.0.0.1', '::1', '.local']

/** The configuration that clients are pointed at. */
export interface Place {
  /** Without credentials: `http://host:port`. No client shares more than plain HTTP to the proxy. */
  readonly proxy: string
  readonly login?: Login
  /** Names and addresses that are reached directly. */
  readonly direct: readonly string[]
  /** Undefined: HTTPS is tunnelled, so nothing has to be trusted. */
  readonly ca?: Authority
}

export interface Login {
  readonly user: string
  /** Undefined: the reader has it. */
  readonly token?: string
}

/** Files that are there, or will be once the recipe has fetched them. */
export interface Authority {
  /** Absolute, or beginning with `$HOME/`. Also holds what recipes make. */
  readonly dir: string
  /** Our roots alone: for clients that add it to their own. */
  readonly file: string
  /** The system's roots and ours: for clients that replace their own by it. */
  readonly bundle: string
  /** PEM, where the recipe itself carries it (MDM profiles). */
  readonly pem?: string
}

export interface Command {
  readonly does: string
  /** Null: nothing to do there. */
  readonly sh: string | null
  /** Undefined: the same line as for `sh`. */
  readonly powershell?: string | null
  /** Changes the machine rather than the user: shown, not run. */
  readonly asRoot?: boolean
}

export interface ConfigFile {
  readonly path: string
  readonly text: string
  /** What `--out` calls it, where it is no file that people have already. */
  readonly name?: string
}

export interface Recipe {
  readonly env: Readonly<Record<string, string>>
  readonly commands: readonly Command[]
  /** To be merged into what is there. */
  readonly files: readonly ConfigFile[]
  readonly notes: readonly string[]
}

export interface Tool {
  readonly id: string
  readonly name: string
  /** What it needs, for the table. */
  readonly about: string
  readonly recipe: (place: Place) => Recipe
}

const TOKEN = 'TOKEN'

/** With credentials, as clients take them in a URL. */
export function proxyUrl({ proxy, login }: Place): string {
  if (login === undefined) return proxy
  const { user, token = TOKEN } = login
  return proxy.replace('://', `://${encodeURIComponent(user)}:${encodeURIComponent(token)}@`)
}

export function hostAndPort({ proxy }: Place): { readonly host: string; readonly port: string } {
  const { hostname, port } = new URL(proxy)
  return { host: hostname, port: port === '' ? '80' : port }
}

/** What every client that reads the environment needs. curl takes `http_proxy` in small letters only. */
export function proxyEnv(place: Place): Record<string, string> {
  const [url, direct] = [proxyUrl(place), place.direct.join(',')]
  return {
    HTTPS_PROXY: url,
    HTTP_PROXY: url,
    NO_PROXY: direct,
    https_proxy: url,
    http_proxy: url,
    no_proxy: direct,
  }
}

/** Variables that name the same file; none where nothing has to be trusted. */
export function trustEnv(
  file: string | undefined,
  names: readonly string[],
): Record<string, string> {
  return file === undefined ? {} : Object.fromEntries(names.map((name) => [name, file]))
}

export function json(value: unknown): string {
  return JSON.stringify(value, undefined, 2)
}

/** One word for a POSIX shell. Only `$HOME/` is left to the shell. */
export function shWord(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text
  if (text.includes('$HOME/'))
    return `"${text.replaceAll(/["\\`]|\$(?!HOME\/)/g, String.raw`\$&`)}"`
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}

/** One word for PowerShell, which knows `$HOME` too. */
export function powershellWord(text: string): string {
  if (text.includes('$HOME/')) return `"${text.replaceAll(/["`]|\$(?!HOME\/)/g, '`$&')}"`
  return `'${text.replaceAll("'", "''")}'`
}
