import t from 'tap'
import { formatProblem } from '../../src/base/errors.ts'
import { IdSource } from '../../src/base/ids.ts'
import { didYouMean, nearest } from '../../src/base/nearest.ts'
import { parseDuration, parseSize } from '../../src/base/size.ts'

t.test('ids are UUIDv7 of the moment, unique and in order', async (t) => {
  const moment = 1_789_471_126_712
  const ids = new IdSource(() => moment)
  const made = Array.from({ length: 10_000 }, () => ids.next())
  t.equal(new Set(made).size, made.length)
  t.same(made.toSorted(), made, 'each is greater than the one before')
  for (const id of [made[0] ?? '', made.at(-1) ?? '']) {
    t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  }
  t.equal(Number.parseInt((made[0] ?? '').replaceAll('-', '').slice(0, 12), 16), moment)
})

t.test('ids stay in order when the clock is set back', async (t) => {
  let moment = 2000
  const ids = new IdSource(() => moment)
  const before = ids.next()
  moment = 1000
  t.ok(ids.next() > before)
})

t.test('sizes and durations need a unit', async (t) => {
  t.equal(parseSize('32KiB'), 32_768)
  t.equal(parseSize('10 MB'), 10_000_000)
  t.equal(parseDuration('10m'), 600_000)
  t.equal(parseDuration('1.5s'), 1500)
  for (const wrong of ['32', '', 'KiB', '-1KiB', '1kb', '9999999999999GiB', '1e3KiB']) {
    t.equal(parseSize(wrong), undefined, wrong)
  }
  for (const wrong of ['10', '5 minutes', '1M', '-1s'])
    t.equal(parseDuration(wrong), undefined, wrong)
})

t.test('the nearest known name is offered, and nothing far away', async (t) => {
  t.equal(nearest('lisen', ['listen', 'clients']), 'listen')
  t.equal(nearest('mdoe', ['mode', 'node']), 'mode')
  t.equal(nearest('frobnicate', ['mode', 'listen']), undefined)
  t.equal(didYouMean('workrs', ['workers']), ' (did you mean "workers"?)')
})

t.test('a problem prints its place as far as it is known', async (t) => {
  t.equal(formatProblem({ file: 'a.yaml', line: 3, column: 5, message: 'no' }), 'a.yaml:3:5: no')
  t.equal(formatProblem({ file: 'CORDON_X', message: 'no' }), 'CORDON_X: no')
})
