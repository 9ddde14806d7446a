// Times mean the same wherever they are read.

import t from 'tap'
import { readTime } from '../../src/base/rfc3339.ts'

t.test('a time has its zone, a day is one of UTC', async (t) => {
  for (const [text, time] of [
    ['2026-11-24T12:30:00Z', Date.UTC(2026, 10, 24, 12, 30)],
    ['2026-11-24T12:30Z', Date.UTC(2026, 10, 24, 12, 30)],
    ['2026-11-24T12:30:00.250Z', Date.UTC(2026, 10, 24, 12, 30, 0, 250)],
    ['2026-11-24T12:30:00+01:00', Date.UTC(2026, 10, 24, 11, 30)],
    ['2026-11-24', Date.UTC(2026, 10, 24)],
    ['2026-11-24T12:30:00', undefined],
    ['2026-13-01T00:00:00Z', undefined],
    ['2026-11-24T25:00:00Z', undefined],
    ['24 Nov 2026', undefined],
    ['1763985600000', undefined],
    ['', undefined],
  ] as const)
    t.equal(readTime(text), time, text)
})
