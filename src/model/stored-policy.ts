// Policies of the database: files with a life of their own (docs/decisions/0009-policy-life.md).

/** A file as the active policies of the store have it; `path` is relative, with `/`, as below a policy folder. */
export interface StoredFile {
  readonly path: string
  readonly text: string
}
