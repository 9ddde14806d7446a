// Policies in any number, of which ten concern a request: five by the service, five by the department.

export type Engine = 'rego' | 'cedar' | 'mixed'

/** Of one scope. */
const TOGETHER = 5
const CANDIDATES = 2 * TOGETHER

/** Files by their names; a multiple of ten policies. Without scopes each finds out by itself whether it is concerned. */
export function policyFiles(
  engine: Engine,
  count: number,
  isScoped = true,
): Record<string, string> {
  const files: Record<string, string> = {}
  for (let number = 0; number < count; number++) {
    const isRego = engine === 'rego' || (engine === 'mixed' && number % 2 === 0)
    const folder = `d${Math.floor(number / 100)}`
    files[`${folder}/p${number}.${isRego ? 'rego' : 'cedar'}`] = isRego
      ? regoPolicy(number, 90, isScoped)
      : cedarPolicy(number, isScoped)
  }
  return files
}

/** How many services, and how many departments, so many policies know. */
export function scopes(count: number): number {
  return count / CANDIDATES
}

function isForService(number: number): boolean {
  return Math.floor(number / TOGETHER) % 2 === 0
}

function nameOf(number: number): string {
  return String(Math.floor(number / CANDIDATES))
}

/** `least`: the score from which it denies, so that a policy can change. */
export function regoPolicy(number: number, least = 90, isScoped = true): string {
  const isService = isForService(number)
  const [key, path, name] = isService
    ? ['services', 'resource.id', `service-${nameOf(number)}`]
    : ['departments', 'user.department.name', `department-${nameOf(number)}`]
  const scope = isScoped ? `${key}: [${name}]` : ''
  const concerned = isScoped ? '' : `\n\tinput.${path} == "${name}"`
  return `# METADATA
# scope: package
# title: Policy number ${number}
# custom:
#   cordon:
#     id: bench-${number}
#     version: 1.0.0
#     priority: ${500 + (number % 5)}
#     severity: high
#     scope: {${scope}}
#     framework: BENCH
#     article: Article ${number}
package bench.p${number}

default deny := false

deny if {${concerned}
	input.user.risk_score > ${least + (number % 10)}
	input.resource.approval_status != "approved"
}

review contains finding.type if {${concerned}
	some finding in input.content.findings
	finding.category == "pii"
	finding.count > ${1000 + number}
}

allow if {${concerned}
	"group-${number % 7}" in input.user.groups
	input.context.location_type == "office"
}
`
}

function cedarPolicy(number: number, isScoped: boolean): string {
  const isService = isForService(number)
  const name = nameOf(number)
  const about = isService
    ? ['principal', `resource == Cordon::Service::"service-${name}"`]
    : [`principal in Cordon::Department::"department-${name}"`, 'resource']
  const head = isScoped ? `(${about[0]}, action, ${about[1]})` : '(principal, action, resource)'
  const concerned = isScoped ? '' : `${isService ? about[1] : about[0]} && `
  return `@id("bench-${number}")
@name("Policy number ${number}")
@priority("${500 + (number % 5)}")
@severity("high")
forbid${head}
when { ${concerned}principal has risk_score && principal.risk_score > ${90 + (number % 10)} }
unless { resource has approval_status && resource.approval_status == "approved" && principal has groups && principal.groups.contains("group-${number % 7}") };
`
}

/** About two kilobytes; the score is what no two of them have in common. */
export function document(
  service: number,
  department: number,
  score: number,
): Record<string, unknown> {
  return {
    user: {
      id: 'u-4711',
      name: 'Maya Example',
      email: 'maya@acme.example',
      known: true,
      status: 'active',
      department: {
        name: `department-${department}`,
        path: ['acme', 'emea', `department-${department}`],
      },
      groups: Array.from({ length: 20 }, (_, index) => `group-${index + 7}`),
      roles: ['reader', 'editor'],
      employee_type: 'employee',
      job_title: 'Engineer',
      risk_score: score,
      clearance_level: 'internal',
      attributes: { ai_training_completed: true, cost_center: '4711', badge: 'blue', floor: 3 },
    },
    action: 'send_prompt',
    resource: {
      type: 'ai_service',
      id: `service-${service}`,
      name: 'Service',
      vendor: 'Vendor',
      category: 'llm_chat',
      known: true,
      ai: true,
      approval_status: 'unknown',
      risk_tier: 'medium',
      risk_score: 40,
      capabilities: ['text', 'code', 'image', 'web_search'],
      certifications: ['iso_27001', 'soc_2'],
      data_handling: 'no_training',
      data_regions: ['eu', 'us'],
      host: 'api.service.example',
      path: '/v1/chat/completions',
      method: 'POST',
      model: 'model-large',
    },
    content: {
      classified: true,
      parsed: true,
      truncated: false,
      bytes: 5120,
      findings: ['email', 'phone', 'iban', 'person'].map((type) => ({
        type,
        category: 'pii',
        count: 3,
        confidence: 0.9,
      })),
      finding_types: ['email', 'phone', 'iban', 'person'],
      finding_categories: ['pii'],
      data_classification: ['internal', 'pii'],
    },
    context: {
      source: 'proxy',
      ip_address: '10.1.2.3',
      network: 'office',
      user_agent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)',
      location_type: 'office',
      geo_location: 'DE',
      device: { hostname: 'laptop-4711', compliant: true, os: 'linux', managed: true },
      time: { epoch_ms: 1_767_225_600_000, hour: 10, weekday: 4, date: '2026-01-01' },
      tenant: 'default',
    },
  }
}
