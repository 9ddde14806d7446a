// Secrets that their surroundings give away: credentials in URLs, curl's options, bearer tokens, Docker's
// and Kubernetes' files (shapes of gitleaks and secretlint; JWT by RFC 7519, RFC 3986 for URLs).

import type { Candidate } from './candidate.ts'
import { classAt, matchAt, WORD } from './characters.ts'
import { entropy } from './check-digits.ts'
import { isPlaceholder } from './placeholders.ts'
import { HIGH, MEDIUM } from './secret-shape.ts'

const USERINFO =
  /:\/\/([^\s:/?#@"'<>]{0,128}):([^\s"'<>/?#@]{1,256}(?:@[^\s"'<>/?#@]{1,128}(?=@))?)@[A-Za-z0-9[$.{<]/y
const DATABASES =
  /(?:^|[^a-z0-9])(?:postgres(?:ql)?|mysqlx?|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|sqlserver|oracle|clickhouse|cockroachdb|couchdb|cassandra|neo4j(?:\+s)?|bolt|jdbc:[a-z:]{2,24})(?:\+[a-z0-9]{1,16})?$/i
const ANY_SCHEME = /[a-z][a-z0-9+.-]{1,24}$/i
const JWT = /ey[A-Za-z0-9_-]{15,4096}\.ey[A-Za-z0-9_-]{15,16384}\.[A-Za-z0-9_-]{10,4096}/y
const CURL =
  /curl\b[^\n]{0,250}?\s(?:(?:-u|--user)[\s=]{0,4}["']?([^\s:"']{1,128}):([^\s"']{1,256})|(?:-H|--header)[\s=]{0,4}["'](?:Authorization:\s?(?:Bearer|Basic|Token|Key)|X-API-Key:|Api-Key:|Private-Token:)\s?()([^\s"']{8,2048})["'])/iy
const AUTHS =
  /auths"\s{0,8}:\s{0,8}\{\s{0,64}"[^"]{1,253}"\s{0,8}:\s{0,8}\{[^}]{0,400}?"auth"\s{0,8}:\s{0,8}"([A-Za-z0-9+/=]{8,1024})"/y
const KUBERNETES =
  /kind:[ ]{0,4}["']?Secret["']?[ \t\r]{0,8}\n(?:[^\n]{0,200}\n){0,16}?(?:data|stringData):[ \t\r]{0,8}\n[ ]{1,8}[\w.-]{1,128}:[ ]{0,8}["']?([A-Za-z0-9+/=]{10,4096})/y
const ATLAS = /[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}/y
const AZURE_AD = /[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])/y
const DISCORD =
  /[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}(?![A-Za-z0-9_-])/y
const TELEGRAM = /\d{5,16}:A[A-Za-z0-9_-]{34}(?![A-Za-z0-9_-])/y
const FACEBOOK = /\d{15,16}\|[0-9A-Za-z_-]{27,40}(?![A-Za-z0-9_-])/y

/** At the colon of `://`. */
export function findUrlCredentials(text: string, at: number): Candidate | undefined {
  const found = matchAt(USERINFO, text, at)
  if (found === null) return undefined
  const [, user = '', password = ''] = found
  const scheme = text.slice(Math.max(0, at - 40), at)
  if (!ANY_SCHEME.test(scheme) || isPlaceholder(password) || password === user) return undefined
  const start = at + found[0].indexOf(':', 3 + user.length) + 1
  const isDatabase = DATABASES.test(scheme)
  if (password.length < (isDatabase ? 3 : 6) || (!isDatabase && new Set(password).size < 4))
    return undefined
  return isDatabase
    ? secret('db_connection_string', start, password.length, HIGH)
    : secret('basic_auth_url', start, password.length, MEDIUM)
}

export function findJwt(text: string, at: number): Candidate | undefined {
  const found = matchAt(JWT, text, at)?.[0]
  if (found === undefined || entropy(found.slice(0, 256)) < 3) return undefined
  const header = Buffer.from(found.slice(0, found.indexOf('.')), 'base64url').toString('latin1')
  return header.startsWith('{') && header.includes('"alg"')
    ? secret('jwt', at, found.length, 0.9)
    : undefined
}

export function findCurl(text: string, at: number): Candidate | undefined {
  const found = matchAt(CURL, text, at)
  if (found === null) return undefined
  const [all, user = '', password, , header] = found
  const value = password ?? header ?? ''
  if (value.length < 3 || isPlaceholder(value) || value === user || entropy(value) < 1.9)
    return undefined
  return secret('curl_credentials', at + all.lastIndexOf(value), value.length, HIGH)
}

export function findDockerAuth(text: string, at: number): Candidate | undefined {
  return valueOf('docker_config_auth', matchAt(AUTHS, text, at), at, MEDIUM)
}

export function findKubernetesSecret(text: string, at: number): Candidate | undefined {
  return valueOf('kubernetes_secret_yaml', matchAt(KUBERNETES, text, at), at, MEDIUM)
}

function valueOf(
  type: string,
  found: RegExpExecArray | null,
  at: number,
  confidence: number,
): Candidate | undefined {
  const value = found?.[1]
  if (found === null || value === undefined || isPlaceholder(value)) return undefined
  return secret(type, at + found[0].lastIndexOf(value), value.length, confidence)
}

/** At the word `atlasv1`. */
export function findTerraform(text: string, at: number): Candidate | undefined {
  return whole('terraform', ATLAS, text, at - 15, HIGH)
}

/** At the `~` of `Q~`. */
export function findAzureAd(text: string, at: number): Candidate | undefined {
  return whole('azure_ad_client_secret', AZURE_AD, text, at - 5, HIGH)
}

/** A number with a colon behind it. */
export function findTelegram(text: string, at: number): Candidate | undefined {
  if (!/telegr|\bbot/i.test(text.slice(Math.max(0, at - 60), at))) return undefined
  return whole('telegram_bot', TELEGRAM, text, at, MEDIUM)
}

/** A token of 24 to 28 characters with a full stop behind it. */
export function findDiscord(text: string, at: number): Candidate | undefined {
  return whole('discord', DISCORD, text, at, MEDIUM)
}

export function findFacebook(text: string, at: number): Candidate | undefined {
  return whole('facebook', FACEBOOK, text, at, MEDIUM)
}

function whole(
  type: string,
  pattern: RegExp,
  text: string,
  at: number,
  confidence: number,
): Candidate | undefined {
  if (at < 0 || (classAt(text, at - 1) & WORD) !== 0) return undefined
  const found = matchAt(pattern, text, at)?.[0]
  if (found === undefined || isPlaceholder(found) || entropy(found) < 3) return undefined
  return secret(type, at, found.length, confidence)
}

function secret(type: string, start: number, size: number, confidence: number): Candidate {
  return { type, category: 'secret', start, end: start + size, confidence }
}
