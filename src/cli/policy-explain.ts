// `cordon policy explain`: reads what eval reads, and says of each document why its decision comes out as it does.

import { compileOptions, readCatalogue } from '../app/rules.ts'
import { stringifyExact } from '../base/exact-json.ts'
import type { AiService } from '../model/service.ts'
import type { Combining } from '../policy/combine.ts'
import { readLine } from '../policy/eval-lines.ts'
import { inWords } from '../policy/explain-words.ts'
import { explain } from '../policy/explain.ts'
import { readFolder } from '../policy/folder.ts'
import { failedExpressions } from '../policy/rego/trace.ts'
import { alternativeFor } from '../signatures/alternative.ts'
import { configOf, type ExitCode, type Io } from './io.ts'
import { eachLine } from './lines.ts'
import { foldersOf, loadFrom } from './policy.ts'

export interface ExplainGiven {
  readonly config?: string
  readonly json?: boolean
  readonly policies: readonly string[]
  readonly combining?: Combining
  readonly policy: readonly string[]
  readonly trace: boolean
}

export async function policyExplain(io: Io, options: ExplainGiven): Promise<ExitCode> {
  const { config } = configOf(io, options)
  const dirs = foldersOf(io, options.policies, config)
  const folders = dirs.map(readFolder)
  const policies = await loadFrom(io, config, dirs, options.combining ?? config.policy.combining)
  const { toolchain } = compileOptions(io.env, false)
  const only = options.policy.length === 0 ? undefined : new Set(options.policy)
  let services: readonly AiService[] | undefined
  let isFirst = true
  await eachLine(io, async (line) => {
    const read = readLine(line)
    const gap = isFirst || options.json === true ? '' : '---\n'
    isFirst = false
    if (typeof read === 'string')
      return options.json === true ? JSON.stringify({ error: read }) : `${gap}error: ${read}`
    const { document, json } = read
    services ??= readCatalogue(config, io.env).services
    const instead = alternativeFor(document, services)
    const explanation = await explain(policies, document, {
      ...(json === undefined ? {} : { json }),
      ...(only === undefined ? {} : { only }),
      ...(instead === undefined ? {} : { alternative: instead.name }),
      pseudonymous: config.ledger.pseudonymous,
      masked: config.ledger.url_paths ? [] : ['resource.path'],
      ...(options.trace
        ? {
            trace: (silent, input) => failedExpressions(folders, toolchain, silent, input),
          }
        : {}),
    })
    return options.json === true
      ? stringifyExact(explanation)
      : `${gap}${inWords(explanation).trimEnd()}`
  })
  return 0
}
