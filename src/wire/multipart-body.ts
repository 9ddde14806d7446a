// Bodies of several parts: uploads, and the prompts that go with them.

import { textRuns } from './binary.ts'
import { formatOf, ruleFor, type WireHead } from './head.ts'
import { mayBeJson } from './json-body.ts'
import { addJsonText } from './json-text.ts'
import { readJson } from './json.ts'
import { judgeHead } from './judge.ts'
import { fileText, filenameOf, kindOf, mediaTypeOf, sniff } from './media.ts'
import { readParts } from './multipart.ts'
import { rootLayer, wholeLayer, type View } from './place.ts'
import { finish, type WireReading } from './reading.ts'
import { TextBuilder } from './text-builder.ts'

export function readMultipart(
  head: WireHead,
  body: Buffer,
  contentType: string,
  truncated: boolean,
): WireReading {
  const text = body.toString('latin1')
  const builder = new TextBuilder()
  const read = readParts(body, contentType)
  const view = { layer: rootLayer(), base: 0 }
  let hasFile = false
  let model: string | undefined
  for (const part of read?.parts ?? []) {
    const bytes = body.subarray(part.start, part.end)
    const isFile = part.filename !== undefined
    const mediaType = mediaTypeOf(part.mediaType)
    const found = fileText(bytes, isFile ? mediaType : 'text/plain')
    const type = sniff(bytes) ?? mediaType
    if (found !== undefined) {
      const layer = wholeLayer(view, found.text, part.start, part.end, (changed) =>
        Buffer.from(changed, found.encoding).toString('latin1'),
      )
      if (part.name === 'model' && !isFile) model = found.text.slice(0, 128)
      else if (isFile) builder.add(found.text, { layer, base: 0 })
      else addField(builder, part.name, found.text, { layer, base: 0 })
    }
    if (!isFile && found !== undefined) continue
    hasFile = true
    const filename = filenameOf(part.filename)
    builder.attach({
      kind: found === undefined ? kindOf(type) : 'document',
      ...(type !== undefined && { media_type: type }),
      bytes: bytes.length,
      ...(filename !== undefined && { filename }),
      searched: found !== undefined,
    })
  }
  // What is out of form is searched as it stands.
  if (read?.whole !== true)
    builder.add(textRuns(body.subarray(read?.parts.at(-1)?.end ?? 0)), undefined)
  const judgement = judgeHead(head)
  const rule = ruleFor(head)
  const isPrompt = rule?.kind === 'prompt'
  return finish(
    {
      ...judgement,
      action: isPrompt
        ? 'send_prompt'
        : hasFile || rule?.kind === 'upload'
          ? 'upload_file'
          : judgement.action,
      format:
        rule === undefined || (!rule.sure && head.protocol === undefined && model === undefined)
          ? undefined
          : formatOf(rule, head),
      parsed: read?.whole === true && rule !== undefined,
      ...(model !== undefined && { model }),
    },
    builder,
    text,
    'latin1',
    truncated,
  )
}

function addField(builder: TextBuilder, name: string, value: string, view: View): void {
  const json = mayBeJson(value) ? readJson(value) : undefined
  if (json?.root !== undefined && json.problem === undefined)
    addJsonText(builder, json.root, value, view)
  else
    builder.add(
      value,
      view,
      /^(?:prompt|input|text|message|content)$/.test(name) ? undefined : name,
    )
}
