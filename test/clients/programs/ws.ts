// The ws package over Node's agent that reads the environment.

import { Agent } from 'node:https'
import { env } from 'node:process'
import { WebSocket } from 'ws'
import { doJobs, type Said } from './jobs.ts'

const agent = new Agent({ proxyEnv: env })

await doJobs(
  ({ url, body }, told) =>
    new Promise<Said>((resolve, reject) => {
      const socket = new WebSocket(url, { agent, headers: { authorization: 'Bearer a-key' } })
      let text = ''
      socket.on('open', () => socket.send(body))
      socket.on('message', (data: Buffer) => {
        const frame = JSON.parse(data.toString('utf8')) as { type: string; delta?: string }
        text += frame.delta ?? ''
        told()
        if (frame.type !== 'response.done') return
        socket.removeAllListeners('close')
        socket.on('close', () => resolve({ text, http: '' }))
        socket.close(1000)
      })
      socket.on('unexpected-response', (_request, answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            body: Buffer.concat(parts).toString('utf8'),
          }),
        )
      })
      socket.on('close', (code, reason) =>
        reject(new Error(`closed with ${code} ${reason.toString('utf8')}`)),
      )
      socket.on('error', reject)
    }),
)
