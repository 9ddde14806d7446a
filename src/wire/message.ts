// What a WebSocket client says in one message of text, in the formats whose prompts travel so.

import { socketFormat } from './formats.ts'
import { trimmed, type WireHead } from './head.ts'
import { readLines } from './json-body.ts'
import { addJsonText } from './json-text.ts'
import { member, memberString, type JsonNode } from './json.ts'
import { judgeMessage } from './judge.ts'
import { rootLayer } from './place.ts'
import { finish, type WireReading } from './reading.ts'
import { TextBuilder } from './text-builder.ts'

/** Records of SignalR end with U+001E; other formats send one JSON text a message. */
// oxlint-disable-next-line no-control-regex -- the record separator itself
const RECORDS = /[^\u001E]+/g

/** Undefined where nobody knows what is spoken there; `head`: of the upgrade. */
export function formatOfMessages(head: WireHead): string | undefined {
  return socketFormat(trimmed(head.path))
}

/** Reads a message of text; `head` is that of the upgrade, `truncated`: more of the message follows. */
export function readMessage(head: WireHead, text: string, truncated: boolean): WireReading {
  const format = formatOfMessages(head)
  const builder = new TextBuilder()
  const { roots, problem, repeats } = readLines(text, RECORDS)
  const says = roots.filter((root) => saysSomething(format, root))
  const isRead = problem === undefined || problem === 'incomplete'
  if (!isRead) builder.add(text, undefined)
  else for (const root of says) addJsonText(builder, root, text, { layer: rootLayer(), base: 0 })
  const isPrompt = !isRead || builder.text() !== ''
  const judgement = judgeMessage(head, format, isPrompt, roots)
  const parsed = judgement.parsed && problem === undefined && !repeats
  return finish({ ...judgement, parsed }, builder, text, 'utf8', truncated)
}

/** Does a message hold words or what a tool answered? The rest are gestures and sound. */
function saysSomething(format: string | undefined, root: JsonNode): boolean {
  switch (format) {
    case 'openai-realtime':
    case 'openai-responses':
      return realtimeSays(root)
    case 'gemini-live':
      return geminiSays(root)
    case 'copilot-consumer':
      return !COPILOT_GESTURES.has(memberString(root, 'event') ?? '')
    case 'm365-copilot':
      return member(root, 'arguments') !== undefined || memberString(root, 'text') !== undefined
    default:
      return true
  }
}

const REALTIME_GESTURES = new Set(
  `input_audio_buffer.append input_audio_buffer.commit input_audio_buffer.clear response.cancel
   conversation.item.delete conversation.item.truncate conversation.item.retrieve
   output_audio_buffer.clear`.split(/\s+/),
)
const COPILOT_GESTURES = new Set(
  'ping setOptions reportLocalConsents challengeResponse stopGenerating cancel'.split(' '),
)
/** Where the words of a session or an answer to come stand. */
const INSTRUCTIVE = ['instructions', 'tools', 'input', 'prompt', 'metadata']

function realtimeSays(root: JsonNode): boolean {
  const type = memberString(root, 'type') ?? ''
  if (REALTIME_GESTURES.has(type)) return false
  const holder = member(root, 'session') ?? member(root, 'response')
  if (
    type === 'session.update' ||
    type === 'transcription_session.update' ||
    type === 'response.create'
  )
    return INSTRUCTIVE.some(
      (key) => member(holder, key) !== undefined || member(root, key) !== undefined,
    )
  return true
}

function geminiSays(root: JsonNode): boolean {
  const setup = member(root, 'setup')
  if (setup !== undefined)
    return ['systemInstruction', 'system_instruction', 'tools'].some(
      (key) => member(setup, key) !== undefined,
    )
  const live = member(root, 'realtimeInput') ?? member(root, 'realtime_input')
  return live === undefined || member(live, 'text') !== undefined
}
