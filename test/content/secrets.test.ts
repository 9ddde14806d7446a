// Each shape of a secret is found as what it is, wherever it stands; one character less is none.

import t from 'tap'
import { detect } from '../../src/content/detect.ts'
import { draw, jwt, pem, uuid } from '../support/draw.ts'

const T3 = Buffer.from('OpenAI').toString('base64').slice(0, 8)
const BEDROCK = Buffer.from('bedrock.amazonaws.com').toString('base64')

/** Shapes of facts/secret-formats.json that stand by themselves. */
const PREFIXED: readonly (readonly [string, () => string])[] = [
  ['openai_legacy', () => `sk-${draw('alnum', 20)}${T3}${draw('alnum', 20)}`],
  ['openai_project', () => `sk-proj-${draw('url', 74)}${T3}${draw('url', 74)}`],
  ['openai_project', () => `sk-svcacct-${draw('url', 58)}${T3}${draw('url', 58)}`],
  ['openai_project', () => `sk-admin-${draw('url', 58)}${T3}${draw('url', 58)}`],
  ['anthropic_api', () => `sk-ant-api03-${draw('url', 93)}AA`],
  ['anthropic_admin', () => `sk-ant-admin01-${draw('url', 93)}AA`],
  ['anthropic_oauth', () => `sk-ant-oat01-${draw('url', 93)}AA`],
  ['anthropic_session', () => `sk-ant-sid01-${draw('url', 93)}AA`],
  ['google_api_key', () => `AIza${draw('url', 35)}`],
  ['google_oauth', () => `ya29.${draw('url', 60)}`],
  ['groq', () => `gsk_${draw('alnum', 52)}`],
  ['huggingface', () => `hf_${draw('alnum', 34)}`],
  ['huggingface', () => `api_org_${draw('alnum', 34)}`],
  ['replicate', () => `r8_${draw('url', 37)}`],
  ['xai', () => `xai-${draw('word', 80)}`],
  ['perplexity', () => `pplx-${draw('alnum', 48)}`],
  ['openrouter', () => `sk-or-v1-${draw('hex', 64)}`],
  ['elevenlabs', () => `sk_${draw('hex', 48)}`],
  ['langsmith', () => `lsv2_pt_${draw('hex', 32)}_${draw('hex', 10)}`],
  ['langfuse', () => `sk-lf-${uuid()}`],
  ['pinecone', () => `pcsk_${draw('alnum', 6)}_${draw('alnum', 63)}`],
  ['nvidia', () => `nvapi-${draw('url', 64)}`],
  ['aws_bedrock_long', () => `ABSK${draw('base64', 130)}==`],
  ['aws_bedrock_short', () => `bedrock-api-key-${BEDROCK}${draw('base64', 80)}`],
  ['databricks', () => `dapi${draw('hex', 32)}`],
  ['databricks', () => `dapi${draw('hex', 32)}-2`],
  ['tavily', () => `tvly-${draw('alnum', 32)}`],
  ['fireworks', () => `fw_${draw('alnum', 24)}`],
  ['cerebras', () => `csk-${draw('small', 48)}`],
  ['jina', () => `jina_${draw('alnum', 60)}`],
  ['firecrawl', () => `fc-${draw('hex', 32)}`],
  ['runway', () => `key_${draw('hex', 128)}`],
  ['aws_access_key_id', () => `AKIA${draw('base32', 16)}`],
  ['aws_access_key_id', () => `ASIA${draw('base32', 16)}`],
  ['azure_ad_client_secret', () => `${draw('alnum', 3)}8Q~${draw('alnum', 34)}`],
  ['azure_storage_connection', () => `AccountKey=${draw('base64', 86)}==`],
  ['gcp_hmac', () => `GOOG1E${draw('capital', 55)}`],
  ['terraform', () => `${draw('alnum', 14)}.atlasv1.${draw('alnum', 67)}`],
  ['digitalocean', () => `dop_v1_${draw('hex', 64)}`],
  ['alibaba', () => `LTAI${draw('alnum', 20)}`],
  ['cloudflare', () => `v1.0-${draw('hex', 24)}-${draw('hex', 146)}`],
  ['cloudflare', () => `cfut_${draw('alnum', 40)}${draw('hex', 8)}`],
  ['heroku', () => `HRKU-AA${draw('url', 58)}`],
  ['flyio', () => `fo1_${draw('url', 43)}`],
  ['flyio', () => `fm2_${draw('base64', 120)}`],
  ['vercel', () => `vcp_${draw('alnum', 24)}`],
  ['planetscale', () => `pscale_tkn_${draw('alnum', 43)}`],
  ['supabase', () => `sbp_${draw('hex', 40)}`],
  ['neon', () => `napi_${draw('small', 64)}`],
  ['vault', () => `hvs.${draw('url', 95)}`],
  ['vault', () => `hvb.${draw('url', 200)}`],
  ['vault', () => `s.${draw('alnum', 11)}a7B${draw('alnum', 10)}`],
  ['doppler', () => `dp.pt.${draw('alnum', 43)}`],
  ['infracost', () => `ico-${draw('alnum', 32)}`],
  ['pulumi', () => `pul-${draw('hex', 40)}`],
  ['prefect', () => `pnu_${draw('small', 36)}`],
  ['yandex', () => `AQVN${draw('url', 36)}`],
  ['github', () => `ghp_${draw('alnum', 36)}`],
  ['github', () => `ghs_${draw('alnum', 36)}`],
  ['github', () => `github_pat_${draw('alnum', 22)}_${draw('alnum', 59)}`],
  ['github', () => `ghs_${draw('digits', 7)}_${jwt()}`],
  ['gitlab', () => `glpat-${draw('url', 20)}`],
  ['gitlab', () => `glpat-${draw('url', 27)}.${draw('small', 2)}${draw('small', 7)}`],
  ['gitlab', () => `glptt-${draw('hex', 40)}`],
  ['gitlab', () => `glrt-${draw('url', 20)}`],
  ['gitlab', () => `GR1348941${draw('url', 20)}`],
  ['gitlab', () => `_gitlab_session=${draw('hex', 32)}`],
  ['atlassian', () => `ATATT3${draw('url', 186)}`],
  ['npm', () => `npm_${draw('alnum', 36)}`],
  ['pypi', () => `pypi-AgEIcHlwaS5vcmc${draw('url', 100)}`],
  ['rubygems', () => `rubygems_${draw('hex', 48)}`],
  ['clojars', () => `CLOJARS_${draw('small', 60)}`],
  ['docker', () => `dckr_pat_${draw('url', 27)}`],
  ['slack', () => `xoxb-${draw('digits', 12)}-${draw('digits', 12)}-${draw('alnum', 24)}`],
  ['slack', () => `xoxe.xoxp-1-${draw('alnum', 160)}`],
  ['slack', () => `xapp-1-${draw('capital', 11)}-${draw('digits', 13)}-${draw('hex', 64)}`],
  [
    'slack',
    () =>
      `https://hooks.slack.com/services/T${draw('capital', 9)}/B${draw('capital', 9)}/${draw('alnum', 24)}`,
  ],
  ['telegram_bot', () => `telegram bot ${draw('digits', 9)}:A${draw('alnum', 34)}`],
  [
    'teams_webhook',
    () =>
      `https://acme.webhook.office.com/webhookb2/${uuid()}@${uuid()}/IncomingWebhook/${draw('hex', 32)}/${uuid()}`,
  ],
  ['linear', () => `lin_api_${draw('alnum', 40)}`],
  ['notion', () => `ntn_${draw('digits', 11)}${draw('alnum', 35)}`],
  ['figma', () => `figd_${draw('url', 40)}`],
  ['airtable', () => `pat${draw('alnum', 14)}.${draw('hex', 64)}`],
  ['postman', () => `PMAK-${draw('hex', 24)}-${draw('hex', 34)}`],
  ['readme', () => `rdme_${draw('small', 70)}`],
  ['typeform', () => `tfp_${draw('alnum', 59)}`],
  ['grafana', () => `glsa_${draw('alnum', 32)}_${draw('hex', 8)}`],
  ['grafana', () => `glc_${draw('base64', 60)}==`],
  ['newrelic', () => `NRAK-${draw('capital', 27)}`],
  ['sentry', () => `sntryu_${draw('hex', 64)}`],
  ['dynatrace', () => `dt0c01.${draw('capital', 24)}.${draw('capital', 64)}`],
  ['sonar', () => `squ_${draw('hex', 40)}`],
  ['onepassword', () => `ops_eyJ${draw('base64', 260)}`],
  ['onepassword', () => `A3-${[6, 11, 5, 5, 5].map((size) => draw('capital', size)).join('-')}`],
  ['age', () => `AGE-SECRET-KEY-1${draw('bech32', 58)}`],
  ['tailscale', () => `tskey-auth-${draw('alnum', 17)}-${draw('alnum', 32)}`],
  ['harness', () => `pat.${draw('alnum', 22)}.${draw('hex', 24)}.${draw('alnum', 20)}`],
  ['sourcegraph', () => `sgp_${draw('hex', 16)}_${draw('hex', 40)}`],
  ['maxmind', () => `${draw('alnum', 6)}_${draw('alnum', 29)}_mmk`],
  ['clickhouse', () => `4b1d${draw('alnum', 38)}`],
  ['artifactory', () => `AKCp${draw('alnum', 69)}`],
  ['openshift', () => `sha256~${draw('url', 43)}`],
  ['octopus', () => `API-${draw('capital', 26)}`],
  ['stripe', () => `sk_live_${draw('alnum', 24)}`],
  ['stripe', () => `rk_test_${draw('alnum', 99)}`],
  ['square', () => `sq0atp-${draw('url', 22)}`],
  ['shippo', () => `shippo_live_${draw('hex', 40)}`],
  ['plaid', () => `access-sandbox-${uuid()}`],
  ['flutterwave', () => `FLWSECK_TEST-${draw('oct', 12)}`],
  ['shopify', () => `shpat_${draw('hex', 32)}`],
  ['sendgrid', () => `SG.${draw('url', 22)}.${draw('url', 43)}`],
  ['mailchimp', () => `${draw('hex', 32)}-us12`],
  ['sendinblue', () => `xkeysib-${draw('hex', 64)}-${draw('alnum', 16)}`],
  ['twilio', () => `SK${draw('hex', 32)}`],
  ['facebook', () => `EAAM${draw('alnum', 120)}`],
  ['facebook', () => `${draw('digits', 16)}|${draw('url', 27)}`],
  ['twitter', () => `AAAAAAAAAAAAAAAAAAAAAA${draw('alnum', 90)}`],
  ['jwt', jwt],
  ['private_key_pem', () => pem('RSA PRIVATE KEY')],
  ['private_key_pem', () => pem('OPENSSH PRIVATE KEY')],
  ['private_key_pem', () => pem('PRIVATE KEY')],
  ['private_key_pem', () => pem('PGP PRIVATE KEY BLOCK')],
]

/** Shapes that need the name of their vendor, or a structure around them. */
const NAMED: readonly (readonly [string, () => string])[] = [
  ['deepseek', () => `DEEPSEEK_API_KEY=sk-${draw('small', 32)}`],
  ['elevenlabs', () => `xi-api-key: ${draw('hex', 32)}`],
  ['cohere', () => `CO_API_KEY=${draw('alnum', 40)}`],
  ['azure_openai', () => `AZURE_OPENAI_API_KEY="${draw('hex', 32)}"`],
  ['azure_openai', () => `azure openai key: ${draw('alnum', 84)}`],
  ['wandb', () => `wandb login ${draw('hex', 40)}`],
  ['assemblyai', () => `assemblyai key ${draw('small', 32)}`],
  ['deepgram', () => `deepgram: ${draw('small', 40)}`],
  ['clarifai', () => `clarifai ${draw('small', 32)}`],
  ['aws_secret', () => `aws_secret_access_key = ${draw('base64', 40)}`],
  ['aws_secret', () => `"AWS_SECRET_KEY": "${draw('base64', 40)}"`],
  ['cloudflare', () => `CLOUDFLARE_API_TOKEN=${draw('url', 40)}`],
  ['heroku', () => `heroku api key ${uuid()}`],
  ['alibaba', () => `alibaba secret: ${draw('alnum', 30)}`],
  ['bitbucket', () => `bitbucket_secret=${draw('alnum', 32)}`],
  ['atlassian', () => `jira token ${draw('alnum', 20)}${draw('hex', 4)}`],
  ['discord', () => `discord token M${draw('alnum', 25)}.${draw('alnum', 6)}.${draw('alnum', 38)}`],
  ['datadog', () => `datadog_app_key=${draw('small', 40)}`],
  ['snyk', () => `SNYK_TOKEN=${uuid()}`],
  ['coinbase', () => `coinbase secret ${draw('url', 64)}`],
  ['kraken', () => `kraken ${draw('base64', 86)}`],
  ['contentful', () => `contentful ${draw('url', 43)}`],
  ['algolia', () => `ALGOLIA_KEY=${draw('small', 32)}`],
  ['asana', () => `asana secret ${draw('small', 32)}`],
  ['launchdarkly', () => `launchdarkly ${draw('url', 40)}`],
  ['messagebird', () => `messagebird key ${draw('alnum', 25)}`],
  ['gocardless', () => `gocardless live_${draw('alnum', 40)}`],
  ['mailgun', () => `mailgun key-${draw('hex', 32)}`],
  ['yandex', () => `yandex YC${draw('url', 38)}`],
  ['secp256k1_private_key', () => `ethereum private key 0x${draw('hex', 64)}`],
  ['db_connection_string', () => `postgres://app:${draw('alnum', 12)}@db.acme.dev:5432/app`],
  ['db_connection_string', () => `mongodb+srv://app:${draw('alnum', 12)}@cluster0.acme.dev`],
  ['db_connection_string', () => `postgresql+asyncpg://app:${draw('alnum', 9)}@db/app`],
  ['db_connection_string', () => `redis://:${draw('alnum', 16)}@cache:6379/0`],
  ['db_connection_string', () => `Server=db1;Database=x;User Id=sa;Password=${draw('alnum', 10)};`],
  ['basic_auth_url', () => `https://deploy:${draw('alnum', 14)}@git.acme.dev/x.git`],
  ['curl_credentials', () => `curl -s -u "admin:${draw('alnum', 12)}" https://acme.dev`],
  [
    'curl_credentials',
    () => `curl -H "Authorization: Bearer ${draw('alnum', 30)}" https://acme.dev`,
  ],
  ['docker_config_auth', () => `{"auths":{"acme.dev":{"auth":"${draw('base64', 32)}"}}}`],
  [
    'kubernetes_secret_yaml',
    () =>
      `apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ndata:\n  blob: ${draw('base64', 24)}\n`,
  ],
  [
    'google_service_account',
    () => '{"type": "service_account", "project_id": "p", "private_key": "x"}',
  ],
  ['env_assignment', () => `SERVICE_TOKEN=${draw('alnum', 32)}`],
  ['env_assignment', () => `"apiKey": "${draw('alnum', 28)}"`],
  ['env_assignment', () => `DB_PASSWORD=${draw('alnum', 24)}`],
  ['password', () => `my password is ${draw('alnum', 9)}-t7R`],
]

for (const [type, make] of [...PREFIXED, ...NAMED]) {
  t.test(`${type} is found`, async (t) => {
    for (let round = 0; round < 3; round++) {
      const value = make()
      t.same(typesIn(value), [type], 'alone')
      t.same(typesIn(`Why does this fail?\n\n  ${value}\n\nThanks.`), [type], 'in a text')
    }
  })
}

for (const [type, make] of PREFIXED.filter(([type]) => type !== 'private_key_pem')) {
  t.test(`${type} is found in code, in JSON and in a sentence`, async (t) => {
    const value = make()
    const text = `client = new Client({ x: "${value}" })`
    t.same(typesIn(text), [type], 'in code')
    t.same(
      typesIn(JSON.stringify({ messages: [{ role: 'user', content: text }] })),
      [type],
      'in JSON',
    )
    t.same(typesIn(`(${value}).`), [type], 'in brackets, before a full stop')
    t.same(detect({ text: `${value}\n${value}` }).input.findings[0]?.count, 2, 'twice')
  })
}

const NONE: readonly (readonly [string, string])[] = [
  ['a template', 'OPENAI_API_KEY=${OPENAI_API_KEY}'],
  ['another template', 'token: {{ secrets.deploy_token_1 }}'],
  ['a reading of the environment', 'const apiKey = process.env.OPENAI_API_KEY_2'],
  ['a documented example', ['aws_access_key_id = AKIA', 'IOSFODNN7', 'EXAMPLE'].join('')],
  ['a placeholder of crosses', `sk-proj-${'x'.repeat(48)}`],
  ['stars', `api_key: ${'*'.repeat(32)}`],
  ['words', 'password: correct'],
  ['a call', 'token = getTokenFromVault1(name)'],
  ['a keyword with another meaning', '  "credentialId": "B9mTcFSck2LzJO2S3ols63",'],
  ['a version', 'key-manager: 10.14.2-beta.11'],
  ['a git hash', 'commit 3f1c9d5be0aa17c5f1c2a85b40e21b2b7a9f6d3e'],
  ['a checksum', 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'],
  ['a uuid', 'request 0f8fad5b-d9cb-469f-a165-70867728950e'],
  ['an integrity hash', '"integrity": "sha512-6yZ1yXm1Yj8sFqQn1U5t3mZJ1pQ0cCwK7eYyB2d9bTn0kq=="'],
  [
    'a public key',
    '-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n-----END PUBLIC KEY-----',
  ],
  ['a key without a body', '-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----'],
  ['a URL with a stand-in', 'postgres://user:password@localhost:5432/app'],
  ['a URL with a template', 'postgres://app:${PASSWORD}@db/app'],
  ['a URL with a port', 'https://acme.dev:8443/path@2'],
  ['curl with a template', 'curl -k -X POST -I -u "SRVC_JENKINS:${APPID}"'],
  ['a long identifier', 'calculateTheTotalOfAllInvoicesForTheCurrentYear2024'],
]
for (const [what, text] of NONE)
  t.test(`${what} is no secret`, async (t) => t.same(typesIn(text), []))

t.test('a shape that is one character short is none', async (t) => {
  t.same(typesIn(`ghp_${draw('alnum', 35)}`), [])
  t.same(typesIn(`x AKIA${draw('base32', 15)}`), [])
  t.same(typesIn(`npm_${draw('alnum', 37)}`), [], 'nor one that is too long')
})

t.test('a vendor named too far away makes no key', async (t) => {
  t.same(typesIn(`cohere ${'and so on '.repeat(8)} ${draw('alnum', 40)}`), [])
})

t.test('a token inside a URL is the token, not the URL', async (t) => {
  t.same(typesIn(`https://x:ghp_${draw('alnum', 36)}@github.com/a/b`), ['github'])
})

t.test('a key whose end is cut off is a key', async (t) => {
  t.same(typesIn(pem('PRIVATE KEY').slice(0, 400)), ['private_key_pem'])
})

function typesIn(text: string): readonly string[] {
  return detect({ text }).input.finding_types
}
