// Keys of AI services, by the shapes that gitleaks, secretlint and trufflehog publish.

import { LOW, MEDIUM, shape, type SecretShape } from './secret-shape.ts'

const BASE64URL = '[A-Za-z0-9_-]'
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'

export const AI_SHAPES: readonly SecretShape[] = [
  // T3BlbkFJ is base64 of "OpenAI".
  shape('openai_legacy', 'sk-', '[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}'),
  shape(
    'openai_project',
    'sk-proj- sk-svcacct- sk-admin- sk-service-',
    `${BASE64URL}{20,120}T3BlbkFJ${BASE64URL}{20,120}`,
  ),
  shape('openai_project', 'sk-proj- sk-svcacct- sk-admin-', `${BASE64URL}{40,250}`, {
    confidence: MEDIUM,
    entropy: 3.5,
  }),
  shape('anthropic_api', 'sk-ant-api', `0\\d-${BASE64URL}{80,128}`),
  shape('anthropic_admin', 'sk-ant-admin', `0\\d-${BASE64URL}{80,128}`),
  shape('anthropic_oauth', 'sk-ant-oat sk-ant-ort', `0\\d-${BASE64URL}{40,200}`, {
    confidence: MEDIUM,
  }),
  shape('anthropic_session', 'sk-ant-sid', `0\\d-${BASE64URL}{40,200}`, { confidence: MEDIUM }),
  shape('google_api_key', 'AIza', `${BASE64URL}{35}`, { entropy: 3.5 }),
  shape('google_oauth', 'ya29.', `${BASE64URL}{10,1024}`),
  shape('groq', 'gsk_', '[A-Za-z0-9]{52}'),
  shape('huggingface', 'hf_ api_org_', '[A-Za-z0-9]{34}', { entropy: 2 }),
  shape('replicate', 'r8_', `${BASE64URL}{37}`),
  shape('xai', 'xai-', '[A-Za-z0-9_]{80}'),
  shape('perplexity', 'pplx-', '[A-Za-z0-9]{48}', { entropy: 3.5 }),
  shape('openrouter', 'sk-or-v1-', '[0-9a-f]{64}'),
  shape('elevenlabs', 'sk_', '[0-9a-f]{48}'),
  shape('elevenlabs', 'sk_', '[0-9a-f]{32}', { keyword: /eleven_?labs|xi-api-key/i }),
  shape('langsmith', 'lsv2_pt_ lsv2_sk_', '[0-9a-f]{32}_[0-9a-f]{10}'),
  shape('langfuse', 'pk-lf- sk-lf-', UUID, { entropy: 2.5 }),
  shape('pinecone', 'pcsk_', '[A-Za-z0-9]{5,6}_[A-Za-z0-9]{63}'),
  shape('nvidia', 'nvapi-', `${BASE64URL}{64}`),
  shape('aws_bedrock_long', 'ABSK', '[A-Za-z0-9+/]{109,269}={0,2}'),
  // Base64 of "bedrock.amazonaws.com".
  shape(
    'aws_bedrock_short',
    'bedrock-api-key-',
    'YmVkcm9jay5hbWF6b25hd3MuY29t[A-Za-z0-9+/=_-]{0,8192}',
  ),
  shape('databricks', 'dapi', '[0-9a-f]{32}(?:-\\d)?'),
  shape('deepseek', 'sk-', '[a-z0-9]{32}', {
    confidence: MEDIUM,
    keyword: /deepseek/i,
  }),
  // Lengths below are not published: least confidence.
  shape('tavily', 'tvly-', '(?:dev-|prod-)?[A-Za-z0-9-]{24,64}', { confidence: LOW }),
  shape('fireworks', 'fw_', '[A-Za-z0-9]{22,64}', { confidence: LOW, entropy: 3.5 }),
  shape('cerebras', 'csk-', '[a-z0-9]{32,64}', { confidence: LOW }),
  shape('jina', 'jina_', `${BASE64URL}{40,80}`, { confidence: LOW }),
  shape('firecrawl', 'fc-', '[0-9a-f]{32}', { confidence: LOW }),
  shape('runway', 'key_', '[0-9a-f]{64,128}', { confidence: LOW }),
]
