// Keys without a prefix: only their length and alphabet are known, so the vendor's name must stand within
// 60 characters before them (gitleaks, secretlint and trufflehog use the same rule).

import type { Candidate } from './candidate.ts'
import { entropy } from './check-digits.ts'
import { isPlaceholder } from './placeholders.ts'
import { LOW, MEDIUM } from './secret-shape.ts'

interface KeywordShape {
  readonly type: string
  readonly keyword: RegExp
  readonly value: RegExp
  readonly entropy: number
  readonly confidence: number
}

const REACH = 60
/** Lengths that the shapes below have: few tokens need to be looked at. */
const SIZES = new Set([14, 16, 24, 25, 30, 32, 35, 36, 37, 40, 43, 50, 64, 66])
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
/** For keys that carry their sign in themselves. */
const MARKED = /^/
/** Any of the keywords below, tried first. */
const ANY =
  /aws|secret|cohere|co_api|api-key|azure|wandb|w&b|weights|assembly|deepgram|clarifai|private|cloudflare|cf_api|heroku|bitbucket|discord|telegr|datadog|dd_api|sumo|snyk|coinbase|kraken|contentful|algolia|asana|launchdarkly|linkedin|messagebird|plaid|twitter|atlassian|jira|confluence|alibaba|aliyun|mailchimp|mailgun|secp256k1|eth|elevenlabs|eleven_labs|xi-api-key|facebook|typeform|new_?relic|maxmind/i

const KEYWORD_SHAPES: readonly KeywordShape[] = [
  keyed('aws_secret', /aws.{0,30}(?:secret|key)|secret_?access_?key/i, /^[A-Za-z0-9/+]{40}$/, 4),
  keyed('cohere', /cohere|co_api_key/i, /^[A-Za-z0-9]{40}$/, 4),
  keyed('elevenlabs', /eleven_?labs|xi-api-key/i, /^[0-9a-f]{32}$/, 3),
  keyed('azure_openai', /azure.{0,30}|api-key/i, /^(?:[0-9a-f]{32}|[A-Za-z0-9]{84})$/, 3),
  keyed('wandb', /wandb|w&b|weights/i, /^[0-9a-f]{40}$/, 3),
  keyed('assemblyai', /assembly_?-?ai/i, /^[0-9a-z]{32}$/, 3, LOW),
  keyed('deepgram', /deepgram/i, /^[0-9a-z]{40}$/, 3, LOW),
  keyed('clarifai', /clarifai/i, /^[0-9a-z]{32}$/, 3, LOW),
  keyed('cloudflare', /cloudflare|cf_api/i, /^(?:[A-Za-z0-9_-]{40}|[0-9a-f]{37})$/, 3.5),
  keyed('heroku', /heroku/i, UUID, 2.5),
  keyed('alibaba', /alibaba|aliyun/i, /^[A-Za-z0-9]{30}$/, 3.5),
  keyed('bitbucket', /bitbucket/i, /^(?:[A-Za-z0-9_=-]{64}|[A-Za-z0-9]{32})$/, 3.5),
  keyed('atlassian', /atlassian|jira|confluence/i, /^[A-Za-z0-9]{20}[0-9a-f]{4}$/, 3.5),
  keyed('discord', /discord/i, /^(?:[0-9a-f]{64}|[A-Za-z0-9_-]{32})$/, 3.5),
  keyed('datadog', /datadog|dd_(?:api|app)/i, /^[a-z0-9]{40}$/, 3),
  keyed('sumo', /sumo/i, /^(?:su[A-Za-z0-9]{12}|[A-Za-z0-9]{64})$/, 3),
  keyed('snyk', /snyk/i, UUID, 2.5),
  keyed('coinbase', /coinbase/i, /^[A-Za-z0-9_-]{64}$/, 3.5),
  keyed('kraken', /kraken/i, /^[A-Za-z0-9/_+-]{80,90}$/, 3.5),
  keyed('contentful', /contentful/i, /^[A-Za-z0-9_-]{43}$/, 3.5),
  keyed('algolia', /algolia/i, /^[a-z0-9]{32}$/, 3),
  keyed('asana', /asana/i, /^[a-z0-9]{32}$/, 3),
  keyed(
    'launchdarkly',
    /launchdarkly/i,
    /^(?:(?:sdk|mob|api)-[0-9a-f-]{36}|[A-Za-z0-9_-]{40})$/,
    3,
  ),
  keyed('linkedin', /linkedin/i, /^(?:[A-Za-z0-9]{14}|[A-Za-z0-9]{16})$/, 3),
  keyed(
    'messagebird',
    /message_?-?bird/i,
    /^(?:[A-Za-z0-9]{25}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/,
    2.5,
  ),
  keyed('plaid', /plaid/i, /^[a-z0-9]{30}$/, 3),
  keyed(
    'twitter',
    /twitter/i,
    /^(?:[A-Za-z0-9]{25}|[A-Za-z0-9]{50}|\d{15,25}-[A-Za-z0-9]{20,40})$/,
    3.3,
  ),
  keyed('facebook', /facebook/i, /^[0-9a-f]{32}$/, 3),
  keyed('mailchimp', MARKED, /^[0-9a-f]{32}-us\d{1,2}$/, 3, 0.95),
  keyed('mailgun', /mailgun/i, /^[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}$/, 2),
  keyed('maxmind', MARKED, /^[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk$/, 3.5, 0.95),
  keyed(
    'secp256k1_private_key',
    /private.?key|secp256k1|\beth(?:ereum)?\b/i,
    /^(?:0x)?[0-9a-f]{64}$/i,
    3,
    LOW,
  ),
]

function keyed(
  type: string,
  keyword: RegExp,
  value: RegExp,
  least: number,
  confidence: number = MEDIUM,
): KeywordShape {
  return { type, keyword, value, entropy: least, confidence }
}

/** A whole run of letters, digits and `-_+/`, where a vendor is named before it. */
export function findKeyed(text: string, start: number, end: number): Candidate | undefined {
  const size = end - start
  if (!SIZES.has(size) && !(size >= 36 && size <= 90)) return undefined
  const before = text.slice(Math.max(0, start - REACH), start)
  const value = text.slice(start, end)
  const marked = value.endsWith('_mmk') || /-us\d{1,2}$/.test(value)
  if (!marked && !ANY.test(before)) return undefined
  for (const { type, keyword, value: form, entropy: least, confidence } of KEYWORD_SHAPES) {
    if (!form.test(value) || !(keyword === MARKED ? marked : keyword.test(before))) continue
    if (isPlaceholder(value) || entropy(value) < least || !/\d/.test(value)) continue
    return { type, category: 'secret', start, end, confidence }
  }
  return undefined
}
