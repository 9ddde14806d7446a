import type { OwnRisk } from '../model/risk.ts'

/** What the violations of somebody of the directory come to has changed. */
export interface MovedRisk {
  readonly tenant: string
  readonly user_id: string
  readonly own: OwnRisk
}

/** The shared tier between memory and database. */
export interface SharedCache {
  get(key: string): Promise<string | null>
  set(key: string, value: string, ttlMs: number): Promise<void>
  /** Calls back when any process has invalidated everything. */
  onInvalidate(listener: () => void): void
  invalidate(): Promise<void>
  /** Calls back with the own risks that any process has told, this one too. */
  onRisk(listener: (moved: readonly MovedRisk[]) => void): void
  /** Rejects while there is nobody to tell; what is cached runs out by itself. */
  tellRisk(moved: readonly MovedRisk[]): Promise<void>
  close(): Promise<void>
}
