// A small company for the tests of the whole program: services, policies and people.

import type { Place } from './cordon.ts'

/** Its services: one for each way that things can go. */
export const SERVICES = `
vendor: Test
services:
  - {id: open-chat, name: Open Chat, service_type: chat, protocol: openai, domains: [chat.open.test], approval_status: approved}
  - {id: other-chat, name: Other Chat, service_type: chat, protocol: openai, domains: [chat.other.test], approval_status: approved}
  - {id: bad-openai, name: Bad One, service_type: banned, protocol: openai, domains: [openai.bad.test]}
  - {id: bad-anthropic, name: Bad Two, service_type: banned, protocol: anthropic, domains: [anthropic.bad.test]}
  - {id: bad-gemini, name: Bad Three, service_type: banned, protocol: gemini, domains: [gemini.bad.test]}
  - {id: watched, name: Watched, service_type: banned, mode: monitor, domains: [watched.test]}
  - {id: frowned, name: Frowned upon, service_type: frowned, domains: [frowned.test], approval_status: approved}
  - {id: asked, name: Asked for, service_type: chat, domains: [asked.test], approval_status: review_required}
`

export const POLICIES = `
@id("banned")
@priority("900")
@severity("high")
@reason("this service is banned")
forbid (principal, action, resource in Cordon::Category::"banned");

@id("frowned")
@priority("500")
@mode("warn")
@reason("we frown upon this")
forbid (principal, action, resource in Cordon::Category::"frowned");

@id("no-interns")
@priority("800")
@reason("interns may not chat")
forbid (principal in Cordon::Group::"interns", action, resource == Cordon::Service::"open-chat");

@id("no-secrets")
@priority("950")
@severity("critical")
@reason("the text holds a secret")
forbid (principal, action, resource)
when { context has content && context.content has finding_categories && context.content.finding_categories.contains("secret") };
`

/** Everything but the ports: where it lies, and who goes where. */
export function company(
  place: Place,
  standInPort: number,
  more: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  place.write('signatures/ours.yaml', SERVICES)
  place.write('policies/ours.cedar', POLICIES)
  const hosts = [
    'chat.open.test',
    'chat.other.test',
    'openai.bad.test',
    'anthropic.bad.test',
    'gemini.bad.test',
    'watched.test',
    'frowned.test',
    'asked.test',
    'plain.test',
  ]
  const { proxy, ...rest } = more
  return {
    signatures: { dirs: ['signatures'] },
    policy: { dirs: ['policies'] },
    ...rest,
    proxy: {
      access_log: 'access.log',
      resolve: Object.fromEntries(
        hosts.flatMap((host) => [
          [`${host}:80`, `127.0.0.1:${standInPort}`],
          [`${host}:443`, `127.0.0.1:${standInPort}`],
        ]),
      ),
      ...(proxy as object | undefined),
    },
  }
}

/** Maya is an engineer, Ben an intern. */
export async function hire(place: Place): Promise<void> {
  const departments = place.write('departments.csv', 'name,parent\nCompany,\nEngineering,Company\n')
  const groups = place.write('groups.csv', 'name\ninterns\nstaff\n')
  const users = place.write(
    'users.csv',
    'name,email,external_id,department,groups\nmaya,maya@acme.example,e-1,Engineering,staff\nben,ben@acme.example,e-2,Engineering,interns\n',
  )
  await place.done(['context', 'import', departments, groups, users])
}

/** `name:token`, as Basic takes it. */
export async function loginOf(place: Place, name: string): Promise<string> {
  return `${name}:${(await place.done(['token', 'create', '--user', name])).trim()}`
}

export async function keyWith(place: Place, scope: string, user?: string): Promise<string> {
  const owner = user === undefined ? [] : ['--user', user]
  return (await place.done(['key', 'create', '--name', scope, '--scope', scope, ...owner])).trim()
}
