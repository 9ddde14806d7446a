import t from 'tap'
import { junitOf, tapOf } from '../../src/policy/test-formats.ts'
import type { TestResult } from '../../src/policy/test-runner.ts'

const RESULTS: readonly TestResult[] = [
  { file: 'a.test.yaml', line: 4, name: 'holds', outcome: 'pass', seconds: 0.0021 },
  {
    file: 'a.test.yaml',
    line: 9,
    name: 'a <b> & "c" # not a comment\nnor a line',
    outcome: 'fail',
    detail: 'decision is "DENY",\nexpected "ALLOW" ]]> \u0001',
  },
  { file: 'b_test.rego', line: 2, name: 'acme.todo_x', outcome: 'skip', detail: 'marked as todo' },
  { file: 'c.test.yaml', line: 3, name: 'prompts: maya', outcome: 'unlisted', detail: 'no row' },
]

t.test('TAP 14: what failed has its reason, what was not run says so', async (t) => {
  t.equal(
    tapOf(RESULTS),
    `TAP version 14
1..4
ok 1 - a.test.yaml:4: holds
not ok 2 - a.test.yaml:9: a <b> & "c" \\# not a comment nor a line
  ---
  message: "decision is \\"DENY\\",\\nexpected \\"ALLOW\\" ]]> \\u0001"
  at: {"file":"a.test.yaml","line":9}
  ...
ok 3 - b_test.rego:2: acme.todo_x # SKIP marked as todo
ok 4 - c.test.yaml:3: prompts: maya # SKIP no row
`,
  )
})

t.test('JUnit: a suite a file, and no character that XML has no place for', async (t) => {
  t.equal(
    junitOf(RESULTS),
    `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="cordon policy test" tests="4" failures="1" errors="0" skipped="2">
  <testsuite name="a.test.yaml" tests="2" failures="1" errors="0" skipped="0">
    <testcase classname="a.test.yaml" name="holds" file="a.test.yaml" line="4" time="0.0021"/>
    <testcase classname="a.test.yaml" name="a &lt;b&gt; &amp; &quot;c&quot; # not a comment&#10;nor a line" file="a.test.yaml" line="9">
      <failure message="decision is &quot;DENY&quot;,&#10;expected &quot;ALLOW&quot; ]]&gt; \ufffd"/>
    </testcase>
  </testsuite>
  <testsuite name="b_test.rego" tests="1" failures="0" errors="0" skipped="1">
    <testcase classname="b_test.rego" name="acme.todo_x" file="b_test.rego" line="2">
      <skipped message="marked as todo"/>
    </testcase>
  </testsuite>
  <testsuite name="c.test.yaml" tests="1" failures="0" errors="0" skipped="1">
    <testcase classname="c.test.yaml" name="prompts: maya" file="c.test.yaml" line="3">
      <skipped message="no row"/>
    </testcase>
  </testsuite>
</testsuites>
`,
  )
})
