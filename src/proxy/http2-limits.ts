// How much a client of HTTP/2 may ask for at once; what floods is ended by GOAWAY or a close.
//
// nghttp2 bounds CONTINUATION, SETTINGS, PING and empty frames by itself; resets are bounded by a rate.

import type { ServerOptions } from 'node:http2'
import type { Http1Limits } from '../http1/message.ts'

const STREAMS = 100
const STREAM_WINDOW = 128 * 1024
/** MiB that one session may take in node:http2. */
const SESSION_MEMORY = 8

export const SESSION_WINDOW = 1024 * 1024

export function serverOptions(limits: Http1Limits): ServerOptions {
  return {
    settings: {
      enablePush: false,
      enableConnectProtocol: false,
      maxConcurrentStreams: STREAMS,
      initialWindowSize: STREAM_WINDOW,
      // Up to here a head that is too large is answered with 431; beyond, nghttp2 resets the stream.
      maxHeaderListSize: 2 * limits.headerBytes,
    },
    maxHeaderListPairs: 2 * limits.headers,
    maxSessionMemory: SESSION_MEMORY,
    maxSettings: 32,
    maxOutstandingPings: 4,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 50,
    streamResetBurst: 200,
    streamResetRate: 20,
    strictSingleValueFields: false,
  }
}
