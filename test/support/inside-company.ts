// The small company again, with AI services behind TLS that Cordon may look into.

import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AiOrigin } from './ai-origin.ts'
import type { Place, Settings } from './cordon.ts'
import { anAuthority } from './tls-origin.ts'

export const HOSTS = {
  chat: 'api.open.test',
  claude: 'api.anthro.test',
  banned: 'bad.open.test',
  asked: 'asked.open.test',
  strict: 'strict.open.test',
  peeked: 'peeked.open.test',
  never: 'never.open.test',
  unknown: 'shadow.open.test',
  apart: 'api.apart.test',
  demanded: 'api.demanded.test',
  late: 'api.late.test',
  pinned: 'desktop.chatgpt.com',
} as const

const SERVICES = `
vendor: Test
services:
  - {id: open-chat, name: Open Chat, service_type: chat, protocol: openai, domains: [api.open.test], approval_status: approved}
  - {id: claude-like, name: Claude Like, service_type: chat, protocol: anthropic, domains: [api.anthro.test], approval_status: approved}
  - {id: bad-chat, name: Bad Chat, service_type: banned, protocol: openai, domains: [bad.open.test], approval_status: prohibited}
  - {id: asked, name: Asked for, service_type: chat, protocol: openai, domains: [asked.open.test], approval_status: review_required}
  - {id: strict, name: Strict, service_type: chat, domains: [strict.open.test], approval_status: approved}
  - {id: peeked, name: Peeked at, service_type: chat, protocol: openai, domains: [peeked.open.test], approval_status: approved}
  - {id: never, name: Never, service_type: chat, protocol: openai, domains: [never.open.test], approval_status: approved}
  - {id: apart, name: Apart, service_type: chat, protocol: openai, domains: [api.apart.test], approval_status: approved}
  - {id: demanded, name: Demanded, service_type: chat, protocol: openai, domains: [api.demanded.test], approval_status: approved}
  - {id: late, name: Late, service_type: chat, protocol: openai, domains: [api.late.test], approval_status: approved}
`

const CEDAR = `
@id("no-secrets")
@priority("950")
@severity("critical")
@reason("the text holds a secret")
forbid (principal, action, resource)
when { context has content && context.content has finding_categories && context.content.finding_categories.contains("secret") };

@id("not-for-support")
@priority("800")
@reason("support may not chat")
forbid (principal in Cordon::Department::"Support", action, resource == Cordon::Service::"open-chat");

@id("no-big-model")
@priority("700")
@reason("that model is too dear")
forbid (principal, action, resource)
when { resource has model && resource.model == "dear-model" };

@id("mask-mail")
@priority("100")
@decision("none")
@obligations("[{\\"type\\": \\"redact\\", \\"parameters\\": {\\"types\\": [\\"email\\"]}}]")
permit (principal, action, resource)
when { context has content && context.content has finding_types && context.content.finding_types.contains("email") };

@id("mask-money")
@priority("100")
@decision("none")
@obligations("[{\\"type\\": \\"redact\\", \\"parameters\\": {\\"categories\\": [\\"financial\\"]}}]")
permit (principal, action, resource)
when { context has content && context.content has finding_categories && context.content.finding_categories.contains("financial") };

@id("only-inspected")
@priority("100")
@decision("none")
@obligations("[{\\"type\\": \\"inspect\\"}]")
permit (principal, action, resource)
when { resource == Cordon::Service::"peeked" || resource == Cordon::Service::"demanded" };
`

const REGO = `# METADATA
# scope: package
# title: What is asked
# custom:
#   cordon:
#     id: what-is-asked
#     priority: 600
package acme.asked

deny contains "no streams from this model" if {
	input.content.stream == true
	input.resource.model == "still-model"
}

deny contains "that tool is not to be called" if "delete_everything" in input.content.tools

deny contains "no pictures" if {
	some attachment in input.content.attachments
	attachment.kind == "image"
}

deny contains "what cannot be read does not pass" if {
	input.content.parsed == false
	input.resource.id == "strict"
}
`

/** The selection that the authority of these tests is made for. */
export const SELECTED = ['open-chat', 'claude-like', 'bad-chat', 'asked', 'strict', 'chatgpt']

/** Writes what the settings name, but not the settings. */
export function writeCompany(place: Place, origin: AiOrigin): void {
  place.write('signatures/ours.yaml', SERVICES)
  place.write('policies/ours.cedar', CEDAR)
  place.write('policies/asked.rego', REGO)
  place.write('origins.pem', origin.root)
}

export interface InsideSettings {
  readonly services?: readonly string[]
  readonly intercept?: object
  readonly proxy?: object
  readonly policy?: object
}

export function settingsFor(
  origin: { readonly port: number },
  more: InsideSettings = {},
): Settings {
  return {
    signatures: { dirs: ['signatures'] },
    policy: { dirs: ['policies'], ...more.policy },
    proxy: {
      access_log: 'access.log',
      trust: ['origins.pem'],
      limits: { body_inspect_bytes: '64KiB' },
      resolve: Object.fromEntries(
        Object.values(HOSTS).map((host) => [`${host}:443`, `127.0.0.1:${origin.port}`]),
      ),
      ...more.proxy,
      intercept: {
        enabled: true,
        services: more.services ?? SELECTED,
        never: [HOSTS.never],
        ...more.intercept,
      },
    },
  }
}

export interface MadeAuthority {
  /** PEM of the root that clients trust. */
  readonly root: string
  /** A file that holds it. */
  readonly file: string
  /** For `cordon ca rotate`. */
  readonly env: Readonly<Record<string, string>>
}

/** `cordon ca init` and `export` over the settings in force. */
export async function makeAuthority(place: Place): Promise<MadeAuthority> {
  const env = { CORDON_CA_PASSPHRASE: randomBytes(16).toString('hex') }
  await place.done(['ca', 'init'], { env })
  const file = join(place.dir, 'cordon-root.pem')
  await place.done(['ca', 'export', '--out', file])
  return { root: readFileSync(file, 'utf8'), file, env }
}

/** An authority in files, as several gateways have one. */
export function sharedAuthority(place: Place): {
  readonly root: string
  readonly file: string
  /** For `proxy.intercept.ca`. */
  readonly ca: { readonly cert: string; readonly key: string }
} {
  const { rootCert, chain, key } = anAuthority('Shared', [
    'open.test',
    'anthro.test',
    'chatgpt.com',
  ])
  place.write('shared/issuing.pem', `${chain}${rootCert}`)
  chmodSync(place.write('shared/issuing.key', key), 0o600)
  return {
    root: rootCert,
    file: place.write('shared/root.pem', rootCert),
    ca: { cert: 'shared/issuing.pem', key: 'shared/issuing.key' },
  }
}

/** Maya is an engineer, Ben is in support. */
export async function hireTwo(place: Place): Promise<void> {
  const departments = place.write('departments.csv', 'name\nEngineering\nSupport\n')
  const users = place.write(
    'users.csv',
    'name,email,department\nmaya,maya@acme.example,Engineering\nben,ben@acme.example,Support\n',
  )
  await place.done(['context', 'import', departments, users])
}
