// The named instruments of INTERFACES section 5; docs/reference/metrics.md is compared with this file.
//
// One Metrics a process; the primary adds up those of its workers (`aggregate`). No label is without a bound.

import {
  AggregatorRegistry,
  collectDefaultMetrics,
  Counter,
  Gauge,
  Histogram,
  Registry,
} from 'prom-client'
import { SEVERITIES } from '../model/decision.ts'
import { StageHistogram } from './stage-histogram.ts'

/** Services, departments and policies are capped; the rest is counted under `other`. */
const MAX_LABEL_VALUES = 200
const STAGE_BUCKETS = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 1,
]
const DISK_BUCKETS = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5]
const UPSTREAM_BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Gauges that call themselves totals, which promtool refuses; the same without the suffix remain. */
const MISNAMED = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`)

/** What a process measures. `values` is what crosses to the primary. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #services = new LabelCap(MAX_LABEL_VALUES)
  readonly #departments = new LabelCap(MAX_LABEL_VALUES)
  readonly #policies = new LabelCap(MAX_LABEL_VALUES)

  readonly decisions = this.#counter(
    'cordon_decisions_total',
    'Decisions by outcome, door and mode.',
    ['decision', 'source', 'mode'],
  )
  readonly aiDecisions = this.#counter(
    'cordon_ai_decisions_total',
    'Decisions on AI services by service and department.',
    ['decision', 'service', 'department'],
  )
  readonly stageSeconds = this.#stages(
    'cordon_decision_duration_seconds',
    'Time of one decision by stage.',
  )
  readonly violations = this.#counter(
    'cordon_violations_total',
    'Violations opened, grouped per person, policy, service and day.',
    ['severity'],
  )
  readonly policyErrors = this.#counter(
    'cordon_policy_errors_total',
    'Policies that failed while being evaluated.',
    [],
  )
  readonly reviewErrors = this.#counter(
    'cordon_review_errors_total',
    'Reviews that the store could not take; such a request is refused without a review id.',
    [],
  )
  readonly reviewsPending = this.#gauge(
    'cordon_reviews_pending',
    'Reviews that nobody has answered; told by control roles.',
    [],
  )
  readonly reviewsOverdue = this.#gauge(
    'cordon_reviews_overdue',
    'Reviews that nobody has answered within policy.review_sla; told by control roles.',
    [],
  )
  readonly reviewEscalations = this.#counter(
    'cordon_review_escalations_total',
    'Times that a review was escalated.',
    [],
  )
  readonly exceptions = this.#gauge(
    'cordon_exceptions',
    'Exceptions that wait or are in force; told by control roles.',
    ['status'],
  )
  readonly exceptionUses = this.#counter(
    'cordon_exception_uses_total',
    'Requests that exceptions let through, and those they did not: no use was left, or the store could not count it.',
    ['outcome'],
  )
  readonly budgetDenied = this.#counter(
    'cordon_budget_denied_total',
    'Requests that a budget refused or sent to a reviewer.',
    ['budget'],
  )
  readonly budgetCuts = this.#counter(
    'cordon_budget_cuts_total',
    'Running answers that ended because their budget had run out.',
    ['budget'],
  )
  readonly budgetErrors = this.#counter(
    'cordon_budget_errors_total',
    'Steps of counting that failed; `budgets_on_error` says what became of the request.',
    [],
  )
  readonly requests = this.#counter(
    'cordon_requests_total',
    'Requests by door and how they ended.',
    ['door', 'outcome'],
  )
  readonly limits = this.#counter(
    'cordon_limits_total',
    'Requests and connections that hit a bound.',
    ['limit'],
  )
  readonly upstreamSeconds = this.#histogram(
    'cordon_upstream_duration_seconds',
    'From the request forwarded to the first byte of the answer.',
    [],
    UPSTREAM_BUCKETS,
  )
  readonly spoolRecords = this.#gauge(
    'cordon_spool_records',
    'Records in the spool that are not yet in the store.',
    [],
  )
  readonly spoolBytes = this.#gauge(
    'cordon_spool_bytes',
    'Bytes in the spool that are not yet in the store.',
    [],
  )
  readonly spoolGapRecords = this.#counter(
    'cordon_spool_gap_records_total',
    'Records that could not be kept, as told by gap records.',
    [],
  )
  readonly spoolWriteSeconds = this.#histogram(
    'cordon_spool_write_duration_seconds',
    'From records given to the disk to its answer, which answers wait for.',
    [],
    DISK_BUCKETS,
  )
  readonly spoolSyncSeconds = this.#histogram(
    'cordon_spool_sync_duration_seconds',
    'Time of one sync of the spool (fdatasync).',
    [],
    DISK_BUCKETS,
  )
  readonly checkpointAgeSeconds = this.#oldest(
    'cordon_checkpoint_age_seconds',
    'How long ago the oldest record was written that no signed checkpoint covers; 0 where all are covered.',
  )
  readonly recorderLagSeconds = this.#gauge(
    'cordon_recorder_lag_seconds',
    'Age of the oldest record that is not yet in the store.',
    [],
  )
  readonly recorderBatches = this.#counter(
    'cordon_recorder_batches_total',
    'Batches shipped to the store.',
    ['outcome'],
  )
  readonly streams = this.#gauge('cordon_streams', 'Open streams of decisions.', [])
  readonly streamEvents = this.#counter(
    'cordon_stream_events_total',
    'Decisions sent to readers of streams.',
    [],
  )
  readonly streamStalls = this.#counter(
    'cordon_stream_stalls_total',
    'Times that the reader of a stream took nothing for a moment and was waited for.',
    [],
  )
  readonly upkeepRuns = this.#counter(
    'cordon_upkeep_runs_total',
    'Runs of the work that the store needs (sums, retention, compression) by outcome.',
    ['outcome'],
  )
  readonly upkeepDone = this.#gauge(
    'cordon_upkeep_last_success_timestamp_seconds',
    'When a run of this process last did all of it.',
    [],
  )
  readonly upkeepSeconds = this.#gauge(
    'cordon_upkeep_duration_seconds',
    'Time that each step of the last run took.',
    ['step'],
  )
  readonly storeRemoved = this.#counter(
    'cordon_store_removed_rows_total',
    'Rows that went because of their age.',
    ['table'],
  )
  readonly storeInfo = this.#gauge('cordon_store_info', 'What the database does by itself; 1.', [
    'timescaledb',
    'licence',
    'series',
    'aggregates',
    'compression',
  ])
  readonly contextCache = this.#counter(
    'cordon_context_cache_total',
    'Look-ups of people by tier and outcome.',
    ['tier', 'outcome'],
  )
  readonly signatures = this.#gauge('cordon_signatures', 'AI services in the catalogue.', [])
  readonly policies = this.#gauge('cordon_policies', 'Active policies by mode.', ['mode'])
  readonly policyRevision = this.#gauge(
    'cordon_policy_revision_info',
    'The revision in force; 1.',
    ['revision'],
  )
  readonly policyQuarantined = this.#gauge(
    'cordon_policy_quarantined',
    'Processes that do not ask a policy because it took too long again and again.',
    ['policy'],
  )
  readonly policyActivated = this.#oldest(
    'cordon_policy_bundle_activated_timestamp_seconds',
    'When the bundle in force was taken into force; the stored policies are the bundle `store`.',
    ['bundle'],
  )
  readonly policyRefused = this.#counter(
    'cordon_policy_bundle_refused_total',
    'Bundles that were refused, so that the last good one stayed in force.',
    ['bundle'],
  )
  readonly bundleFetches = this.#counter(
    'cordon_policy_bundle_fetches_total',
    'Requests for bundles of `policy.bundles` by outcome.',
    ['bundle', 'outcome'],
  )
  readonly rejudged = this.#counter(
    'cordon_rejudged_total',
    'Tunnels, sockets and streams that were judged again while they were open.',
    ['outcome'],
  )
  readonly interceptions = this.#counter(
    'cordon_interception_total',
    'TLS connections by what became of them.',
    ['outcome', 'reason'],
  )
  readonly aiBytes = this.#counter(
    'cordon_ai_bytes_total',
    'Body bytes exchanged with AI services, known or suspected, by what was visible of them.',
    ['visibility', 'reason', 'department'],
  )
  readonly connections = this.#gauge('cordon_connections', 'Open client connections.', ['door'])
  readonly accessLogDropped = this.#counter(
    'cordon_access_log_dropped_total',
    'Access log lines that found the buffer full.',
    [],
  )
  readonly workerRestarts = this.#counter(
    'cordon_worker_restarts_total',
    'Gateway workers that ended and were started again.',
    [],
  )

  constructor(options: { readonly processMetrics: boolean } = { processMetrics: true }) {
    // A series that begins with its first event hides that event from `increase`, and an alert stands on it.
    for (const severity of SEVERITIES) this.violations.inc({ severity }, 0)
    for (const outcome of ['let_through', 'used_up', 'not_counted'])
      this.exceptionUses.inc({ outcome }, 0)
    if (!options.processMetrics) return
    collectDefaultMetrics({ register: this.#registry })
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name)
  }

  countAiDecision(decision: string, service: string, department: string): void {
    this.aiDecisions.inc({
      decision,
      service: this.#services.of(service),
      department: this.#departments.of(department),
    })
  }

  /** `change`: 1 when a policy is held, -1 when it is asked again. */
  countQuarantined(policy: string, change: 1 | -1): void {
    this.policyQuarantined.inc({ policy: this.#policies.of(policy) }, change)
  }

  /** Visibility and reason are lists of the model; departments are capped. */
  countAiBytes(bytes: number, visibility: string, reason: string, department: string): void {
    const labels = { visibility, reason, department: this.#departments.of(department) }
    this.aiBytes.inc(labels, bytes)
  }

  /** The values, ready to be sent to another process. */
  values(): Promise<object[]> {
    return this.#registry.getMetricsAsJSON()
  }

  /** The names, kinds and help texts, for the reference page and its test. */
  describe(): {
    readonly name: string
    readonly help: string
    readonly type: string
    readonly labels: readonly string[]
  }[] {
    return this.#registry
      .getMetricsAsArray()
      .map((metric) => ({
        name: metric.name,
        help: metric.help,
        type: String(metric.type),
        labels: 'labelNames' in metric ? (metric.labelNames as string[]) : [],
      }))
      .filter(({ name }) => name.startsWith('cordon_'))
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.#registry] })
  }

  #gauge<L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] })
  }

  /** A gauge of which the greatest of all processes counts. */
  #oldest<L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
  ): Gauge<L> {
    return new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      aggregator: 'max',
      registers: [this.#registry],
    })
  }

  #stages(name: string, help: string): StageHistogram {
    const histogram = new StageHistogram(name, help, STAGE_BUCKETS)
    this.#registry.registerMetric(histogram as unknown as Histogram)
    return histogram
  }

  #histogram<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: number[],
  ): Histogram<L> {
    return new Histogram({
      name,
      help,
      labelNames: [...labelNames],
      buckets,
      registers: [this.#registry],
    })
  }
}

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE

/** The text exposition of several processes' values added up. */
export function aggregate(processes: object[][]): Promise<string> {
  return AggregatorRegistry.aggregate(processes).metrics()
}

/** Lets the first `limit` values through and calls every later one `other`. */
class LabelCap {
  readonly #limit: number
  readonly #seen = new Set<string>()

  constructor(limit: number) {
    this.#limit = limit
  }

  of(value: string): string {
    if (this.#seen.has(value)) return value
    if (this.#seen.size >= this.#limit) return 'other'
    this.#seen.add(value)
    return value
  }
}
