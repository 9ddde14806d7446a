// What an attachment is: by its first bytes where they tell, else by what is said of it.

import { isUtf8 } from 'node:buffer'

export type AttachmentKind = 'image' | 'audio' | 'video' | 'document' | 'file' | 'reference'

/** Something that leaves beside the text. */
export interface Attachment {
  readonly kind: AttachmentKind
  readonly media_type?: string
  /** Its size, where its bytes are in the request or the request says so. */
  readonly bytes?: number
  readonly filename?: string
  /** Its text was searched with the rest. */
  readonly searched: boolean
}

const MAGIC: readonly (readonly [string, string, number?])[] = [
  ['\x89PNG', 'image/png'],
  ['\xff\xd8\xff', 'image/jpeg'],
  ['GIF8', 'image/gif'],
  ['WEBP', 'image/webp', 8],
  ['WAVE', 'audio/wav', 8],
  ['%PDF-', 'application/pdf'],
  ['ID3', 'audio/mpeg'],
  ['\xff\xfb', 'audio/mpeg'],
  ['\xff\xf3', 'audio/mpeg'],
  ['OggS', 'audio/ogg'],
  ['fLaC', 'audio/flac'],
  ['ftypavif', 'image/avif', 4],
  ['ftyphei', 'image/heic', 4],
  ['ftypM4A', 'audio/mp4', 4],
  ['ftyp', 'video/mp4', 4],
  ['\x1aE\xdf\xa3', 'video/webm'],
  ['PK\x03\x04', 'application/zip'],
  ['\x1f\x8b', 'application/gzip'],
]
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ['png', 'image/png'],
  ['jpeg', 'image/jpeg'],
  ['jpg', 'image/jpeg'],
  ['gif', 'image/gif'],
  ['webp', 'image/webp'],
  ['wav', 'audio/wav'],
  ['mp3', 'audio/mpeg'],
  ['pcm16', 'audio/pcm'],
  ['mp4', 'video/mp4'],
  ['pdf', 'application/pdf'],
  ['csv', 'text/csv'],
  ['txt', 'text/plain'],
  ['md', 'text/markdown'],
  ['html', 'text/html'],
  ['doc', 'application/msword'],
  ['docx', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'],
  ['xlsx', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'],
])
/** `type/subtype`; what else is said is not repeated to policies. */
const MEDIA_TYPE = /^[a-z]+\/[a-z0-9.+_-]{1,100}$/
const TEXT_TYPE =
  /^(?:text\/|application\/(?:json|xml|yaml|x-yaml|javascript|x-javascript|typescript|sql|toml|csv|x-ndjson|x-sh|x-httpd-php)|message\/|.*\+(?:json|xml|yaml)$)/
const NAME_MOST = 255
/** Enough of a file to tell text from anything else. */
const SAMPLE = 3072

/** A media type without parameters, in small letters; names of formats count too. */
export function mediaTypeOf(said: string | undefined): string | undefined {
  if (said === undefined) return undefined
  const semicolon = said.indexOf(';')
  const essence = (semicolon === -1 ? said : said.slice(0, semicolon)).trim().toLowerCase()
  return MEDIA_TYPE.test(essence) ? essence : SHORT_NAMES.get(essence)
}

export function filenameOf(said: string | undefined): string | undefined {
  if (said === undefined || said === '') return undefined
  return said.slice(Math.max(said.lastIndexOf('/'), said.lastIndexOf('\\')) + 1).slice(0, NAME_MOST)
}

function isTextType(mediaType: string | undefined): boolean {
  return mediaType !== undefined && TEXT_TYPE.test(mediaType)
}

export function kindOf(mediaType: string | undefined): AttachmentKind {
  if (mediaType === undefined) return 'file'
  const top = mediaType.slice(0, mediaType.indexOf('/'))
  if (top === 'image' || top === 'audio' || top === 'video') return top
  if (isTextType(mediaType)) return 'document'
  return /pdf|word|document|sheet|excel|presentation|powerpoint|rtf|epub/.test(mediaType)
    ? 'document'
    : 'file'
}

/** What the first bytes say. */
export function sniff(bytes: Buffer): string | undefined {
  const head = bytes.toString('latin1', 0, 16)
  return MAGIC.find(([sign, , at]) => head.startsWith(sign, at ?? 0))?.[1]
}

export interface FileText {
  readonly text: string
  readonly encoding: BufferEncoding
}

/** The text of a file, whatever it is said to be: a text that is called a picture is a text. */
export function fileText(bytes: Buffer, mediaType: string | undefined): FileText | undefined {
  if (bytes.length === 0) return undefined
  if (bytes[0] === 0xff && bytes[1] === 0xfe)
    return { text: bytes.toString('utf16le'), encoding: 'utf16le' }
  const sample = bytes.subarray(0, SAMPLE)
  if (sample.includes(0)) return undefined
  if (isUtf8(bytes))
    return hasControls(sample) ? undefined : { text: bytes.toString('utf8'), encoding: 'utf8' }
  return isTextType(mediaType) && sniff(bytes) === undefined
    ? { text: bytes.toString('latin1'), encoding: 'latin1' }
    : undefined
}

/** Control characters that texts do not have. */
function hasControls(sample: Buffer): boolean {
  for (const byte of sample)
    if (byte < 32 && byte !== 9 && byte !== 10 && byte !== 13 && byte !== 12 && byte !== 27)
      return true
  return false
}
