// Version 1 of the protocol on ws: a set of sockets per channel, each event made into bytes once, no compression.
import { WebSocketServer } from 'ws'

const id = counter()
const channels = new Map()

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(process.env.PORT),
  backlog: 4096,
  path: '/_broadcast',
  perMessageDeflate: false,
  skipUTF8Validation: true,
  clientTracking: false,
})

server.on('connection', (socket) => {
  const joined = new Set()
  socket.send(`{"t":"welcome","id":"${id()}"}`)
  socket.on('message', (text) => {
    const { t, c, e, d } = JSON.parse(text)
    if (t === 'sub') {
      if (!channels.has(c)) channels.set(c, new Set())
      channels.get(c).add(socket)
      joined.add(c)
      socket.send(JSON.stringify({ t: 'ok', c }))
    } else if (t === 'pub') {
      const frame = Buffer.from(JSON.stringify({ t: 'msg', c, e, d, i: id() }))
      for (const subscriber of channels.get(c) ?? []) subscriber.send(frame, { binary: false })
    }
  })
  socket.on('close', () => {
    for (const channel of joined) channels.get(channel)?.delete(socket)
  })
  socket.on('error', () => {})
})

function counter() {
  let count = 0
  return () => String(++count).padStart(26, '0')
}
