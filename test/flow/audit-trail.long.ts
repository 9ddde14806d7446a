// Every change of policies, exceptions, reviews and conflicts is in the ledger: who did it, to what, and what was before and
// after.

import t from 'tap'
import { company, hire, keyWith, POLICIES } from '../support/company.ts'
import { eventually, Place } from '../support/cordon.ts'

/** Void for one request behind what stands higher: a conflict. */
const VOID = `
@id("everybody")
@priority("990")
permit (principal, action, resource == Cordon::Service::"open-chat");
`
const policy = (id: string, more = ''): string =>
  `@id("${id}")\n@mode("audit")\n${more}forbid (principal, action, resource == Cordon::Service::"other-chat");\n`
const SOON_MS = 3000

t.test('the trail of what is governed', async (t) => {
  const place = await new Place().withStore()
  t.teardown(() => place.remove())
  const governed = { dirs: ['policies'], review_sla: '1s', review_escalate_to: ['olga'] }
  place.configure(company(place, 9, { policy: governed }))
  place.write('policies/ours.cedar', `${POLICIES}${VOID}`)
  await hire(place)
  await place.done(['user', 'add', 'olga'])
  const cordon = await place.start()
  t.teardown(() => cordon.stop())
  const maya = await keyWith(place, 'policies:write,policies:approve,exceptions:write', 'maya')
  const ben = await keyWith(place, 'policies:write,policies:approve', 'ben')
  const olga = await keyWith(place, 'exceptions:write,reviews:write,decisions:read', 'olga')
  const asks = await keyWith(place, 'decisions:write')
  const send = async (
    method: string,
    path: string,
    key: string,
    body: unknown = {},
    edition?: number,
  ): Promise<Record<string, unknown>> => {
    const response = await fetch(`${cordon.api}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        ...(edition === undefined ? {} : { 'if-match': `"${edition}"` }),
      },
      body: JSON.stringify(body),
    })
    const answer = (await response.json()) as Record<string, unknown>
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`)
    return answer
  }
  const soon = (): string => new Date(Date.now() + SOON_MS).toISOString()
  const at = (id: string, version: string): string => `/v1/policies/${id}/versions/${version}`
  const approved = async (id: string, version: string): Promise<void> => {
    await send('POST', `${at(id, version)}/submit`, maya)
    t.equal((await cordon.approve(at(id, version), ben)).status, 200)
  }
  const statusOf = (path: string, key: string) => async (): Promise<unknown> =>
    (await cordon.call(path, key)).body['status']

  // A policy, through all that can become of it.
  const first = at('trail', '1.0.0')
  await send('POST', '/v1/policies', maya, { text: policy('trail'), change_summary: 'the first' })
  await send('PUT', first, maya, { text: policy('trail', '@priority("7")\n') }, 1)
  await send(
    'PUT',
    first,
    maya,
    { text: policy('trail', '@priority("7")\n'), change_summary: 'x' },
    2,
  )
  await send('POST', `${first}/submit`, maya)
  await send('POST', `${first}/reject`, maya, { comment: 'taken back' })
  await send('POST', `${first}/submit`, maya)
  await send('POST', `${first}/reject`, ben, { comment: 'not so' })
  await approved('trail', '1.0.0')
  await send('PATCH', first, ben, { expires_at: '2099-01-01T00:00:00Z' })
  await send('POST', `${first}/activate`, ben, { effective_from: soon() })
  await eventually(statusOf(first, ben), (status) => status === 'active', 30_000)
  await send('POST', '/v1/policies/trail/versions', maya, { text: policy('trail') })
  await send('POST', `${at('trail', '1.0.1')}/submit`, maya)
  t.equal((await cordon.approve(at('trail', '1.0.1'), maya)).status, 403)
  t.equal((await cordon.approve(at('trail', '1.0.1'), ben)).status, 200)
  await send('POST', `${at('trail', '1.0.1')}/activate`, ben, { comment: 'go' })
  await send('POST', '/v1/policies/trail/rollback', ben, { comment: 'back' })
  await send('POST', `${first}/archive`, ben, { comment: 'not needed' })
  const pushed = { files: [{ path: 'ends.cedar', text: policy('ends') }] }
  await send('POST', '/v1/policies/push', maya, pushed)
  await approved('ends', '1.0.0')
  await send('POST', `${at('ends', '1.0.0')}/activate`, ben, { expires_at: soon() })
  await eventually(statusOf(at('ends', '1.0.0'), ben), (status) => status === 'archived', 30_000)

  // Exceptions, to each of their ends.
  const exception = async (more: object = {}): Promise<string> => {
    const wanted = { user: 'ben', policy: 'banned', reason: 'a test', ...more }
    return String((await send('POST', '/v1/exceptions', maya, wanted))['exception_id'])
  }
  const revoked = await exception()
  await send('POST', `/v1/exceptions/${revoked}/approve`, olga, { comment: 'fine' })
  await send('POST', `/v1/exceptions/${revoked}/revoke`, olga, { reason: 'over' })
  const denied = await exception()
  await send('POST', `/v1/exceptions/${denied}/deny`, olga, { reason: 'no' })
  const expired = await exception({ until: soon() })
  await send('POST', `/v1/exceptions/${expired}/approve`, olga)

  // A review that nobody answers in time, and that becomes an exception.
  const { body: asked } = await cordon.call('/v1/decisions', asks, {
    user: { email: 'maya@acme.example' },
    action: 'send_prompt',
    resource: { url: 'https://asked.test/', method: 'POST' },
  })
  const review = String(asked['review_id'])
  await send('POST', `/v1/reviews/${review}/assign`, olga, { assignee: 'ben' })
  await eventually(
    () => cordon.call(`/v1/reviews/${review}`, olga),
    ({ body: { escalation } }) => escalation === 1,
  )
  const answer = { decision: 'approve', comment: 'yes', exception: { conditions: { max_uses: 2 } } }
  const { exception_id: granted } = await send('POST', `/v1/reviews/${review}`, olga, answer)

  // A conflict that may stand.
  await send('POST', '/v1/policies/conflicts/scan', ben)
  const { items } = (await cordon.call('/v1/policies/conflicts', maya)).body as {
    items: readonly { readonly conflict_id: string }[]
  }
  const conflict = items[0]?.conflict_id ?? ''
  await send('POST', `/v1/policies/conflicts/${conflict}/resolve`, ben, { notes: 'meant' })

  const expected: readonly object[] = [
    made('policy_created', 'create', 'maya', 'trail', undefined, { status: 'draft' }),
    made(
      'policy_edited',
      'update',
      'maya',
      'trail',
      { metadata: { priority: 100 } },
      { metadata: { priority: 7 } },
    ),
    made('policy_submitted', 'submit', 'maya', 'trail', { status: 'draft' }, { status: 'review' }),
    {
      ...made(
        'policy_rejected',
        'reject',
        'maya',
        'trail',
        { status: 'review' },
        { status: 'draft' },
      ),
      event_data: { comment: 'taken back' },
    },
    {
      ...made(
        'policy_rejected',
        'reject',
        'ben',
        'trail',
        { status: 'review' },
        { status: 'draft' },
      ),
      event_data: { comment: 'not so' },
    },
    made(
      'policy_approved',
      'approve',
      'ben',
      'trail',
      { status: 'review' },
      { status: 'approved' },
    ),
    made(
      'policy_dates_changed',
      'update',
      'ben',
      'trail',
      { expires_at: null },
      { expires_at: /^2099/ },
    ),
    made(
      'policy_activation_scheduled',
      'schedule',
      'ben',
      'trail',
      { effective_from: null },
      { effective_from: String },
    ),
    made(
      'policy_activated',
      'activate',
      'policy clock',
      'trail',
      { status: 'approved' },
      { status: 'active' },
    ),
    made('policy_version_created', 'create', 'maya', 'trail', undefined, { status: 'draft' }),
    { event_type: 'policy_approval_refused', result: 'failure', actor_name: 'maya' },
    {
      ...made(
        'policy_activated',
        'activate',
        'ben',
        'trail',
        { status: 'approved' },
        { status: 'active' },
      ),
      event_data: { replaces: '1.0.0' },
    },
    {
      ...made(
        'policy_rolled_back',
        'roll_back',
        'ben',
        'trail',
        { status: 'archived' },
        { status: 'active' },
      ),
      event_data: { replaces: '1.0.1' },
    },
    made(
      'policy_archived',
      'archive',
      'ben',
      'trail',
      { status: 'active' },
      { status: 'archived' },
    ),
    made('policy_created', 'create', 'maya', 'ends', undefined, { status: 'draft' }),
    made(
      'policy_expired',
      'expire',
      'policy clock',
      'ends',
      { status: 'active' },
      { status: 'archived' },
    ),
    made('exception_requested', 'request', 'maya', revoked, null, {
      status: 'pending',
      policy_id: 'banned',
    }),
    made(
      'exception_approved',
      'approve',
      'olga',
      revoked,
      { status: 'pending' },
      { status: 'approved' },
    ),
    made(
      'exception_revoked',
      'revoke',
      'olga',
      revoked,
      { status: 'approved' },
      { status: 'revoked' },
    ),
    made('exception_denied', 'deny', 'olga', denied, { status: 'pending' }, { status: 'denied' }),
    made(
      'exception_expired',
      'expire',
      'control',
      expired,
      { status: 'approved' },
      { status: 'expired' },
    ),
    made('review_assigned', 'assign', 'olga', review, { assignee: null }, { assignee: String }),
    made('review_escalated', 'escalate', 'control', review, { escalation: 0 }, { escalation: 1 }),
    made(
      'review_answered',
      'approve',
      'olga',
      review,
      { status: 'pending' },
      { status: 'approved', exception_id: granted },
    ),
    made(
      'exception_approved',
      'approve',
      'olga',
      String(granted),
      { status: 'pending' },
      { status: 'approved' },
    ),
    made(
      'policy_conflict_resolved',
      'update',
      'ben',
      conflict,
      { resolved: false },
      { resolved: true },
    ),
  ]
  const kept = await eventually(
    () => cordon.export('audit_events'),
    (events) =>
      ['policy_conflict_resolved', 'exception_expired', 'policy_expired'].every((type) =>
        events.some(({ event_type: found }) => found === type),
      ),
    60_000,
  )
  for (const {
    event_type: type,
    target_id: target,
    actor_name: actor,
    ...rest
  } of expected as Row[]) {
    const alike = kept.filter(
      (event) =>
        event['event_type'] === type &&
        event['actor_name'] === actor &&
        (target === undefined || event['target_id'] === target),
    )
    const what = `${String(type)} by ${String(actor)}`
    if (alike.length === 0) t.fail(`${what} is not in the ledger`)
    else if (alike.length === 1) t.match(alike[0], rest, what)
    else
      t.ok(
        alike.some((event) => holds(event, rest)),
        what,
      )
  }
  // Words stand in the part that can be erased, what they were before too.
  t.match(
    kept.findLast(({ event_type: type }) => type === 'policy_edited'),
    {
      event_data: {
        changed: ['change_summary'],
        before: { change_summary: 'the first' },
        comment: 'x',
      },
    },
  )
  for (const event of kept)
    if (/^(?:policy|exception|review)_/.test(String(event['event_type'])))
      t.ok(event['actor_name'], `${String(event['event_type'])} tells who`)
})

type Row = Record<string, unknown>

function made(
  event_type: string,
  action: string,
  actor_name: string,
  target_id: string,
  before: object | null | undefined,
  after: object,
): Row {
  const changes = { ...(before === undefined ? {} : { before }), after }
  return { event_type, action, actor_name, target_id, result: 'success', changes }
}

/** As `t.match` without its report. */
function holds(event: unknown, wanted: unknown): boolean {
  if (wanted instanceof RegExp) return wanted.test(String(event))
  if (wanted === String) return typeof event === 'string'
  if (typeof wanted !== 'object' || wanted === null) return event === wanted
  return Object.entries(wanted).every(([key, value]) => holds((event as Row | null)?.[key], value))
}
