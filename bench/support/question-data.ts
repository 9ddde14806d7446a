// A company's decisions of ninety days, made inside the database: skewed as real ones are, so that sums of them
// have as many groups as real ones have.

import { type Kysely, sql } from 'kysely'
import { makePartitions } from '../../src/store/partitions.ts'
import type { Tables } from '../../src/store/tables.ts'

const COMPANY = { people: 5000, services: 120, departments: 40, policies: 12, days: 90 }
const DAY_MS = 86_400_000
/** Made again when all rows are there: a tenth of the time. */
const LATER_INDEXES = /^(?:decisions|violation_facts)_(?!pkey)/

/** `rows` decisions in the ninety days before `end`, a day at a time; `onDay` is called after each. */
export async function fill(
  store: Kysely<Tables>,
  rows: number,
  end: Date,
  onDay: (index: number) => Promise<void>,
): Promise<void> {
  await store.connection().execute(async (db) => {
    const run = (statement: string) => sql.raw(statement).execute(db)
    await run('set statement_timeout = 0')
    await run('set synchronous_commit = off')
    // Nothing is summed yet that a row could come too late for.
    await run('set session_replication_role = replica')
    await run(`create temporary table drawn (seq bigint, person integer, department integer, service integer, decision text, policy integer,
      r1 float, r3 float, time timestamptz, id uuid)`)
    const { rows: found } = await sql<{ name: string; made: string }>`
      select indexname as name, indexdef as made from pg_indexes
      where schemaname = current_schema() and tablename in ('decisions', 'violation_facts')`.execute(
      db,
    )
    const indexes = found.filter(({ name }) => LATER_INDEXES.test(name))
    for (const { name } of indexes) await run(`drop index ${name}`)
    const perDay = Math.ceil(rows / COMPANY.days)
    for (let index = 0; index < COMPANY.days; index++) {
      const day = new Date(end.getTime() - (COMPANY.days - index) * DAY_MS)
      await makePartitions(db, day)
      await drawDay(db, day, index, perDay)
      await storeDay(db)
      await onDay(index)
    }
    for (const { made } of indexes) await run(made)
    await run('analyze')
  })
}

/** Few names have most uses. Most between eight and eighteen o'clock; a person belongs to one department and keeps to some services. */
async function drawDay(db: Kysely<Tables>, day: Date, index: number, rows: number): Promise<void> {
  await sql`truncate drawn`.execute(db)
  await sql`
    insert into drawn
    select seq, person, (person * 7919) % ${COMPANY.departments}::integer,
      (person * 31 + floor(power(r1, 4) * 12)::integer * (1 + person % 9)) % ${COMPANY.services}::integer,
      case when r2 < 0.05 then 'DENY' when r2 < 0.065 then 'REVIEW' else 'ALLOW' end,
      floor(power(r3, 2) * ${COMPANY.policies}::integer)::integer, r1, r3, time,
      (lpad(to_hex((extract(epoch from time) * 1000)::bigint), 12, '0') || '7000' || '8' || lpad(to_hex(seq), 15, '0'))::uuid
    from (
      select ${index}::bigint * ${rows} + n as seq, floor(power(random(), 2) * ${COMPANY.people}::integer)::integer as person,
        random() as r1, random() as r2, random() as r3,
        date_trunc('milliseconds', ${day}::timestamptz
          + least(0.999, greatest(0, 0.54 + 0.2 * (random() + random() + random() + random() - 2))) * interval '1 day') as time
      from generate_series(1, ${rows}::integer) n) n`.execute(db)
}

async function storeDay(db: Kysely<Tables>): Promise<void> {
  const writer = '01900000-0000-7000-8000-000000000001'
  await sql`
    insert into decisions (tenant, time, decision_id, request_id, user_id, user_name, user_email, user_department, user_known, person_key,
      action, resource_type, resource_id, resource_name, resource_host, resource_path, resource_category, resource_model, resource_known,
      resource_ai, approval_status, decision, reason, would_be, confidence, policies_evaluated, primary_policy_id, obligations, mode, revision,
      source, ip_address, findings, evaluation_us, ttl, writer, seq, leaf, record, personal)
    select 'default', time, id, id, 'user-' || person, 'person' || person, 'person' || person || '@acme.example', 'Department ' || department, true,
      encode(sha256(('p' || person)::bytea), 'hex'),
      case when r1 < 0.6 then 'send_prompt' when r1 < 0.9 then 'access_ai_service' when r1 < 0.97 then 'upload_file' else 'call_tool' end,
      'ai_service', 'service-' || service, 'Service ' || service, 'service-' || service || '.example', '/v1/chat/completions', 'chatbot',
      'model-' || service % 7, true, true, 'approved', decision,
      case when decision = 'ALLOW' then 'allowed by default' else 'policy ' || policy || ' does not allow this for Department ' || department end,
      case when decision = 'ALLOW' and r3 < 0.02 then 'DENY' end, 1,
      case when decision = 'ALLOW' and r3 >= 0.02 then '[]'::jsonb
        else jsonb_build_array(jsonb_build_object('policy_id', 'policy-' || policy, 'policy_name', 'Policy ' || policy, 'matched', true,
          'priority', 500, 'effect', case when decision = 'ALLOW' then 'DENY' else decision end,
          'mode', case when decision = 'ALLOW' then 'audit' else 'enforce' end, 'error', null)) end,
      case when decision <> 'ALLOW' then 'policy-' || policy end, '[]', 'enforce', 'sha256:0',
      case when r3 < 0.85 then 'proxy' when r3 < 0.95 then 'browser_plugin' else 'api_gateway' end,
      '10.' || person % 200 || '.0.7',
      case when r3 < 0.03 then '[{"type": "email", "category": "pii", "count": 1, "confidence": 0.9}]'::jsonb else '[]'::jsonb end,
      40, 30, ${writer}::uuid, seq, sha256(seq::text::bytea),
      '{"v":1,"seq":' || seq || ',"decision":{"decision_id":"' || id || '","text":"' || repeat(md5(seq::text), 10) || '"}}',
      decode(repeat(md5(seq::text), 4), 'hex')
    from drawn order by time`.execute(db)
  await sql`
    insert into violation_facts (tenant, time, violation_id, decision_id, person_key, violation_type, policy_id, severity, resource_id, writer, seq,
      user_department)
    select 'default', time, id, id, encode(sha256(('p' || person)::bytea), 'hex'), 'policy_denied', 'policy-' || policy,
      (array['low', 'medium', 'high', 'critical'])[1 + policy % 4], 'service-' || service, ${writer}::uuid, seq, 'Department ' || department
    from drawn where decision <> 'ALLOW' order by time`.execute(db)
}
