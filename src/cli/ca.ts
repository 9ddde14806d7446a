// `cordon ca`: the interception authority. Works on files, whether Cordon runs or not.

import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import {
  createAuthority,
  hasAuthority,
  type Making,
  rotateIssuing,
  rotateRoot,
  write,
} from '../app/authority-folder.ts'
import {
  authorityFolder,
  authoritySource,
  limitOf,
  loadAuthority,
  type LoadedAuthority,
  MOST_DOMAINS,
  passphraseOf,
} from '../app/authority.ts'
import { readCatalogue } from '../app/rules.ts'
import { CordonError } from '../base/errors.ts'
import { parseDuration } from '../base/size.ts'
import type { Config } from '../config/schema.ts'
import { Catalogue } from '../signatures/catalogue.ts'
import { certificatesIn } from '../tls/pem.ts'
import { certificateView, linesOf, viewOf } from './ca-view.ts'
import { interceptionOf } from './interception.ts'
import { configOf, type ExitCode, type Io, printJson } from './io.ts'

interface Options {
  readonly config?: string
  readonly json?: boolean
}

const LEAST_PASSPHRASE = 12
const RELOAD = 'A running Cordon takes it with SIGHUP.'

export async function caInit(
  io: Io,
  options: Options & { readonly force?: boolean; readonly owner: string },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  refuseForeign(config, 'init')
  const dir = authorityFolder(config)
  if (hasAuthority(dir) && options.force !== true) {
    throw new CordonError(
      'CONFLICT',
      `there is an authority in ${dir} already: "cordon ca rotate" re-issues it; with --force it is replaced, and clients have to trust the new one`,
    )
  }
  const domains = domainsOf(config, io)
  const given = passphraseOf(io.env)
  const passphrase = given ?? newPassphrase()
  const making = makingOf(config, options.owner, domains, passphrase)
  const { keyFile } = createAuthority(making)
  const loaded = await loadAuthority(config, domains, { env: io.env })
  const extra = given === undefined ? { passphrase } : {}
  if (options.json === true) {
    printJson(io, { ...viewOf(config, loaded, domains), root_key_file: keyFile, ...extra })
    return 0
  }
  if (given === undefined) io.out.write(`${passphrase}\n`)
  say(io, [
    `The root's key is in ${keyFile}, encrypted. Move it to a safe place: only "cordon ca rotate" needs it.`,
    given === undefined
      ? 'Its passphrase is the line on stdout. It is not kept anywhere and not shown again.'
      : 'Its passphrase is the one of the environment.',
    limitText(domains),
    '"cordon ca export --out cordon-ca.pem" writes what clients have to trust.',
  ])
  warn(io, loaded)
  return 0
}

export async function caRotate(
  io: Io,
  options: Options & {
    readonly root?: boolean
    readonly overlap: string
    readonly key?: string
  },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const domains = domainsOf(config, io)
  if (authoritySource(config) === 'signer' && options.root !== true) {
    const loaded = await loadAuthority(config, domains, { env: io.env, again: true })
    return told(io, options, config, loaded, domains, [limitText(domains), RELOAD])
  }
  refuseForeign(config, 'rotate')
  const overlap = parseDuration(options.overlap)
  if (overlap === undefined || overlap <= 0)
    throw new CordonError('INPUT_INVALID', '--overlap must be a duration with a unit, such as 180d')
  const dir = authorityFolder(config)
  if (!hasAuthority(dir)) {
    throw new CordonError(
      'AUTHORITY_INVALID',
      `there is no authority in ${dir}: "cordon ca init" makes one`,
    )
  }
  const passphrase = passphraseOf(io.env)
  if (passphrase === undefined) {
    throw new CordonError(
      'INPUT_INVALID',
      'the key of the root is encrypted: set CORDON_CA_PASSPHRASE or CORDON_CA_PASSPHRASE_FILE',
    )
  }
  const making = makingOf(config, undefined, domains, passphrase)
  const key = options.key === undefined ? undefined : resolve(io.cwd, options.key)
  const lines = [limitText(domains), RELOAD]
  if (options.root === true) {
    const { keyFile } = rotateRoot(making, key, overlap)
    lines.unshift(
      `The new root's key is in ${keyFile}, encrypted with the same passphrase. The former one's is not needed any more.`,
      `Clients that trust the former root go on for ${options.overlap}; "cordon ca export" writes both until then.`,
    )
  } else {
    rotateIssuing(making, key)
  }
  const loaded = await loadAuthority(config, domains, { env: io.env })
  return told(io, options, config, loaded, domains, lines)
}

export async function caShow(io: Io, options: Options): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const domains = domainsOf(config, io)
  const loaded = await loadAuthority(config, domains, { env: io.env, ask: false })
  const view = viewOf(config, loaded, domains)
  if (options.json === true) {
    printJson(io, view)
    return 0
  }
  io.out.write(`${linesOf(view).join('\n')}\n`)
  warn(io, loaded)
  return 0
}

export async function caExport(
  io: Io,
  options: Options & { readonly out: string },
): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const { authority } = await loadAuthority(config, undefined, { env: io.env, ask: false })
  if (options.out === '-') {
    io.out.write(authority.rootCert)
    return 0
  }
  const file = resolve(io.cwd, options.out)
  try {
    write(file, authority.rootCert, 0o644)
  } catch (error) {
    throw new CordonError('NOT_FOUND', `${file} cannot be written`, { cause: error })
  }
  if (options.json === true)
    printJson(io, { file, roots: certificatesIn(authority.rootCert).map(certificateView) })
  else io.err.write(`${file}: trust it on every client that is to be looked into\n`)
  return 0
}

/** What the configuration selects; nothing while interception is off. */
function domainsOf(config: Config, io: Io): readonly string[] | undefined {
  return interceptionOf(config, new Catalogue(readCatalogue(config, io.env).services)).domains
}

function makingOf(
  config: Config,
  owner: string | undefined,
  domains: readonly string[] | undefined,
  passphrase: string,
): Making {
  if (owner !== undefined && !/^[\p{L}\p{N} .,&'()-]{1,40}$/u.test(owner))
    throw new CordonError('INPUT_INVALID', '--owner must be a name of 1 to 40 letters and digits')
  if (passphrase.length < LEAST_PASSPHRASE) {
    throw new CordonError(
      'INPUT_INVALID',
      `the passphrase must have at least ${LEAST_PASSPHRASE} characters`,
    )
  }
  const now = Date.now()
  return { dir: authorityFolder(config), owner, domains: limitOf(domains), passphrase, now }
}

function refuseForeign(config: Config, command: string): void {
  const source = authoritySource(config)
  if (source === 'data_dir') return
  const setting = source === 'files' ? 'proxy.intercept.ca.cert' : 'proxy.intercept.ca.signer'
  throw new CordonError(
    'CONFLICT',
    `the authority is that of ${setting}: "cordon ca ${command}" makes nothing here`,
  )
}

function told(
  io: Io,
  options: Options,
  config: Config,
  loaded: LoadedAuthority,
  domains: readonly string[] | undefined,
  lines: readonly string[],
): ExitCode {
  if (options.json === true) printJson(io, viewOf(config, loaded, domains))
  else say(io, lines)
  warn(io, loaded)
  return 0
}

function limitText(domains: readonly string[] | undefined): string {
  const limit = limitOf(domains)
  if (domains?.length === 0) {
    return 'Nothing is to be intercepted yet, so the authority may speak for nobody: after a change of proxy.intercept.services run "cordon ca rotate".'
  }
  if (limit !== undefined)
    return `The authority is limited to ${limit.length} domains: ${limit.join(', ')}.`
  const why = domains === undefined ? 'no bound' : `${domains.length} domains`
  return `The authority is not limited: what is selected has ${why}, and at most ${MOST_DOMAINS} domains are written into it.`
}

/** Without letters that are taken for one another; 160 bits. */
function newPassphrase(): string {
  const letters = [...randomBytes(32)].map((byte) => ALPHABET[byte & 31])
  return letters.join('').replaceAll(/.{4}(?=.)/g, '$&-')
}

const ALPHABET = 'abcdefghjkmnopqrstuvwxyz23456789'

function say(io: Io, lines: readonly string[]): void {
  io.err.write(`${lines.join('\n')}\n`)
}

function warn(io: Io, { warnings }: LoadedAuthority): void {
  for (const warning of warnings) io.err.write(`warning: ${warning}\n`)
}
