// Which parts of an input document name a person, a device or an address, and which may stay in the record.

import type { InputDocument } from '../model/input.ts'
import type { PersonalPart } from '../model/record.ts'

export interface SplitInput {
  readonly input: unknown
  readonly masked: readonly string[]
  readonly personal: PersonalPart
}

/** An input document on its way into a record. */
export interface InputToKeep {
  /** As policies saw it. */
  readonly seen: InputDocument
  /** Without names that were secrets. */
  readonly kept: InputDocument
  /** And with words in place of names of people, in texts that others have made. */
  readonly nameless: InputDocument
}

/** `user.id` is a pseudonym and stays; so do status, department, groups and roles, which policies are about. */
export function splitInput(
  { seen, kept, nameless: document }: InputToKeep,
  login: string | undefined,
  urlPaths: boolean,
): SplitInput {
  const {
    name,
    email,
    employee_type,
    job_title,
    risk_score,
    clearance_level,
    attributes,
    ...user
  } = document.user
  const { ip_address, device, user_agent, geo_location, asset, ...context } = document.context
  const { path, ...resource } = document.resource
  const { content } = document
  const person = present({
    name,
    email,
    employee_type,
    job_title,
    risk_score,
    clearance_level,
    attributes,
  })
  return {
    input: {
      ...document,
      user,
      resource: urlPaths && path !== undefined ? { ...resource, path } : resource,
      context,
      ...(content?.attachments === undefined
        ? {}
        : { content: { ...content, attachments: content.attachments.map(withoutName) } }),
    },
    masked: maskedOf(seen, kept, urlPaths),
    personal: present({
      user: Object.keys(person).length === 0 ? undefined : person,
      login,
      ip_address,
      device,
      user_agent,
      geo_location,
      asset,
      path: urlPaths && path !== kept.resource.path ? kept.resource.path : undefined,
      model: resource.model === kept.resource.model ? undefined : kept.resource.model,
    }),
  }
}

const NONE: readonly string[] = []

/** The paths that policies saw and that stand nowhere in the record, or not as they were. */
function maskedOf(
  { resource, content }: InputDocument,
  kept: InputDocument,
  urlPaths: boolean,
): readonly string[] {
  const { tools = NONE, attachments = NONE } = content ?? {}
  const keptTools = kept.content?.tools ?? NONE
  const masked = [
    ...(urlPaths || resource.path === undefined ? NONE : ['resource.path']),
    ...(kept.resource.model === resource.model ? NONE : ['resource.model']),
    ...(tools.every((tool, index) => tool === keptTools[index]) ? NONE : ['content.tools']),
    ...(attachments.some(hasName) ? ['content.attachments.filename'] : NONE),
  ]
  return masked.length === 0 ? NONE : masked
}

function hasName(attachment: unknown): boolean {
  return typeof attachment === 'object' && attachment !== null && 'filename' in attachment
}

/** What people call their files may say what is in them, or who they are about. */
function withoutName(attachment: unknown): unknown {
  if (typeof attachment !== 'object' || attachment === null) return attachment
  const { filename: _, ...rest } = attachment as { readonly filename?: unknown }
  return rest
}

function present<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const out: Partial<Record<keyof T, unknown>> = {}
  for (const key of Object.keys(fields) as (keyof T)[])
    if (fields[key] !== undefined) out[key] = fields[key]
  return out as { [K in keyof T]?: NonNullable<T[K]> }
}
