import t from 'tap'
import { Quarantine } from '../../src/policy/quarantine.ts'

const HOUR = 3_600_000

function open(): { readonly quarantine: Quarantine; readonly told: string[]; now: number } {
  const state = { now: 1_000, told: [] as string[] }
  const quarantine = new Quarantine(['good', 'slow'], () => state.now)
  quarantine.onChange = (policy, held) =>
    state.told.push(held === undefined ? `${policy} again` : `${policy}: ${held.reason}`)
  return Object.assign(state, { quarantine })
}

function run(quarantine: Quarantine, times: number): void {
  for (let time = 0; time < times; time++) quarantine.ran(1)
}

function exceed(quarantine: Quarantine): void {
  quarantine.ran(1)
  quarantine.strike(1, 'a limit')
}

t.test('three of the last hundred are enough, two are not', async (t) => {
  const { quarantine, told } = open()
  exceed(quarantine)
  run(quarantine, 49)
  exceed(quarantine)
  t.equal(quarantine.problemOf(1), undefined)
  run(quarantine, 48)
  exceed(quarantine)
  t.match(quarantine.problemOf(1), /^quarantined until 1970-01-01T01:00:01.000Z: it exceeded/)
  t.equal(quarantine.problemOf(0), undefined, 'the others are asked')
  t.match(told, [/^slow: it exceeded its time budget 3 times in 100 evaluations/])
})

t.test('three of a hundred and one are not', async (t) => {
  const { quarantine, told } = open()
  exceed(quarantine)
  run(quarantine, 98)
  exceed(quarantine)
  exceed(quarantine)
  t.equal(quarantine.problemOf(1), undefined)
  t.same(told, [])
  exceed(quarantine)
  t.type(quarantine.problemOf(1), 'string', 'but the first one is forgotten, and the third comes')
})

t.test('what is quick, or errs for another reason, is no strike', async (t) => {
  const { quarantine } = open()
  run(quarantine, 500)
  t.equal(quarantine.problemOf(1), undefined)
})

t.test('after an hour it is asked again, and begins anew', async (t) => {
  const state = open()
  const { quarantine, told } = state
  for (let time = 0; time < 3; time++) exceed(quarantine)
  state.now += HOUR - 1
  t.type(quarantine.problemOf(1), 'string')
  state.now += 1
  t.equal(quarantine.problemOf(1), undefined)
  t.equal(told.at(-1), 'slow again')
  exceed(quarantine)
  exceed(quarantine)
  t.equal(quarantine.problemOf(1), undefined, 'former strikes do not count')
})
