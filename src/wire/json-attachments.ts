// Attachments inside JSON: base64, data URLs, and references to what was uploaded or lies elsewhere.

import { member, memberString, type JsonNode } from './json.ts'
import { fileText, filenameOf, kindOf, mediaTypeOf, sniff } from './media.ts'
import { wholeLayer, type View } from './place.ts'
import type { TextBuilder } from './text-builder.ts'

/** Keys under which the formats put base64. */
const DATA_KEYS = new Set(
  `data bytes file_data fileData b64_json blob images image audio video file url image_url uri
   FileBase64`.split(/\s+/),
)
/** Nothing but files stand under these. */
const FILE_KEYS = new Set('bytes file_data b64_json blob images audio video FileBase64'.split(' '))
const SHORT_FILE = 512
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/
const BASE64_LINES = /^[A-Za-z0-9+/_\r\n-]+={0,2}\s{0,2}$/
const BASE64_LEAST = 24
const BASE64_PROBE = 256
const DATA_URL = /^data:([^,;]{0,127})(?:;[^,;]{0,127}){0,4};base64,/i
const REFERENCES = new Set(
  `file_id fileUri file_uri file_url fileUrl image_url asset_pointer ref_file_ids file_ids fileAttachments
   imageAttachments container_upload`.split(/\s+/),
)
const TYPE_KEYS = [
  'media_type',
  'mimeType',
  'mime_type',
  'mediaType',
  'file_type',
  'format',
  'type',
]
const NAME_KEYS = ['filename', 'file_name', 'fileName', 'name', 'title']
const SIZE_KEYS = ['size', 'file_size', 'fileSize']

export function isReferenceKey(key: string): boolean {
  return REFERENCES.has(key)
}

/** May a string be the bytes of a file? */
export function isData(key: string | undefined, value: string): boolean {
  if (value.startsWith('data:')) return true
  return key !== undefined && DATA_KEYS.has(key) && value.length >= BASE64_LEAST && isBase64(value)
}

/** Text is told from base64 by its first characters; only what passes is looked at as a whole. */
function isBase64(value: string): boolean {
  const probe = value.slice(0, BASE64_PROBE).replace(/={1,2}$/, '')
  if (!BASE64_LINES.test(probe)) return false
  // Words and names under the same keys are shorter, or all of one kind.
  if (!/\d/.test(probe) || !/[A-Z]/.test(probe) || !/[a-z]/.test(probe))
    return value.length > 256 && BASE64.test(value)
  return BASE64_LINES.test(value)
}

/** Takes a file out of the text, or adds its text; false where the string is none. */
export function attachData(
  builder: TextBuilder,
  node: JsonNode,
  key: string | undefined,
  around: readonly JsonNode[],
  view: () => View,
): boolean {
  const url = DATA_URL.exec(node.value)
  if (url === null && node.value.startsWith('data:')) return false
  const from = url?.[0].length ?? 0
  const bytes = Buffer.from(node.value.slice(from), 'base64')
  if (bytes.length === 0) return false
  const said = mediaTypeOf(url?.[1]) ?? saidType(around)
  const mediaType = sniff(bytes) ?? said
  const filename = filenameOf(saidName(around))
  const text = fileText(bytes, said)
  // A key that happens to be of base64's characters, not the bytes of a file.
  if (text?.encoding !== 'utf8' && sniff(bytes) === undefined && url === null) {
    const isTold = said !== undefined || (key !== undefined && FILE_KEYS.has(key))
    if (!isTold || node.value.length < SHORT_FILE) return false
  }
  if (text !== undefined) {
    const layer = wholeLayer(view(), text.text, from, node.value.length, (changed) =>
      Buffer.from(changed, text.encoding).toString('base64'),
    )
    builder.add(text.text, { layer, base: 0 })
  }
  builder.attach({
    kind: text === undefined ? kindOf(mediaType ?? guessed(key)) : 'document',
    ...(mediaType !== undefined && { media_type: mediaType }),
    bytes: bytes.length,
    ...(filename !== undefined && { filename }),
    searched: text !== undefined,
  })
  return true
}

/** Files that an object tells of without their bytes. */
export function attachObject(builder: TextBuilder, node: JsonNode, key: string | undefined): void {
  const extracted = member(node, 'extracted_content')?.kind === 'string'
  if (!extracted && key !== 'attachments') return
  const filename = filenameOf(saidName([node]))
  const mediaType = saidType([node])
  const size = SIZE_KEYS.map((name) => member(node, name)).find((one) => one?.kind === 'number')
  const bytes = Number(size?.value)
  if (!extracted && filename === undefined && mediaType === undefined) return
  builder.attach({
    kind: extracted ? 'document' : 'reference',
    ...(mediaType !== undefined && { media_type: mediaType }),
    ...(Number.isSafeInteger(bytes) && bytes >= 0 && { bytes }),
    ...(filename !== undefined && { filename }),
    searched: extracted,
  })
}

function saidType(around: readonly JsonNode[]): string | undefined {
  for (const holder of around)
    for (const key of TYPE_KEYS) {
      const type = mediaTypeOf(memberString(holder, key))
      if (type !== undefined) return type
    }
  return undefined
}

function saidName(around: readonly JsonNode[]): string | undefined {
  for (const holder of around)
    for (const key of NAME_KEYS) {
      const name = memberString(holder, key)
      if (name !== undefined && name.length <= 1024) return name
    }
  return undefined
}

function guessed(key: string | undefined): string | undefined {
  if (key === 'images' || key === 'image' || key === 'image_url') return 'image/*'
  if (key === 'audio') return 'audio/*'
  return key === 'video' ? 'video/*' : undefined
}
