// What is being asked: format, action, model, tools, attachments, and all text that leaves, with the place
// of every character of it, so that what is found can be taken out and nothing else changes.

import { isUtf8 } from 'node:buffer'
import { readBinaryBody } from './binary-body.ts'
import { readFormBody } from './form-body.ts'
import { ruleFor, type WireHead } from './head.ts'
import { mayBeJson, readJsonBody } from './json-body.ts'
import { judgeHead } from './judge.ts'
import { fileText, kindOf, mediaTypeOf, sniff } from './media.ts'
import { readMultipart } from './multipart-body.ts'
import { rootLayer } from './place.ts'
import { finish, type WireReading } from './reading.ts'
import { TextBuilder } from './text-builder.ts'

export { expectedOf, type WireHead } from './head.ts'
export { readMessage } from './message.ts'
export type { WireReading } from './reading.ts'

/** Reads a body whose content codings are undone already. `truncated`: more of it follows, unread. */
export function readRequest(head: WireHead, body: Buffer, truncated: boolean): WireReading {
  if (body.length === 0) return finish(judgeHead(head), new TextBuilder(), body, 'utf8', truncated)
  const said = head.header('content-type') ?? ''
  const type = essenceOf(said)
  if (type === 'multipart/form-data') return readMultipart(head, body, said, truncated)
  if (type === 'application/x-www-form-urlencoded') return readFormBody(head, body, truncated)
  if (/^application\/(?:connect\+|grpc|proto|x-protobuf|vnd\.google\.protobuf)/.test(type))
    return readBinaryBody(head, body, type, truncated)
  const text = textOf(body, truncated)
  if (text !== undefined && mayBeJson(text)) return readJsonBody(head, body, text, type, truncated)
  return readFile(head, body, type, truncated)
}

function essenceOf(said: string): string {
  const semicolon = said.indexOf(';')
  return (semicolon === -1 ? said : said.slice(0, semicolon)).trim().toLowerCase()
}

/** Text of a JSON body, in whatever Unicode form it comes; undefined where it is binary. */
function textOf(body: Buffer, truncated: boolean): string | undefined {
  if (isUtf8(body)) return body.toString('utf8')
  if (body[0] === 0xff && body[1] === 0xfe) return body.toString('utf16le').slice(1)
  const text = body.toString('utf8')
  // The cut may have gone through a character.
  return truncated && !text.slice(0, -3).includes('\uFFFD')
    ? text.replace(/\uFFFD{1,3}$/, '')
    : text
}

/** A body that is one file: the raw uploads of web chats, plain text, pictures for models that look at them. */
function readFile(head: WireHead, body: Buffer, type: string, truncated: boolean): WireReading {
  const builder = new TextBuilder()
  const judgement = judgeHead(head)
  const said = mediaTypeOf(type)
  const found = fileText(body, said)
  const mediaType = sniff(body) ?? said
  const text = found?.text ?? ''
  const encoding = found?.encoding ?? 'utf8'
  if (found !== undefined) builder.add(text, { layer: rootLayer(), base: 0 })
  if (judgement.action === 'upload_file' || found === undefined)
    builder.attach({
      kind: found === undefined ? kindOf(mediaType) : 'document',
      ...(mediaType !== undefined && { media_type: mediaType }),
      bytes: body.length,
      searched: found !== undefined,
    })
  const rule = ruleFor(head)
  const parsed = rule?.kind === 'upload' && (found !== undefined || rule.sure)
  return finish(
    { ...judgement, parsed },
    builder,
    found === undefined ? body : text,
    encoding,
    truncated,
  )
}
