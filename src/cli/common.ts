// What every command of the command line takes, and how one is run.

import type { Command } from 'commander'
import type { ExitCode } from './io.ts'

export interface Common {
  readonly config?: string
  readonly json?: boolean
}

/** What commander calls: runs an action and keeps its exit code. */
export type Run = (action: () => Promise<ExitCode>) => () => Promise<void>

export function common(command: Command, description: string): Command {
  return command
    .description(description)
    .option('--config <file>', 'default ./cordon.yaml where there is one')
    .option('--json', 'JSON instead of a table')
    .exitOverride()
}

/** An option that may be given several times. */
export function collect(value: string, all: readonly string[]): string[] {
  return [...all, value]
}

/** What the help of a command ends with: lines as one types them, behind `cordon `. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ cordon ${line}`).join('\n')}`
}
