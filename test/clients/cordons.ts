// Two Cordons before the same stand-ins: one that only tunnels, one that opens the AI services.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Place, type Running } from '../support/cordon.ts'
import { HOSTS } from './jobs.ts'
import { type Pki, writeLogins } from './pki.ts'
import { Trust } from './way.ts'

/** Logins whose name begins so are refused; what the others write decides. */
export const BANNED = 'banned'
const REASON = 'this person may not use AI services'

const POLICIES = `
@id("banned")
@priority("900")
@reason("${REASON}")
forbid (principal, action, resource)
when { principal has name && principal.name like "${BANNED}.*" && resource has ai && resource.ai };

@id("no-secrets")
@priority("800")
@reason("the text holds a secret")
forbid (principal, action, resource)
when { context has content && context.content has finding_categories && context.content.finding_categories.contains("secret") };

@id("mask-mail")
@priority("100")
@decision("none")
@obligations("[{\\"type\\": \\"redact\\", \\"parameters\\": {\\"types\\": [\\"email\\"]}}]")
permit (principal, action, resource)
when { context has content && context.content has finding_types && context.content.finding_types.contains("email") };
`

const ALLOWED = Object.fromEntries(
  ['approved', 'review_required', 'prohibited', 'unknown_ai', 'other'].map((kind) => [
    kind,
    'allow',
  ]),
)

export interface Cordon {
  readonly running: Running
  /** The authority that a client has to trust behind it. */
  readonly trust: Trust
}

export class Cordons {
  readonly password: string
  readonly plain: Cordon
  /** With interception. */
  readonly inside: Cordon

  private constructor(plain: Cordon, inside: Cordon, password: string) {
    this.plain = plain
    this.inside = inside
    this.password = password
  }

  static async start(
    dir: string,
    pki: Pki,
    port: number,
    logins: readonly string[],
  ): Promise<Cordons> {
    const password = randomBytes(12).toString('hex')
    const htpasswd = join(dir, 'htpasswd')
    await writeLogins(htpasswd, logins, password)
    const proxy = {
      anonymous: 'deny',
      htpasswd,
      resolve: Object.fromEntries(HOSTS.map((host) => [`${host}:443`, `127.0.0.1:${port}`])),
    }
    const place = await placeWith(proxy)
    const plain = { running: await place.start(), trust: new Trust(pki.ca, join(dir, 'direct')) }
    try {
      return new Cordons(plain, await startInside(dir, pki, proxy), password)
    } catch (error) {
      await plain.running.stop()
      plain.running.place.remove()
      throw error
    }
  }

  async stop(): Promise<void> {
    for (const cordon of [this.plain, this.inside]) {
      await cordon.running.stop()
      cordon.running.place.remove()
    }
  }
}

async function startInside(dir: string, pki: Pki, proxy: object): Promise<Cordon> {
  const place = await placeWith({
    ...proxy,
    trust: [pki.ca],
    intercept: { enabled: true, services: HOSTS },
  })
  try {
    const env = { CORDON_CA_PASSPHRASE: randomBytes(16).toString('hex') }
    await place.done(['ca', 'init'], { env })
    const root = join(dir, 'cordon-root.pem')
    await place.done(['ca', 'export', '--out', root], { env })
    return { running: await place.start(), trust: new Trust(root, join(dir, 'cordon')) }
  } catch (error) {
    place.remove()
    throw error
  }
}

async function placeWith(proxy: object): Promise<Place> {
  const place = await new Place().withStore()
  place.configure({
    proxy,
    policy: { dirs: [join(place.dir, 'policies')], default: ALLOWED },
  })
  place.write('policies/clients.cedar', POLICIES)
  return place
}
