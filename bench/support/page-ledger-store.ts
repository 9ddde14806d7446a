// The recorder on the page of the benches: decisions a second into the store, and who pays for them.

import { type Measured, range, summary, table, verdict } from './tables.ts'

const AIM_DECISIONS_S = 20_000

export function ledgerStoreAims(rows: readonly Measured[]): string[][] {
  const ours = rows.filter(
    (row) =>
      row['contender'] === 'recorder' &&
      row['scenario'] === 'decisions' &&
      row['database'] === 'TimescaleDB',
  )
  if (ours.length === 0) return []
  const { median } = summary(ours, 'decisions_s')
  return [
    [
      `recorder into TimescaleDB, two cores for all: decisions/s >= ${AIM_DECISIONS_S}`,
      `${median}`,
      verdict(median >= AIM_DECISIONS_S),
    ],
  ]
}

export function ledgerStoreTables(rows: readonly Measured[]): string[] {
  const places = [...new Set(rows.map((row) => `${row['database']}, ${row['scenario']}`))]
  return [
    'Segments of two writers into the store, server and recorder on the same cores, `fsync` on; CPU microseconds a decision: "driver" is',
    'the process of the recorder (or of the peer), "server" PostgreSQL. The recorder checks, hashes, proves and counts; COPY and',
    'kysely\'s values() write the rows of decisions alone. "x": all CPU, the recorder to the peer.',
    '',
    table(
      ['', 'decisions/s', 'driver us', 'server us', 'driver share', 'x'],
      places.flatMap((place) => placeRows(place, rows)),
    ),
  ]
}

/** Whether memory stays flat: the first minute warms up. */
export function ledgerMinutesTables(rows: readonly Measured[]): string[] {
  const thirds = [0, 1, 2].map((third) =>
    rows.filter((_, at) => Math.floor((at * 3) / rows.length) === third),
  )
  return [
    'Two processes write decisions and their outcomes as fast as is left on the same two cores, while the recorder ships, proves, archives and prunes.',
    'Memory is that of the whole process of the recorder, every ten seconds.',
    '',
    table(
      ['seconds', 'decisions/s', 'recorder us', 'server us', 'memory MiB'],
      thirds.map((third) => {
        const cell = (field: string): string => range(summary(third, field))
        return [
          `to ${third.at(-1)?.['second']}`,
          cell('decisions_s'),
          cell('driver_us'),
          cell('server_us'),
          cell('rss_mib'),
        ]
      }),
    ),
  ]
}

function placeRows(place: string, rows: readonly Measured[]): string[][] {
  const ofPlace = rows.filter((row) => `${row['database']}, ${row['scenario']}` === place)
  const allUs = (name: string): number => {
    const of = ofPlace.filter((row) => row['contender'] === name)
    return summary(of, 'driver_us').median + summary(of, 'server_us').median
  }
  return [...new Set(ofPlace.map((row) => String(row['contender'])))].map((name) => {
    const of = ofPlace.filter((row) => row['contender'] === name)
    const cell = (field: string): string => range(summary(of, field))
    const share = summary(of, 'driver_us').median / allUs(name)
    return [
      `${place}: ${name}`,
      cell('decisions_s'),
      cell('driver_us'),
      cell('server_us'),
      `${Math.round(share * 100)} %`,
      name === 'recorder' ? '' : (allUs('recorder') / allUs(name)).toFixed(2),
    ]
  })
}
