// Inputs that make policies work as hard as an input can: large, wide, deep, oddly typed, or with nothing in them.
//
// Sizes are those that a company and a hostile client can reach; what a person writes into a request does not reach
// policies. Every path that the policies read takes each of the forms, so that attributes of one's own are among them.

const LONG = 16 * 1024
const WIDE = 100
const DEEP = 100
const TIME = 'context.time'

const LONG_TEXT = 'aA-1.'.repeat(LONG / 5)

const FORMS: readonly (() => unknown)[] = [
  () => LONG_TEXT,
  () => words('w', WIDE),
  () => words('w', WIDE).map((type, count) => ({ type, category: type, name: type, count })),
  () => Object.fromEntries(words('k', WIDE).map((key, index) => [key, index])),
  () => nested(DEEP),
]

/** `reads`: dotted paths of the input, `''` for all of it. */
export function worstCases(reads: readonly string[]): readonly unknown[] {
  const paths = reads.filter((path) => path !== '' && path !== TIME && !path.startsWith(`${TIME}.`))
  return [{}, largest(), ...FORMS.map((form) => withEach(paths, form))]
}

function withEach(paths: readonly string[], form: () => unknown): unknown {
  const document = largest()
  for (const path of paths) place(document, path.split('.'), form())
  return document
}

function place(document: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path
  if (rest.length === 0) {
    document[key] = value
    return
  }
  const known = document[key]
  const inner = isPlain(known) ? known : {}
  document[key] = inner
  place(inner, rest, value)
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A request with as much of everything as there is. */
function largest(): Record<string, unknown> {
  const types = words('finding', 60)
  return {
    user: {
      id: 'user-1',
      name: 'n'.repeat(256),
      email: `${'m'.repeat(200)}@example.org`,
      known: true,
      status: 'active',
      department: { id: 'd-1', name: 'Department', path: words('department', 30) },
      groups: words('group', 300),
      roles: words('role', 50),
      employee_type: 'employee',
      job_title: 'j'.repeat(256),
      risk_score: 100,
      clearance_level: 'secret',
      attributes: Object.fromEntries(words('attribute', WIDE).map((key) => [key, words(key, 20)])),
    },
    action: 'send_prompt',
    resource: {
      type: 'ai_service',
      id: 'service',
      name: 'Service',
      vendor: 'Vendor',
      category: 'llm_chat',
      known: true,
      ai: true,
      approval_status: 'approved',
      risk_tier: 'high',
      risk_score: 100,
      capabilities: words('capability', 40),
      certifications: words('certification', 20),
      data_handling: 'trains_on_data',
      data_regions: words('region', 20),
      host: `${'h'.repeat(60)}.example.org`,
      path: `/${'p'.repeat(LONG - 1)}`,
      method: 'POST',
      model: 'm'.repeat(128),
    },
    content: {
      classified: true,
      parsed: true,
      truncated: false,
      bytes: 10_000_000_000,
      stream: true,
      findings: types.map((type) => ({ type, category: 'pii', count: 1_000_000, confidence: 0.9 })),
      finding_types: types,
      finding_categories: words('category', 20),
      data_classification: words('label', 20),
      tools: words('tool', WIDE).map((name) => ({ name, type: 'function' })),
      attachments: words('file', WIDE).map((name) => ({ name, bytes: 1_000_000_000 })),
    },
    context: {
      source: 'proxy',
      ip_address: '203.0.113.7',
      network: 'office',
      device: {
        id: 'device',
        compliant: false,
        ...Object.fromEntries(words('d', 50).map((key) => [key, key])),
      },
      user_agent: 'u'.repeat(1024),
      ja4: 't13d1516h2_8daaf6152771_e5627efa2ab1',
      location_type: 'office',
      geo_location: 'DE',
      asset: { hostname: 'host', labels: words('label', 50) },
      time: { epoch_ms: 1_767_225_600_000, hour: 23, weekday: 7, date: '2026-12-31' },
      risk: {
        score: 100,
        level: 'critical',
        factors: { user: 40, service: 50, data: 70, device: 30, history: 50, time: 8 },
        own_score: 100,
      },
      budget: Object.fromEntries(
        words('budget', 100).map((id) => [
          id,
          {
            limit: 1e15,
            used: 1e15,
            remaining: 0,
            unit: 'tokens',
            resets_at_epoch_ms: 1_767_225_600_000,
          },
        ]),
      ),
      tenant: 'default',
    },
  }
}

function words(word: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${word}-${index}`)
}

function nested(depth: number): unknown {
  let value: unknown = 'deep'
  for (let level = 0; level < depth; level++)
    value = level % 2 === 0 ? [value, level] : { inner: value }
  return value
}
