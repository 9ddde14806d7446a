// `cordon policy test` with its help; what it does stands in policy-test.ts.

import { type Command, Option } from 'commander'
import { TEST_FORMATS } from '../policy/test-formats.ts'
import { common, type Run } from './common.ts'
import type { Io } from './io.ts'
import type { PolicyTestOptions } from './policy-test.ts'

const EXAMPLES = `
Examples:
  $ cordon policy test                                         the folders of policy.dirs
  $ cordon policy test policies --run contractor               by name
  $ cordon policy test policies --coverage --threshold 80      a gate: 1 where it is lower
  $ cordon policy test policies --fail-unlisted --format junit > policies.xml`

export function testCommand(policy: Command, io: Io, run: Run): void {
  common(policy.command('test'), 'run *_test.rego and *.test.yaml')
    .argument('[dir...]', 'policy folders (default: policy.dirs)')
    .addOption(
      new Option('--format <form>', 'of the results').choices(TEST_FORMATS).default('text'),
    )
    .option('--run <pattern>', 'only tests whose name matches (RE2)')
    .option('--verbose', 'tell what passed, too')
    .option('--coverage', 'tell what of the policies the tests have seen')
    .option('--threshold <percent>', 'fail where the tests cover less')
    .option('--fail-unlisted', 'fail where no row of a table speaks of a combination')
    .option('--fail-on-empty', 'fail where there are no tests')
    .addHelpText('after', EXAMPLES)
    .action((dirs: string[], options: PolicyTestOptions) =>
      run(async () => (await import('./policy-test.ts')).policyTest(io, dirs, options))(),
    )
}
