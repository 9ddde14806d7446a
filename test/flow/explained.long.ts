// Why a recorded decision came out as it did, and conflicts as the store keeps them, through the whole program.

import t from 'tap'
import { company, hire, keyWith, POLICIES } from '../support/company.ts'
import { eventually, Place, type Running } from '../support/cordon.ts'

const EXPLAINED = POLICIES.replace(
  '@reason("the text holds a secret")',
  '@reason("the text holds a secret")\n@explanation("Please take the key out before you ask {service}; {alternative} may not see it either.")',
)
const VOID = `
@id("everybody")
@priority("990")
permit (principal, action, resource == Cordon::Service::"open-chat");
`

async function explanation(
  cordon: Running,
  key: string,
  id: unknown,
  accept = 'application/json',
): Promise<{ readonly status: number; readonly type: string; readonly text: string }> {
  const response = await fetch(`${cordon.api}/v1/decisions/${String(id)}/explanation`, {
    headers: { authorization: `Bearer ${key}`, accept },
  })
  return {
    status: response.status,
    type: response.headers.get('content-type') ?? '',
    text: await response.text(),
  }
}

t.test('explanations and conflicts of a Cordon that runs', async (t) => {
  const place = await new Place().withStore()
  t.teardown(() => place.remove())
  place.configure(company(place, 9))
  place.write('policies/ours.cedar', EXPLAINED)
  await hire(place)
  const cordon = await place.start()
  t.teardown(() => cordon.stop())
  const [asks, reads, policies] = await Promise.all([
    keyWith(place, 'decisions:write'),
    keyWith(place, 'decisions:read'),
    keyWith(place, 'policies:write', 'maya'),
  ])
  const approves = await keyWith(place, 'policies:approve', 'ben')
  const secret = ['AKIA', 'QYLPMN5HHHFPZAM2'].join('')
  const { body: decided } = await cordon.call('/v1/decisions', asks, {
    user: { email: 'ben@acme.example' },
    action: 'send_prompt',
    resource: { url: 'https://chat.open.test/v1/chat?token=not-for-records', method: 'POST' },
    content: { text: `my key is ${secret}` },
  })
  t.match(decided, { decision: 'DENY', primary_policy_id: 'no-secrets' })
  const id = decided['decision_id']
  await eventually(
    () => explanation(cordon, reads, id),
    ({ status }) => status === 200,
  )

  await t.test('under the revision in force', async (t) => {
    const told = await explanation(cordon, reads, id)
    t.match(told.type, /^application\/json/)
    t.match(told.text, '"file":"ours.cedar"')
    t.notMatch(told.text, place.dir, 'no place of this machine')
    t.match(JSON.parse(told.text), {
      decision_id: id,
      decision: 'DENY',
      basis: 'revision',
      revision: { id: decided['revision'], in_force: true },
      primary_policy_id: 'no-secrets',
      default: { applied: false },
      candidates: [
        { policy_id: 'no-secrets', part: 'decides' },
        { policy_id: 'no-interns', part: 'agrees' },
      ],
      not_asked_by: { categories: 2 },
      for_the_person: /^Please take the key out before you ask Open Chat; Other Chat/,
    })
    for (const word of [secret, 'not-for-records']) t.notMatch(told.text, word)
  })

  await t.test('in words, for whoever wants plain text', async (t) => {
    const told = await explanation(cordon, reads, id, 'text/plain')
    t.match(told.type, /^text\/plain/)
    t.match(told.text, /^DENY: the text holds a secret/)
    t.match(told.text, /> priority 950: no-secrets says DENY; this decides/)
    t.match(told.text, /For the person:\n {2}Please take the key out/)
  })

  await t.test('who may ask, and for what', async (t) => {
    t.equal((await explanation(cordon, policies, id)).status, 403)
    t.equal((await explanation(cordon, reads, '01990000-0000-7000-8000-000000000000')).status, 404)
    t.equal((await explanation(cordon, reads, 'nothing')).status, 400)
    const one = await fetch(`${cordon.api}/v1/decisions/${String(id)}/explanation?policy=banned`, {
      headers: { authorization: `Bearer ${reads}` },
    })
    t.match(await one.json(), { candidates: [], not_asked: [{ policy_id: 'banned' }] })
  })

  await t.test('once the files say something else, the record alone', async (t) => {
    place.write('policies/ours.cedar', `${EXPLAINED}\n${VOID}`)
    await cordon.reload()
    const told = await explanation(cordon, reads, id)
    t.match(JSON.parse(told.text), {
      decision: 'DENY',
      basis: 'record',
      revision: { id: decided['revision'], in_force: false },
      limits: [/not at hand/],
      steps: [{ priority: 950, answer: 'DENY', decides: true }, { priority: 800 }],
      candidates: [{ policy_id: 'no-secrets', part: 'decides' }, { policy_id: 'no-interns' }],
      not_asked: [],
      for_the_person: /Open Chat was not let through: the text holds a secret/,
    })
  })

  await t.test(
    'conflicts are found, kept, resolved by somebody, and gone with their cause',
    async (t) => {
      t.match(await cordon.call('/v1/policies/conflicts', policies), {
        status: 200,
        body: { items: [], last_scan: null },
      })
      t.equal((await cordon.call('/v1/policies/conflicts/scan', reads, {})).status, 403)
      t.match(await cordon.call('/v1/policies/conflicts/scan', policies, {}), {
        status: 200,
        body: { policies: 5, complete: true, found: { critical: 3 } },
      })
      const list = async (query = '') =>
        (await cordon.call(`/v1/policies/conflicts${query}`, policies)).body as {
          readonly items: readonly Record<string, unknown>[]
          readonly next_cursor: string | null
        }
      const { items } = await list('?severity=critical')
      t.match(items, [{ status: 'open', resolved: false }, { status: 'open' }, { status: 'open' }])
      for (const { policy_a_id: a, witness } of items) {
        t.equal(a, 'everybody')
        const [line] = (
          await place.done(['policy', 'eval'], { input: JSON.stringify(witness) })
        ).split('\n')
        const said = JSON.parse(line ?? '') as {
          policies_evaluated: { policy_id: string; effect: string }[]
        }
        t.ok(
          said.policies_evaluated.some(
            ({ policy_id: each, effect }) => each === 'everybody' && effect === 'ALLOW',
          ),
        )
      }
      const pages: unknown[] = []
      for (let cursor: string | null | undefined; cursor !== null;) {
        const page = await list(`?limit=2${cursor === undefined ? '' : `&cursor=${cursor}`}`)
        pages.push(...page.items.map(({ conflict_id: each }) => each))
        cursor = page.next_cursor
      }
      t.equal(new Set(pages).size, pages.length)
      t.equal(pages.length, (await list('?limit=1000')).items.length)

      const [first] = items
      const at = `/v1/policies/conflicts/${String(first?.['conflict_id'])}`
      t.equal((await cordon.call(`${at}/resolve`, policies, { notes: 'no' })).status, 403)
      t.equal((await cordon.call(`${at}/resolve`, approves, { notes: '' })).status, 400)
      t.match(await cordon.call(`${at}/resolve`, approves, { notes: 'open to all' }), {
        status: 200,
        body: { status: 'resolved', resolution_notes: 'open to all' },
      })
      t.equal((await cordon.call(`${at}/resolve`, approves, { notes: 'again' })).status, 409)
      await cordon.call('/v1/policies/conflicts/scan', policies, {})
      t.match(
        await cordon.call(at, policies),
        { body: { status: 'resolved' } },
        'it stays resolved',
      )
      const events = await eventually(
        () => cordon.export('audit_events'),
        (all) => all.some(({ event_type: type }) => type === 'policy_conflict_resolved'),
      )
      t.match(
        events.find(({ event_type: type }) => type === 'policy_conflict_resolved'),
        {
          event_type: 'policy_conflict_resolved',
        },
      )

      const told = await place.cordon(['policy', 'conflicts', '--stored', '--json'])
      t.equal(told.code, 1, 'one is still open')
      for (const { conflict_id: other } of items.slice(1))
        await place.done(['policy', 'conflicts', '--resolve', String(other), '--notes', 'fine too'])
      t.equal((await place.cordon(['policy', 'conflicts', '--stored'])).code, 0)

      place.write('policies/ours.cedar', `${EXPLAINED}\n${VOID.replace('990', '991')}`)
      await cordon.reload()
      await cordon.call('/v1/policies/conflicts/scan', policies, {})
      t.match(await cordon.call(at, policies), { body: { status: 'gone' } })
      t.equal(
        (await list('?severity=critical&status=open')).items.length,
        3,
        'other texts, other conflicts',
      )
    },
  )

  await t.test(
    'a critical conflict keeps a policy from taking effect until somebody has looked at it',
    async (t) => {
      place.write('policies/ours.cedar', EXPLAINED)
      await cordon.reload()
      const made = await cordon.call('/v1/policies', policies, {
        text: VOID.replace('990', '989'),
      })
      t.equal(made.status, 201, JSON.stringify(made.body))
      const at = '/v1/policies/everybody/versions/1.0.0'
      await cordon.call(`${at}/submit`, policies, {})
      t.equal((await cordon.approve(at, approves)).status, 200)
      const refused = await cordon.call(`${at}/activate`, approves, {})
      t.equal(refused.status, 409)
      t.match(JSON.stringify(refused.body), /contradictory_action.*no-secrets/)
      const open = await cordon.call(
        '/v1/policies/conflicts?severity=critical&status=open',
        policies,
      )
      const items = open.body['items'] as readonly Record<string, unknown>[]
      t.ok(items.length > 0)
      for (const { conflict_id: id } of items)
        await cordon.call(`/v1/policies/conflicts/${String(id)}/resolve`, approves, {
          notes: 'meant',
        })
      t.equal((await cordon.call(`${at}/activate`, approves, {})).status, 200)

      const decide = async () =>
        (
          await cordon.call('/v1/decisions', asks, {
            user: { email: 'ben@acme.example' },
            action: 'send_prompt',
            resource: { url: 'https://chat.open.test/v1/chat' },
          })
        ).body
      const allowed = await eventually(decide, ({ decision }) => decision === 'ALLOW')
      t.equal((await cordon.call(`${at}/archive`, approves, {})).status, 200)
      await eventually(decide, ({ decision }) => decision === 'DENY')
      const told = await eventually(
        () => explanation(cordon, reads, allowed['decision_id']),
        ({ status }) => status === 200,
      )
      t.match(
        JSON.parse(told.text),
        {
          decision: 'ALLOW',
          basis: 'revision',
          revision: { id: allowed['revision'], in_force: false },
          candidates: [
            { policy_id: 'everybody', part: 'decides', file: 'everybody.cedar' },
            { policy_id: 'no-secrets', part: 'none' },
            { policy_id: 'no-interns', part: 'overruled' },
          ],
        },
        'a former revision of the store is asked again',
      )
    },
  )
})
