/** The shared tier between memory and database. */
export interface SharedCache {
  get(key: string): Promise<string | null>
  set(key: string, value: string, ttlMs: number): Promise<void>
  /** Calls back when any process has invalidated everything. */
  onInvalidate(listener: () => void): void
  invalidate(): Promise<void>
  close(): Promise<void>
}
