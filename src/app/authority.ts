// The interception authority of a gateway: from data_dir/ca, from files of one's own, or by a signer command.
//
// Called at start, at every SIGHUP, and when `renewAt` has come. Whoever holds the answer gives it to the workers,
// which issue new leaves with it; connections that are open keep theirs.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CordonError } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import { type Authority, Issuer } from '../tls/issuer.ts'
import { checkedAuthority } from './authority-check.ts'
import { readFolder, readText } from './authority-folder.ts'
import { signedAuthority } from './authority-signer.ts'
import type { Environment } from './rules.ts'

export type AuthoritySource = 'data_dir' | 'files' | 'signer'

export interface LoadedAuthority {
  readonly source: AuthoritySource
  readonly authority: Authority
  /** Selected domains that it may not speak for: their hosts are not intercepted. */
  readonly outside: readonly string[]
  /** Milliseconds since the epoch: when to load again at the latest. */
  readonly renewAt: number
  readonly notAfter: number
  readonly warnings: readonly string[]
}

export interface AuthorityOptions {
  readonly env: Environment
  readonly now?: number
  /** False: a signer command is not run, what it certified before must do. */
  readonly ask?: boolean
  /** A signer command is asked even if what it certified before would do. */
  readonly again?: boolean
  readonly timeLimitMs?: number
}

/** More are not written into a certificate: it goes with every handshake. */
export const MOST_DOMAINS = 100
const DAY_MS = 86_400_000
const SOON_MS = 30 * DAY_MS
const SIGNER_LIMIT_MS = 30_000
/** Nobody's domain (RFC 6761): what an authority is limited to while nothing is to be intercepted. */
export const NOBODY = 'invalid'

export function authorityFolder(config: Config): string {
  return join(config.data_dir, 'ca')
}

export function authoritySource({ proxy }: Config): AuthoritySource {
  const { cert, key, signer } = proxy.intercept.ca
  if (cert !== '' || key !== '') return 'files'
  return signer === '' ? 'data_dir' : 'signer'
}

/** What to limit an issuing certificate to; undefined: to nothing. */
export function limitOf(domains: readonly string[] | undefined): readonly string[] | undefined {
  if (domains === undefined || domains.length > MOST_DOMAINS) return undefined
  return domains.length === 0 ? [NOBODY] : domains
}

/**
 * `domains`: the registrable domains of what is selected, as `Interception` tells them; undefined: without bound.
 * Throws AUTHORITY_INVALID with what is wrong and which command helps.
 */
export async function loadAuthority(
  config: Config,
  domains: readonly string[] | undefined,
  options: AuthorityOptions,
): Promise<LoadedAuthority> {
  const now = options.now ?? Date.now()
  const { ca } = config.proxy.intercept
  const source = authoritySource(config)
  const folder = authorityFolder(config)
  if (source === 'signer') {
    const answer = await signedAuthority({
      command: ca.signer,
      cache: join(folder, 'signed.pem'),
      domains: limitOf(domains),
      env: options.env,
      now,
      timeLimitMs: options.timeLimitMs ?? SIGNER_LIMIT_MS,
      ask: options.ask ?? true,
      again: options.again ?? false,
    })
    return judged(source, answer.authority, domains, now, answer)
  }
  const authority =
    source === 'data_dir' ? readFolder(folder, now) : ownFiles(config, options.env, now)
  return judged(source, authority, domains, now, {})
}

/** From CORDON_CA_PASSPHRASE, or the file that CORDON_CA_PASSPHRASE_FILE names. */
export function passphraseOf(env: Environment): string | undefined {
  const { CORDON_CA_PASSPHRASE: given, CORDON_CA_PASSPHRASE_FILE: file } = env
  if (file === undefined || file === '') return given === '' ? undefined : given
  if (given !== undefined && given !== '') {
    throw new CordonError(
      'INPUT_INVALID',
      'CORDON_CA_PASSPHRASE and CORDON_CA_PASSPHRASE_FILE are both set; set one of them',
    )
  }
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    throw new CordonError('NOT_FOUND', `CORDON_CA_PASSPHRASE_FILE: ${file} cannot be read`, {
      cause: error,
    })
  }
}

function ownFiles(config: Config, env: Environment, now: number): Authority {
  const { cert, key } = config.proxy.intercept.ca
  if (cert === '' || key === '') {
    throw new CordonError(
      'CONFIG_INVALID',
      'proxy.intercept.ca needs cert and key, or neither of them',
    )
  }
  return checkedAuthority(
    {
      source: cert,
      chain: readText(cert, 'public'),
      key: readText(key, 'private'),
      keySource: key,
      passphrase: passphraseOf(env),
    },
    now,
  )
}

function judged(
  source: AuthoritySource,
  authority: Authority,
  domains: readonly string[] | undefined,
  now: number,
  answer: { readonly renewAt?: number; readonly warning?: string | undefined },
): LoadedAuthority {
  const issuer = new Issuer(authority)
  const { notAfter } = issuer
  const outside = (domains ?? []).filter((domain) => !issuer.mayIssue(domain))
  const help = HELP[source]
  const warnings: string[] = []
  if (answer.warning !== undefined) warnings.push(answer.warning)
  if (outside.length > 0) {
    const named = outside.slice(0, 5).join(', ') + (outside.length > 5 ? ', ...' : '')
    warnings.push(
      `the interception authority is limited to other domains: not intercepted are hosts of ${named} (${outside.length} of ${domains?.length ?? 0} domains); ${help}`,
    )
  }
  if (domains === undefined && issuer.constrainedTo !== undefined) {
    warnings.push(
      `the interception authority is limited to ${issuer.constrainedTo.length} domains while what is selected has no bound: hosts of others are not intercepted; ${help}`,
    )
  }
  if (issuer.constrainedTo === undefined) {
    const could = limitOf(domains) !== undefined
    warnings.push(
      `the interception authority is not limited to domains: whoever has its key can speak for any host${could ? `; ${help}` : ''}`,
    )
  }
  if (notAfter - now < SOON_MS) {
    const day = new Date(notAfter).toISOString().slice(0, 10)
    warnings.push(`the interception authority expires on ${day}; ${help}`)
  }
  return {
    source,
    authority,
    outside,
    notAfter,
    renewAt: answer.renewAt ?? notAfter,
    warnings,
  }
}

const HELP: Readonly<Record<AuthoritySource, string>> = {
  data_dir: '"cordon ca rotate" re-issues it',
  files: 'proxy.intercept.ca.cert has to be issued again',
  signer: '"cordon ca rotate" asks the signer again',
}

/** The certificate that leaves are issued with. */
export function issuingCertificate({ chain, rootCert }: Authority): X509Certificate {
  return new X509Certificate(chain === '' ? rootCert : chain)
}
