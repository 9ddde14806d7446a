// `cordon check --effective`: what would be enforced for whom, with the mode in force taken into account.

import type { Standing } from '../app/control.ts'
import type { LoadedRules } from '../app/rules.ts'
import type { Config } from '../config/schema.ts'
import { type Mode, MODES } from '../model/decision.ts'
import type { Scope } from '../model/policy.ts'
import { APPROVAL_STATUSES } from '../model/service.ts'
import type { Interception } from '../signatures/interception.ts'
import type { DecidedUnit } from '../store/names.ts'
import { interceptionText, type InterceptionView, interceptionView } from './interception.ts'
import { type Io, printRows } from './io.ts'

export interface EffectiveView {
  readonly revision: string
  /** Of the whole point: `policy.mode`, or a break-glass mode until its end. */
  readonly mode: Mode
  readonly mode_until: string | null
  readonly combining: string
  readonly review: string
  readonly on_error: string
  readonly policies: readonly {
    readonly id: string
    readonly name: string
    readonly mode: Mode
    readonly priority: number
    readonly severity: string
    readonly language: string
    readonly scope: Scope
  }[]
  readonly default: Readonly<Record<string, string>>
  readonly services: {
    readonly total: number
    readonly monitor_only: number
    /** By the service's own status; monitor-only ones are not among them. */
    readonly by_status: Readonly<Record<string, number>>
  }
  readonly interception: InterceptionView
  /** Who has decided otherwise, in the catalogue or in the directory. */
  readonly units: readonly {
    readonly unit: string
    readonly approved: readonly string[]
    readonly prohibited: readonly string[]
  }[]
}

export function effectiveView(
  config: Config,
  { catalogue, policies, revision }: LoadedRules,
  standing: Standing | undefined,
  plans: Interception,
): EffectiveView {
  const { policy } = config
  const override = standing?.override ?? undefined
  const mode = override?.mode ?? policy.mode
  const services = [...catalogue.all()]
  const enforced = services.filter((service) => service.mode === 'enforce')
  return {
    revision,
    mode,
    mode_until: override === undefined ? null : new Date(override.until).toISOString(),
    combining: policy.combining,
    review: policy.review,
    on_error: policy.on_error,
    policies: policies.policies.map(
      ({ id, name, mode: own, priority, severity, language, scope }) => ({
        id,
        name,
        mode: weaker(own, mode),
        priority,
        severity,
        language,
        scope,
      }),
    ),
    default: policy.default,
    services: {
      total: services.length,
      monitor_only: services.length - enforced.length,
      by_status: Object.fromEntries(
        APPROVAL_STATUSES.map((status) => [
          status,
          enforced.filter((service) => service.approval_status === status).length,
        ]),
      ),
    },
    interception: interceptionView(config, catalogue, plans),
    units: unitsOf(services, standing?.names.units ?? []),
  }
}

export function printEffective(io: Io, view: EffectiveView): void {
  const until = view.mode_until === null ? '' : ` until ${view.mode_until} (break-glass)`
  const nothing = view.mode === 'enforce' ? '' : ': nothing is refused'
  io.out.write(
    `mode ${view.mode}${until}${nothing}; combining ${view.combining}, review ${view.review}, errors ${view.on_error}\n\n`,
  )
  printRows(
    io,
    false,
    ['priority', 'policy', 'in effect', 'for'],
    view.policies.map(({ id, mode, priority, scope }) => ({
      priority,
      policy: id,
      'in effect': mode,
      for: scopeText(scope),
    })),
  )
  io.out.write('\n')
  const counts = view.services.by_status
  printRows(
    io,
    false,
    ['where no policy answers', 'answer', 'services'],
    Object.entries(view.default).map(([kind, answer]) => ({
      'where no policy answers': kind,
      answer: view.mode === 'enforce' || answer === 'allow' ? answer : `allow (would be ${answer})`,
      services: kind === 'unknown_ai' ? counts['unknown'] : counts[kind],
    })),
  )
  io.out.write(
    `\n${view.services.monitor_only} of ${view.services.total} AI services are monitor-only: recorded, never refused\n`,
  )
  io.out.write(`${interceptionText(view.interception)}\n`)
  if (view.units.length === 0) return
  io.out.write('\n')
  printRows(io, false, ['unit', 'approved', 'prohibited'], view.units)
}

const WORDS: Readonly<Record<string, string>> = {
  departments: 'department',
  groups: 'group',
  users: 'user',
  roles: 'role',
  services: 'service',
  categories: 'category',
  vendors: 'vendor',
  actions: 'action',
  sources: 'door',
  labels: 'label',
}

function scopeText(scope: Scope): string {
  const parts = Object.entries(scope).flatMap(([key, list]) =>
    list.length === 0 ? [] : [`${WORDS[key] ?? key} ${list.join(' or ')}`],
  )
  return parts.length === 0 ? 'everybody, everything' : parts.join(', ')
}

/** Effective is the weaker of point and policy. */
function weaker(a: Mode, b: Mode): Mode {
  return MODES.indexOf(a) >= MODES.indexOf(b) ? a : b
}

function unitsOf(
  services: readonly {
    readonly id: string
    readonly approved_for: readonly string[]
    readonly prohibited_for: readonly string[]
  }[],
  decided: readonly DecidedUnit[],
): EffectiveView['units'] {
  const units = new Map<string, { approved: Set<string>; prohibited: Set<string> }>()
  const unit = (name: string): { approved: Set<string>; prohibited: Set<string> } => {
    const known = units.get(name) ?? { approved: new Set(), prohibited: new Set() }
    units.set(name, known)
    return known
  }
  for (const { id, approved_for: approved, prohibited_for: prohibited } of services) {
    for (const name of approved) unit(name).approved.add(id)
    for (const name of prohibited) unit(name).prohibited.add(id)
  }
  for (const { name, approved, prohibited } of decided) {
    for (const id of approved) unit(name).approved.add(id)
    for (const id of prohibited) unit(name).prohibited.add(id)
  }
  return [...units]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { approved, prohibited }]) => ({
      unit: name,
      approved: [...approved].toSorted(),
      prohibited: [...prohibited].toSorted(),
    }))
}
