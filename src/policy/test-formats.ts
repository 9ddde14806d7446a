// Results of policy tests in the forms that others read: TAP 14 and JUnit's XML.

import type { TestResult } from './test-runner.ts'

export const TEST_FORMATS = ['text', 'tap', 'junit', 'json'] as const
export type TestFormat = (typeof TEST_FORMATS)[number]

/** Test Anything Protocol, version 14. */
export function tapOf(results: readonly TestResult[]): string {
  const lines = ['TAP version 14', `1..${results.length}`]
  for (const [index, { file, line, name, outcome, detail }] of results.entries()) {
    const title = `${index + 1} - ${oneLine(`${file}:${line}: ${name}`).replaceAll(/[\\#]/g, '\\$&')}`
    if (outcome === 'fail') {
      // JSON is YAML, and keeps to one line.
      const diagnostic = [
        `message: ${JSON.stringify(detail ?? '')}`,
        `at: ${JSON.stringify({ file, line })}`,
      ]
      lines.push(`not ok ${title}`, '  ---', ...diagnostic.map((each) => `  ${each}`), '  ...')
    } else if (outcome === 'pass') lines.push(`ok ${title}`)
    else lines.push(`ok ${title} # SKIP ${oneLine(detail ?? '')}`)
  }
  return `${lines.join('\n')}\n`
}

/** JUnit's XML, as build servers read it: a suite a file. */
export function junitOf(results: readonly TestResult[]): string {
  const suites = Map.groupBy(results, ({ file }) => file)
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="cordon policy test" ${countsOf(results)}>`,
  ]
  for (const [file, tests] of suites) {
    lines.push(`  <testsuite name="${xml(file)}" ${countsOf(tests)}>`)
    for (const { name, line, outcome, detail = '', seconds } of tests) {
      const time = seconds === undefined ? '' : ` time="${seconds}"`
      const open = `    <testcase classname="${xml(file)}" name="${xml(name)}" file="${xml(file)}" line="${line}"${time}`
      if (outcome === 'pass') lines.push(`${open}/>`)
      else {
        const tag = outcome === 'fail' ? 'failure' : 'skipped'
        lines.push(`${open}>`, `      <${tag} message="${xml(detail)}"/>`, '    </testcase>')
      }
    }
    lines.push('  </testsuite>')
  }
  return `${[...lines, '</testsuites>'].join('\n')}\n`
}

function countsOf(results: readonly TestResult[]): string {
  const count = (...outcomes: readonly TestResult['outcome'][]): number =>
    results.filter(({ outcome }) => outcomes.includes(outcome)).length
  return `tests="${results.length}" failures="${count('fail')}" errors="0" skipped="${count('skip', 'unlisted')}"`
}

export function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim()
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
  '\t': '&#9;',
}

/** XML 1.0 has no place for most control characters, not even escaped (section 2.2). */
function xml(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[^\t\n\u{20}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '\u{fffd}')
    .replaceAll(/[&<>"\n\t]/g, (character) => ENTITIES[character] ?? character)
}
