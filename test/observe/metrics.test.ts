// The instruments as Prometheus sees them, added up over processes.

import { Histogram, Registry } from 'prom-client'
import t from 'tap'
import { aggregate, Metrics } from '../../src/observe/metrics.ts'

t.test('stages are told as a histogram of prom-client would tell them', async (t) => {
  const metrics = new Metrics({ processMetrics: false })
  const registry = new Registry()
  const peer = new Histogram({
    name: 'cordon_decision_duration_seconds',
    help: 'Time of one decision by stage.',
    labelNames: ['stage'],
    buckets: [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 1],
    registers: [registry],
  })
  for (const [stage, seconds] of [
    ['context', 0],
    ['context', 0.00001],
    ['policy', 0.000_09],
    ['policy', 0.5],
    ['total', 7],
  ] as const) {
    metrics.stageSeconds.observe(stage, seconds)
    peer.observe({ stage }, seconds)
  }
  const linesOf = (text: string): string[] =>
    text
      .split('\n')
      .filter((line) => line.includes('decision_duration'))
      .map((line) =>
        line.replace(/\{(.*)\}/, (_, labels: string) => labels.split(',').toSorted().join()),
      )
      .toSorted()
  const ours = await aggregate([await metrics.values(), await metrics.values()])
  const theirs = await aggregate([
    await registry.getMetricsAsJSON(),
    await registry.getMetricsAsJSON(),
  ])
  t.same(linesOf(ours), linesOf(theirs))
  t.match(ours, /cordon_decision_duration_seconds_count\{stage="policy"\} 4/)
})

t.test('services and departments are capped, the rest is counted as other', async (t) => {
  const metrics = new Metrics({ processMetrics: false })
  for (let index = 0; index < 500; index++)
    metrics.countAiDecision('ALLOW', `service-${index}`, 'Sales')
  const text = await aggregate([await metrics.values()])
  const series = text.split('\n').filter((line) => line.startsWith('cordon_ai_decisions_total{'))
  t.equal(series.length, 201)
  t.match(text, /service="other",department="Sales"\} 300/)
  for (let index = 0; index < 500; index++)
    metrics.countAiBytes(10, 'sni', 'pinned', `department-${index}`)
  const bytes = await aggregate([await metrics.values(), await metrics.values()])
  t.match(bytes, /visibility="sni",reason="pinned",department="other"\} 6020/)
})
