// Which CONNECTs are served in the origin's place, and the connections that are.

import type { Destination } from '../model/request.ts'
import type { Interception } from '../signatures/interception.ts'
import type { Issuer } from '../tls/issuer.ts'
import type { ClientParts } from './client-connection.ts'
import { Intercepted, type InterceptedOwner, vetHello } from './intercepted.ts'
import { LeafServers } from './leaf-servers.ts'
import { OriginContacts } from './origin-contacts.ts'
import type { InterceptedTunnel, InterceptPlan, Interceptor, ProxyMetrics } from './ports.ts'
import type { Vet } from './tunnel.ts'

/** What is intercepted, and by which authority; replaced whole. */
export interface InterceptionRules {
  readonly selection: Interception
  readonly issuer: Issuer
  /** 48 bytes, the same in every worker. */
  readonly ticketKeys: Buffer
}

const OUTSIDE = { intercept: false, reason: 'outside_authority' } as const

export class Interceptions implements Interceptor, InterceptedOwner {
  readonly #client: ClientParts
  readonly #metrics: ProxyMetrics
  readonly #isDraining: () => boolean
  readonly #leaves: LeafServers
  readonly #contacts: OriginContacts
  readonly #open = new Set<Intercepted>()
  #rules: InterceptionRules

  constructor(client: ClientParts, isDraining: () => boolean, rules: InterceptionRules) {
    this.#client = client
    this.#metrics = client.metrics
    this.#isDraining = isDraining
    this.#rules = rules
    this.#contacts = new OriginContacts(client.origins)
    this.#leaves = new LeafServers({
      issuer: () => this.#rules.issuer,
      ticketKeys: () => this.#rules.ticketKeys,
      now: Date.now,
    })
  }

  get draining(): boolean {
    return this.#isDraining()
  }

  /** New handshakes go by these; what is open stays open. */
  replace(rules: InterceptionRules): void {
    this.#rules = rules
    this.#leaves.clear()
    this.#contacts.forget()
  }

  plan({ host, port }: Destination): InterceptPlan {
    const plan = this.#rules.selection.plan(host, port)
    if (!plan.intercept) return this.#spliced(plan)
    return this.#rules.issuer.mayIssue(host) ? plan : this.#spliced(OUTSIDE)
  }

  readonly can = ({ host, port }: Destination): boolean => {
    const { selection, issuer } = this.#rules
    const plan = selection.plan(host, port)
    return (plan.intercept || plan.reason === 'not_selected') && issuer.mayIssue(host)
  }

  serve(tunnel: InterceptedTunnel): void {
    const parts = { client: this.#client, leaves: this.#leaves, contacts: this.#contacts }
    const intercepted = new Intercepted(parts, this, tunnel)
    if (!intercepted.isOver) this.#open.add(intercepted)
  }

  vet({ host, port }: Destination): Vet {
    return vetHello(
      host,
      (name) => this.#rules.selection.plan(name, port).intercept,
      (reason) => this.#metrics.interceptions.inc({ outcome: 'refused', reason }),
    )
  }

  over(connection: Intercepted): void {
    this.#open.delete(connection)
  }

  drain(): void {
    for (const connection of this.#open) connection.drain()
  }

  destroy(): void {
    for (const connection of this.#open) connection.destroy()
  }

  #spliced(plan: Extract<InterceptPlan, { intercept: false }>): InterceptPlan {
    this.#metrics.interceptions.inc({ outcome: 'spliced', reason: plan.reason })
    return plan
  }
}
