// What is known of each policy before any request: when it answers, what it answers, which words stand in it.

import { createHash } from 'node:crypto'
import { CordonError } from '../../base/errors.ts'
import { stringifyExact } from '../../base/exact-json.ts'
import { Pace } from '../../base/pace.ts'
import type { Effect } from '../../model/decision.ts'
import type { PolicyMetadata } from '../../model/policy.ts'
import { type CedarFile, type CedarPolicy, readCedarFiles } from '../cedar/read.ts'
import type { PolicyFolder, SourceFile } from '../folder.ts'
import { inParallel } from '../rego/in-parallel.ts'
import type { Toolchain } from '../rego/toolchain.ts'
import { cedarCondition } from './cedar-conditions.ts'
import { type Condition, either, NEVER, OPAQUE, type Scalar } from './condition.ts'
import { regoConditions } from './rego-conditions.ts'

export interface PolicySource {
  readonly policy: PolicyMetadata
  /** The same as long as the policy does not change, sha256 in hex. */
  readonly digest: string
  /** The same as long as nothing changes that its answers may hang on, sha256 in hex. */
  readonly hangsOn: string
  /** Equal only for policies that say the same of every request, sha256 in hex. */
  readonly kind: string
  /** Where it gives each answer, at most. */
  readonly answers: ReadonlyMap<Effect, Condition>
  /** Where it gives any answer. */
  readonly speaks: Condition
  /** Where it may oblige without an answer. */
  readonly obliges: Condition
  /** Whether it ever obliges. */
  readonly mayOblige: boolean
  readonly constants: readonly Scalar[]
  /** Cedar's own validator says that it can never hold. */
  readonly impossible: boolean
}

export interface ReadSources {
  /** In the order of the policies; one that stands in no folder is left out. */
  readonly sources: readonly PolicySource[]
  readonly notes: readonly string[]
}

/** Of one run of OPA. */
const FILES_PER_RUN = 500
const ALL: readonly Effect[] = ['ALLOW', 'REVIEW', 'DENY']

export async function readSources(
  policies: readonly PolicyMetadata[],
  folders: readonly PolicyFolder[],
  toolchain: Pick<Toolchain, 'run' | 'find'>,
): Promise<ReadSources> {
  const known = new Map<string, PolicySource>()
  const notes: string[] = []
  const wanted = new Set(policies.map(({ id }) => id))
  const pace = new Pace()
  for (const file of await readCedarFiles(folders.flatMap(({ cedar }) => cedar))) {
    const impossible = impossibleIn(file)
    for (const [at, policy] of file.policies.entries()) {
      const { id } = policy.metadata
      if (wanted.has(id)) known.set(id, cedarSource(policy, impossible.has(at)))
      await pace.point()
    }
  }
  for (const folder of folders) {
    notes.push(...(await readRego(folder, policies, toolchain, known)))
  }
  return {
    sources: policies.flatMap(({ id }) => known.get(id) ?? []),
    notes: [...new Set(notes)],
  }
}

/** Which statements can never hold, as Cedar's validator tells where it was asked just now. */
function impossibleIn({ policies, warnings }: CedarFile): ReadonlySet<number> {
  const lines = policies.map(({ metadata }) => metadata.line ?? 1)
  return new Set(
    warnings
      .filter(({ message }) => message.includes('impossible'))
      .map(({ line = 1 }) => lines.findLastIndex((start) => start <= line)),
  )
}

function cedarSource({ metadata, text, outcome }: CedarPolicy, impossible: boolean): PolicySource {
  const { condition, body } = cedarCondition(text)
  const { effect, obligations } = outcome
  const said = [String(effect), stringifyExact(obligations)]
  return {
    policy: metadata,
    digest: digestOf(...said, text),
    hangsOn: digestOf(...said, text),
    kind: digestOf(...said, body, stringifyExact(metadata.scope)),
    answers: new Map(effect === null ? [] : [[effect, condition]]),
    speaks: effect === null ? NEVER : condition,
    obliges: effect === null ? condition : NEVER,
    mayOblige: obligations.length > 0,
    constants: constantsOf(condition),
    impossible,
  }
}

function constantsOf(condition: Condition): readonly Scalar[] {
  return [
    ...new Set(
      condition.flatMap(({ atoms }) =>
        atoms.flatMap(({ test }): readonly Scalar[] => {
          if ('values' in test) return test.values
          return 'value' in test ? [test.value] : []
        }),
      ),
    ),
  ]
}

async function readRego(
  folder: PolicyFolder,
  policies: readonly PolicyMetadata[],
  toolchain: Pick<Toolchain, 'run' | 'find'>,
  known: Map<string, PolicySource>,
): Promise<readonly string[]> {
  const mine = new Map(policies.map((policy) => [policy.file, policy]))
  // A rule may be defined in several files of its package.
  const packages = [...Map.groupBy(folder.rego, packageOf).values()].filter((files) =>
    files.some(({ path }) => mine.has(path)),
  )
  if (packages.length === 0) return []
  const hasOpa = toolchain.find() !== undefined
  await inParallel(batchesOf(packages), async (batch) => {
    // Trees are large: they go with their batch.
    const trees = hasOpa ? await treesOf(batch.flat(), toolchain) : undefined
    for (const files of batch) {
      for (const file of files) {
        const policy = mine.get(file.path)
        if (policy === undefined) continue
        const own = [file, ...files.filter((each) => each !== file)]
        const reach = reachOfRego(policy, own, folder)
        known.set(
          policy.id,
          trees === undefined
            ? unread(policy, file, reach)
            : regoSource(
                policy,
                file,
                reach,
                own.map((each) => trees.get(each)),
                folder,
              ),
        )
      }
    }
  })
  return hasOpa
    ? []
    : ['OPA is not installed here: of Rego policies nothing is proven, requests are tried instead']
}

/** So many packages together that one run of OPA reads some hundred files. */
function batchesOf(
  packages: readonly (readonly SourceFile[])[],
): readonly (readonly (readonly SourceFile[])[])[] {
  const batches: (readonly SourceFile[])[][] = []
  let files = FILES_PER_RUN
  for (const each of packages) {
    if (files >= FILES_PER_RUN) {
      batches.push([])
      files = 0
    }
    batches.at(-1)?.push(each)
    files += each.length
  }
  return batches
}

function packageOf({ text }: SourceFile): string {
  return /^\s*package\s+([^\s#;]+)/m.exec(text)?.[1] ?? ''
}

type Reach = Pick<PolicySource, 'kind' | 'hangsOn'>

const HEAD = /^\s*(?:package\s|import\s+(?:rego\.v1|future\.keywords)\b).*$/gm

/** A package that is one file and names nothing beside its input hangs on nothing else, whatever it is called. */
function reachOfRego(
  { id, scope }: PolicyMetadata,
  files: readonly SourceFile[],
  folder: PolicyFolder,
): Reach {
  const texts = files.map(({ text }) => text)
  const [code = ''] = texts.map((text) => withoutComments(text).replaceAll(HEAD, ''))
  // A raw text may have lines that only look like comments.
  return files.length > 1 || /`|\b(?:data|import|metadata)\b/.test(code)
    ? { kind: digestOf(id, code), hangsOn: digestOf(...texts, folder.digest) }
    : { kind: digestOf(code.trim(), stringifyExact(scope)), hangsOn: digestOf(...texts) }
}

function withoutComments(code: string): string {
  return code.replaceAll(/^\s*#.*$/gm, '')
}

function regoSource(
  policy: PolicyMetadata,
  { text }: SourceFile,
  reach: Reach,
  modules: readonly unknown[],
  { data }: PolicyFolder,
): PolicySource {
  const { answers, obliges, constants } = regoConditions(modules, data)
  return {
    policy,
    digest: digestOf(text),
    ...reach,
    answers,
    speaks: either(...answers.values()),
    obliges,
    mayOblige: /^\s*(?:obligations|decision)\b/m.test(text),
    constants,
    impossible: false,
  }
}

/** Without its tree anything may be; the words in it still are what requests are tried with. */
function unread(policy: PolicyMetadata, { text }: SourceFile, reach: Reach): PolicySource {
  const code = withoutComments(text)
  const effects = ALL.filter((effect) =>
    new RegExp(String.raw`^\s*(?:default\s+)?(?:${WORDS[effect]}|decision)\b`, 'm').test(code),
  )
  const words = [...code.matchAll(/"([^"\\\n]{1,64})"|\b(\d+(?:\.\d+)?)\b/g)].map(
    ([, word, number]) => word ?? Number(number),
  )
  return {
    policy,
    digest: digestOf(text),
    ...reach,
    answers: new Map(effects.map((effect) => [effect, OPAQUE])),
    speaks: OPAQUE,
    obliges: /^\s*obligations\b/m.test(code) ? OPAQUE : NEVER,
    mayOblige: /^\s*(?:obligations|decision)\b/m.test(code),
    constants: [...new Set<Scalar>(words)].slice(0, 64),
    impossible: false,
  }
}

const WORDS: Readonly<Record<Effect, string>> = { ALLOW: 'allow', REVIEW: 'review', DENY: 'deny' }

async function treesOf(
  files: readonly SourceFile[],
  toolchain: Pick<Toolchain, 'run'>,
): Promise<ReadonlyMap<SourceFile, unknown>> {
  const { code, stdout, stderr } = await toolchain.run(
    [
      'eval',
      '--format',
      'raw',
      '--stdin-input',
      '--strict-builtin-errors',
      '[module | some text in input.texts; module := rego.parse_module("policy.rego", text)]',
    ],
    { input: JSON.stringify({ texts: files.map(({ text }) => text) }) },
  )
  const list: unknown = code === 0 ? JSON.parse(stdout) : undefined
  if (!Array.isArray(list) || list.length !== files.length)
    throw new CordonError('POLICY_INVALID', `OPA cannot read the policies: ${stderr.slice(0, 500)}`)
  return new Map(files.map((file, at) => [file, (list as unknown[])[at]]))
}

function digestOf(...parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}:`).update(part)
  return hash.digest('hex')
}
