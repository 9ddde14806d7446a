// Bodies that are forms: two web chats send such.

import { FORM_SPELLING, readForm } from './form.ts'
import { ruleFor, type WireHead } from './head.ts'
import { mayBeJson } from './json-body.ts'
import { addJsonText } from './json-text.ts'
import { readJson, type JsonNode } from './json.ts'
import { judgeHead } from './judge.ts'
import { rootLayer, spelledLayer, type View } from './place.ts'
import { finish, type Judgement, type WireReading } from './reading.ts'
import { TextBuilder } from './text-builder.ts'

export function readFormBody(head: WireHead, body: Buffer, truncated: boolean): WireReading {
  const text = body.toString('latin1')
  const builder = new TextBuilder()
  const fields = readForm(text)
  const view = { layer: rootLayer(), base: 0 }
  const roots: JsonNode[] = []
  if (fields === undefined) builder.add(text, undefined)
  for (const field of fields ?? []) {
    const layer = spelledLayer(view, text, field.start, field.end, FORM_SPELLING)
    const place: View | undefined = field.exact ? { layer, base: 0 } : undefined
    const json = mayBeJson(field.value) ? readJson(field.value) : undefined
    if (json?.root === undefined || json.problem !== undefined || place === undefined) {
      builder.add(field.value, place, field.name)
      continue
    }
    roots.push(json.root)
    addJsonText(builder, json.root, field.value, place)
  }
  const judgement = judgeForm(head, fields?.map(({ name }) => name) ?? [], roots)
  return finish(judgement, builder, text, 'latin1', truncated)
}

const FORM_FIELDS: ReadonlyMap<string, string> = new Map([
  ['gemini-web', 'f.req'],
  ['meta-ai-web', 'variables'],
])

/** Two web chats send forms, each with a field that says so. */
function judgeForm(
  head: WireHead,
  names: readonly string[],
  roots: readonly JsonNode[],
): Judgement {
  const judgement = judgeHead(head)
  const rule = ruleFor(head)
  const field = FORM_FIELDS.get(rule?.format ?? '')
  const known = field !== undefined && names.includes(field)
  const isMeta = rule?.format === 'meta-ai-web' && head.protocol === undefined
  if (known && !isMeta) return { ...judgement, format: rule?.format, parsed: roots.length > 0 }
  return {
    ...judgement,
    ...(!known &&
      head.protocol === undefined && { format: undefined, action: 'access_ai_service' as const }),
    parsed: false,
  }
}
