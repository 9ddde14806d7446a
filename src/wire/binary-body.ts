// Bodies of protobuf and in the envelopes of Connect and gRPC.

import { isUtf8 } from 'node:buffer'
import { envelopeOf, protobufStrings, readEnvelopes, textRuns } from './binary.ts'
import { ruleFor, type WireHead } from './head.ts'
import { addJsonText } from './json-text.ts'
import { readJson, type JsonNode } from './json.ts'
import { judge, judgeHead } from './judge.ts'
import { rootLayer, wholeLayer } from './place.ts'
import { finish, type WireReading } from './reading.ts'
import { TextBuilder } from './text-builder.ts'

export function readBinaryBody(
  head: WireHead,
  body: Buffer,
  type: string,
  truncated: boolean,
): WireReading {
  const builder = new TextBuilder()
  const text = body.toString('latin1')
  const view = { layer: rootLayer(), base: 0 }
  const isFramed = !/^application\/(?:proto$|x-protobuf|vnd\.google\.protobuf)/.test(type)
  const envelopes = isFramed
    ? readEnvelopes(body)
    : [{ flags: 0, payload: body, start: 0, end: body.length }]
  const roots: JsonNode[] = []
  let whole = envelopes !== undefined
  for (const { flags, payload, start, end } of envelopes ?? []) {
    if (type.endsWith('json')) {
      const json = payload.toString('utf8')
      const { root, problem, repeats } = readJson(json)
      if (root === undefined || problem !== undefined || repeats || !isUtf8(payload)) whole = false
      if (root === undefined) continue
      roots.push(root)
      const layer = wholeLayer(view, json, start, end, (changed) =>
        envelopeOf(flags, Buffer.from(changed)).toString('latin1'),
      )
      addJsonText(builder, root, json, { layer, base: 0 })
      continue
    }
    const strings = protobufStrings(payload)
    if (strings === undefined) whole = false
    for (const string of strings ?? []) builder.add(string, undefined)
  }
  // What is cut or of another form still says something.
  if (!whole) builder.add(textRuns(body), undefined)
  const judgement = roots.length > 0 ? judge(head, roots) : judgeHead(head)
  const parsed = whole && ruleFor(head) !== undefined && (roots.length === 0 || judgement.parsed)
  return finish({ ...judgement, parsed }, builder, text, 'latin1', truncated)
}
