// Every setting, its default and what it expects (INTERFACES section 2; docs/reference/config.md is compared with it).

import { join } from 'node:path'
import { RISK_HISTORY } from '../model/risk.ts'
import { budgets } from './budgets.ts'
import { bundleSettings } from './bundles.ts'
import {
  autoOrCount,
  contact,
  count,
  duration,
  fileOrStdout,
  flag,
  type Leaf,
  listen,
  networkMappings,
  networks,
  oneOf,
  path,
  paths,
  ports,
  secretText,
  size,
  text,
  textMap,
  texts,
} from './leaf.ts'
import { originCertificates } from './origins.ts'
import { days, hours, weight } from './risk.ts'

/** The folder that what is shipped lies in: policies, signatures, migrations. */
export const PROGRAM_DIR = join(import.meta.dirname, '../..')

export const SCHEMA = {
  data_dir: path('.cordon'),
  database_url: secretText('', 'empty, or postgres://...', /^postgres(ql)?:\/\/\S+$/),
  redis_url: secretText('', 'empty, or redis://...', /^rediss?:\/\/\S+$/),
  tenant: text('default'),
  proxy: {
    listen: listen('127.0.0.1:3128'),
    clients: networks(['127.0.0.0/8', '::1/128']),
    workers: autoOrCount(256),
    anonymous: oneOf('allow', ['allow', 'deny']),
    htpasswd: path(''),
    networks: networkMappings(),
    egress: {
      ports: ports([80, 443]),
      connect_ports: ports([443]),
      private: oneOf('deny', ['deny', 'allow']),
      allow: texts([], 'a list of networks, hosts or host:port'),
    },
    resolve: textMap('a map such as {"api.openai.com:443": "127.0.0.1:18443"}'),
    trust: paths([]),
    upstream: secretText('', 'empty, or http://user:pass@host:port', /^http:\/\/\S+$/),
    no_upstream: texts([], 'a list of host suffixes or networks'),
    access_log: fileOrStdout(),
    contact: contact(),
    intercept: {
      enabled: flag(false),
      ca: { cert: path(''), key: path(''), signer: text('') },
      services: texts(
        [],
        'a list of service ids, categories, hosts, host patterns, "*" or "unknown"',
      ),
      never: texts([], 'a list of hosts or host patterns'),
      origins: originCertificates(),
    },
    limits: {
      header_bytes: size('32KiB', 1024),
      headers: count(100, 10, 10_000),
      body_inspect_bytes: size('10MiB'),
      inspect_memory: size('512MiB'),
      connections: count(20_000, 1, 1_000_000),
      per_client: count(1000, 1, 1_000_000),
      idle: duration('10m'),
      connect: duration('10s'),
    },
  },
  api: { listen: listen('127.0.0.1:8181') },
  observe: { listen: listen('127.0.0.1:9464') },
  policy: {
    dirs: paths([join(PROGRAM_DIR, 'policies')]),
    bundles: bundleSettings(),
    bundle_signing: { key: path(''), key_id: text(''), scope: text('') },
    combining: oneOf('priority_tiers', ['priority_tiers', 'most_restrictive']),
    default: {
      approved: effect('allow'),
      review_required: effect('review'),
      prohibited: effect('deny'),
      unknown_ai: effect('allow'),
      other: effect('allow'),
    },
    review: oneOf('refuse', ['refuse', 'allow', 'hold']),
    hold_timeout: duration('60s'),
    review_valid: duration('1h'),
    review_sla: duration('4h'),
    review_escalate_to: texts([], 'a list of users: names, e-mail addresses or external ids'),
    mode: oneOf('enforce', ['enforce', 'warn', 'audit']),
    on_error: oneOf('deny', ['deny', 'ignore']),
  },
  risk: {
    enabled: flag(true),
    weights: {
      user: weight(0.4),
      service: weight(0.5),
      data: weight(0.7),
      device: weight(0.3),
      history: weight(0.5),
      time: weight(0.1),
    },
    levels: { medium: count(25, 1, 100), high: count(50, 1, 100), critical: count(75, 1, 100) },
    working_hours: hours({ from: 7, to: 19 }),
    working_days: days(['mon', 'tue', 'wed', 'thu', 'fri']),
    history: {
      half_life: duration('14d'),
      points: {
        low: count(RISK_HISTORY.points.low, 0, 1000),
        medium: count(RISK_HISTORY.points.medium, 0, 1000),
        high: count(RISK_HISTORY.points.high, 0, 1000),
        critical: count(RISK_HISTORY.points.critical, 0, 1000),
      },
    },
  },
  budgets: budgets(),
  budgets_on_error: oneOf('allow', ['allow', 'deny']),
  signatures: { dirs: paths([]) },
  ledger: {
    record: oneOf('ai', ['ai', 'all']),
    fsync: oneOf('batch', ['batch', 'record', 'off']),
    spool_limit: size('1GiB', 1024 ** 2),
    when_full: oneOf('refuse', ['refuse', 'drop_counted']),
    archive: { dir: path(''), keep: duration('2y'), limit: size('50GiB') },
    retention: {
      decisions: duration('90d'),
      outcomes: duration('90d'),
      violations: duration('2y'),
      audit: duration('7y'),
      aggregates: duration('2y'),
    },
    url_paths: flag(true),
    pseudonymous: flag(false),
  },
} as const

type Settings<S> = S extends Leaf<infer T> ? T : { readonly [K in keyof S]: Settings<S[K]> }

/** Every setting with its value; sizes in bytes, durations in milliseconds, paths absolute. */
export type Config = Settings<typeof SCHEMA>

/** A part of the schema: a setting, or a level of settings. */
export type SchemaNode = Leaf<unknown> | { readonly [key: string]: SchemaNode }

function effect(fallback: 'allow' | 'review' | 'deny'): Leaf<'allow' | 'review' | 'deny'> {
  return oneOf(fallback, ['allow', 'review', 'deny'])
}
