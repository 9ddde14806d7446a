// How do tests write an AI service down? Only with what matters to them.

import type { AiService } from '../../src/model/service.ts'

export function aService(fields: Partial<AiService> & { readonly id: string }): AiService {
  return {
    name: fields.id,
    domains: [],
    host_patterns: [],
    shared_hosts: [],
    api_hosts: [],
    support_domains: [],
    api_patterns: [],
    websocket_paths: [],
    headers: [],
    user_agents: [],
    capabilities: [],
    approval_status: 'unknown',
    approved_for: [],
    prohibited_for: [],
    certifications: [],
    data_regions: [],
    mode: 'enforce',
    confidence: 1,
    ...fields,
  }
}
