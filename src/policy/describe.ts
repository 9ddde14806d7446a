// What the text of a policy file says of itself, without compiling anything: what it is, its id and its metadata.
//
// Enough to keep a draft and to show it. Whether it can be enforced is for the engines to say.

import { basename } from 'node:path'
import { CordonError, type Problem } from '../base/errors.ts'
import type { PolicyMetadata } from '../model/policy.ts'
import type { PolicyLanguage, PolicyType, StoredFile } from '../model/stored-policy.ts'
import { readCedar } from './cedar/read.ts'
import { addData, readFolder, type SourceFile } from './folder.ts'
import { metadataOf } from './rego/annotations.ts'
import { readTableTests } from './table-tests.ts'

export interface FileKind {
  readonly type: PolicyType
  readonly language: PolicyLanguage
}

export interface Described extends FileKind {
  /** Of policies only. */
  readonly metadata?: PolicyMetadata
  /** The package of a Rego file. */
  readonly package?: string
  readonly problems: readonly Problem[]
}

/** Rules that make a package a policy, at the beginning of a line. */
const CONVENTION = /^(?:default\s+)?(?:decision|deny|review|allow|obligations)(?![\w.])/m
/** Comments and texts can hold anything; one that does not end is taken to its end, so that nothing is read twice. */
const NO_CODE = /#[^\n]*|`[^`]*`?|"(?:[^"\\\n]|\\.)*"?/g
const PACKAGE = /^[ \t]*package\s+([^\s;]+)/m
const ALL_OF_IT = ['']

/** What a file is, by its name and, of Rego, by whether it has a convention rule; undefined where nobody reads such files. */
export function kindOf(name: string, text: string): FileKind | undefined {
  if (name.endsWith('_test.rego')) return { type: 'test', language: 'rego' }
  if (/\.test\.ya?ml$/.test(name)) return { type: 'test', language: 'yaml' }
  if (/^data\.ya?ml$/.test(basename(name))) return { type: 'data', language: 'yaml' }
  if (basename(name) === 'data.json') return { type: 'data', language: 'json' }
  if (name.endsWith('.cedar')) return { type: 'policy', language: 'cedar' }
  if (!name.endsWith('.rego')) return undefined
  const isPolicy = CONVENTION.test(text.replaceAll(NO_CODE, blanked))
  return { type: isPolicy ? 'policy' : 'library', language: 'rego' }
}

export function isTest({ path, text }: StoredFile): boolean {
  return kindOf(path, text)?.type === 'test'
}

/** Throws nothing: what is wrong with the text is in `problems`, with its places. */
export function describe(file: SourceFile, kind: FileKind): Described {
  if (kind.type === 'policy' && kind.language === 'cedar') return describeCedar(file, kind)
  if (kind.language === 'rego') return describeRego(file, kind)
  return { ...kind, problems: kind.type === 'data' ? dataProblems(file) : tableProblems(file) }
}

/** The policies of a folder as their texts tell; what cannot be told is left out, `loadPolicySet` says why. */
export function describeFolder(dir: string): readonly PolicyMetadata[] {
  const { rego, cedar } = readFolder(dir)
  const statements = cedar.flatMap((file) =>
    readCedar(file).policies.map(({ metadata }) => metadata),
  )
  const packages = rego.flatMap((file) => {
    const kind = kindOf(file.name, file.text)
    const metadata = kind?.type === 'policy' ? describe(file, kind).metadata : undefined
    return metadata === undefined ? [] : [metadata]
  })
  return [...packages, ...statements]
}

function describeCedar(file: SourceFile, kind: FileKind): Described {
  const { policies, problems } = readCedar(file)
  if (problems.length > 0) return { ...kind, problems }
  const [policy, second] = policies
  if (policy === undefined || second !== undefined)
    return {
      ...kind,
      problems: [
        {
          file: file.path,
          line: second?.metadata.line ?? 1,
          column: 1,
          message: `a stored policy is one statement, and these are ${policies.length}: make a policy of each`,
        },
      ],
    }
  const { metadata } = policy
  if (metadata.id === `${basename(file.name)}:1`)
    return {
      ...kind,
      problems: [
        {
          file: file.path,
          line: metadata.line ?? 1,
          column: 1,
          message: 'a stored policy names itself: add @id("...")',
        },
      ],
    }
  return { ...kind, metadata, problems: [] }
}

function describeRego(file: SourceFile, kind: FileKind): Described {
  const [, name] = PACKAGE.exec(file.text.replaceAll(/#[^\n]*/g, blanked)) ?? []
  if (name === undefined)
    return {
      ...kind,
      problems: [{ file: file.path, line: 1, column: 1, message: 'a Rego file names its package' }],
    }
  const named = { ...kind, package: name }
  if (kind.type !== 'policy') return { ...named, problems: [] }
  const problems: Problem[] = []
  const metadata = metadataOf(file, name, ALL_OF_IT, problems)
  return {
    ...named,
    ...(metadata === undefined || problems.length > 0 ? {} : { metadata }),
    problems,
  }
}

function dataProblems(file: SourceFile): readonly Problem[] {
  const problems: Problem[] = []
  addData(file, {}, problems)
  return problems
}

function tableProblems(file: SourceFile): readonly Problem[] {
  try {
    readTableTests(file)
    return []
  } catch (error) {
    if (error instanceof CordonError) return error.problems
    throw error
  }
}

/** As long as it was, so that places stay. */
function blanked(text: string): string {
  return text.replaceAll(/[^\n]/g, ' ')
}
