// COPY ... FROM STDIN over pg: the fastest way that PostgreSQL has to take rows, as a peer.

import type { Client } from 'pg'

interface CopyConnection {
  query(text: string): void
  sendCopyFromChunk(bytes: Buffer): void
  endCopyFrom(): void
}

/** Resolves when the server has taken them. */
export function copyIn(client: Client, statement: string, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    // What pg calls a submittable: it is told of the messages that answer its query.
    const copy = {
      submit: (connection: CopyConnection) => connection.query(statement),
      handleCopyInResponse: (connection: CopyConnection) => {
        connection.sendCopyFromChunk(bytes)
        connection.endCopyFrom()
      },
      handleCommandComplete: () => undefined,
      handleReadyForQuery: () => resolve(),
      handleError: (error: Error) => reject(error),
    }
    client.query(copy as never)
  })
}

/** Rows in COPY's text format: a line each, columns separated by tabs, \N where there is nothing. */
export function copyText(rows: readonly (readonly (string | undefined)[])[]): Buffer {
  return Buffer.from(
    rows
      .map(
        (row) =>
          `${row.map((value) => (value === undefined ? '\\N' : escaped(value))).join('\t')}\n`,
      )
      .join(''),
  )
}

function escaped(value: string): string {
  return value
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t')
}
