// What a person sees whose navigation was refused: why, what may be used instead, and whom to ask.

import { escapeHtml, pageHtml } from '../base/html.ts'
import type { Refusal } from './ports.ts'

const REFUSED = '#b3261e'
const WAITS = '#b26a00'
const BROKEN = '#5a6575'

/** `contact`: a mail address, an https URL, or nothing. */
export function denialPage(refusal: Refusal, host: string, contact: string): string {
  const { status, details, decision, service, alternative } = refusal
  const waits = decision?.decision === 'REVIEW'
  const facts: readonly (readonly [string, string | null | undefined])[] = [
    ['Site', host],
    ['Service', service?.name],
    ['Decision', decision?.decision_id],
    ['Review', decision?.review_id],
  ]
  const parts = [
    `<p><strong>${sentence(decision?.reason ?? details)}</strong></p>`,
    ...(alternative === undefined
      ? []
      : [`<p>You can use <strong>${escapeHtml(alternative)}</strong> instead.</p>`]),
    ...(waits ? ['<p>Somebody has been asked. Try again once it is approved.</p>'] : []),
    ...asking(refusal, host, contact),
    `<dl>${facts.map(([name, value]) => (value == null || value === '' ? '' : `<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`)).join('')}</dl>`,
  ]
  return pageHtml({
    title:
      decision === undefined
        ? `This page cannot be reached (${status})`
        : waits
          ? 'This needs a review first'
          : 'This is not allowed here',
    accent: decision === undefined ? BROKEN : waits ? WAITS : REFUSED,
    width: '38rem',
    body: parts.join('\n'),
  })
}

function asking({ decision }: Refusal, host: string, contact: string): readonly string[] {
  const url = contactUrl(contact, host, decision?.decision_id)
  if (url === undefined)
    return decision === undefined
      ? []
      : ['<p>If you need this for your work, give your security team the decision id below.</p>']
  const isDenied = decision?.decision === 'DENY'
  const shown = contact.replace(/^https:\/\//, '')
  return [
    isDenied ? '<p>If you need this for your work:</p>' : '',
    `<p><a class="button" href="${escapeHtml(url)}">${isDenied ? 'Ask for an exception' : 'Ask about it'}</a> <span class="soft">${escapeHtml(shown)}</span></p>`,
  ]
}

/** Where an exception is asked for, with what the other side needs to find the decision. */
function contactUrl(
  contact: string,
  host: string,
  decisionId: string | undefined,
): string | undefined {
  if (/^https:\/\//i.test(contact)) {
    if (!URL.canParse(contact)) return undefined
    const url = new URL(contact)
    if (decisionId !== undefined) url.searchParams.set('decision_id', decisionId)
    return url.href
  }
  // A quotation mark or a blank would be no address that the configuration takes.
  if (!/^[^\s@"<>?&]+@[^\s@"<>?&]+$/.test(contact)) return undefined
  const subject = `Access to ${host}`.toWellFormed()
  const body =
    decisionId === undefined
      ? ''
      : `&body=${encodeURIComponent(`Decision: ${decisionId}\r\nI need this because: `)}`
  return `mailto:${encodeURI(contact)}?subject=${encodeURIComponent(subject)}${body}`
}

/** With a capital letter and one full stop; policies are written as the rest of a sentence. */
function sentence(text: string): string {
  const trimmed = text.trim()
  const ends = /[.!?]$/.test(trimmed) ? '' : '.'
  return escapeHtml(trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + ends)
}
