// A directory over a source that counts its look-ups and can be away.

import { Directory, type DirectorySource } from '../../src/context/directory.ts'
import type { SharedCache } from '../../src/context/shared-cache.ts'
import type { Principal } from '../../src/model/request.ts'
import type { Asset, Subject } from '../../src/model/subject.ts'

export class CountedSource implements DirectorySource {
  looks = 0
  isAway = false
  /** Job titles by name; they tell old answers from new ones. */
  readonly people = new Map<string, string>()
  readonly devices = new Map<string, boolean>()
  /** Awaited before an answer goes out, after it was read. */
  gate: Promise<void> | undefined

  async find({ login }: Principal): Promise<Subject | undefined> {
    this.looks += 1
    if (this.isAway) throw new Error('away')
    const title = this.people.get(login ?? '')
    await this.gate
    return title === undefined || login === undefined ? undefined : subjectOf(login, title)
  }

  async asset(hostname: string): Promise<Asset | undefined> {
    this.looks += 1
    if (this.isAway) throw new Error('away')
    const isJewel = this.devices.get(hostname)
    await this.gate
    if (isJewel === undefined) return undefined
    return {
      id: hostname,
      data_classification: ['pii'],
      document: { hostname, crown_jewel: isJewel },
    }
  }
}

export class CacheCounts {
  readonly counts = new Map<string, number>()

  readonly contextCache = {
    inc: ({ tier, outcome }: { tier: string; outcome: string }): void => {
      const key = `${tier} ${outcome}`
      this.counts.set(key, this.of(key) + 1)
    },
  }

  of(key: string): number {
    return this.counts.get(key) ?? 0
  }
}

export interface TestDirectory {
  readonly directory: Directory
  readonly source: CountedSource
  readonly metrics: CacheCounts
  readonly title: (login: string) => Promise<string | undefined>
}

export function directoryOver(shared?: SharedCache): TestDirectory {
  const source = new CountedSource()
  const metrics = new CacheCounts()
  const directory = new Directory({
    source,
    metrics,
    tenant: 'default',
    ...(shared === undefined ? {} : { shared }),
  })
  return {
    directory,
    source,
    metrics,
    title: async (login) => (await directory.find({ login })).user.job_title,
  }
}

function subjectOf(login: string, title: string): Subject {
  return {
    user: { id: `id-${login}`, name: login, known: true, job_title: title, groups: ['g'] },
    person: `id-${login}`,
    allowed_services: new Set(['chatgpt']),
    prohibited_services: new Set(['claude']),
    units: new Set(['Engineering']),
  }
}
