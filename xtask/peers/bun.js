// Version 1 of the protocol on Bun's native publish: topics of uWebSockets, without compression.
const id = counter()

const server = Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.env.PORT),
  fetch(request, server) {
    if (!server.upgrade(request)) return new Response('', { status: 426 })
  },
  websocket: {
    perMessageDeflate: false,
    sendPings: false,
    publishToSelf: true,
    open(socket) {
      socket.send(`{"t":"welcome","id":"${id()}"}`)
    },
    message(socket, text) {
      const { t, c, e, d } = JSON.parse(text)
      if (t === 'sub') {
        socket.subscribe(c)
        socket.send(JSON.stringify({ t: 'ok', c }))
      } else if (t === 'pub') {
        server.publish(c, JSON.stringify({ t: 'msg', c, e, d, i: id() }))
      }
    },
  },
})

function counter() {
  let count = 0
  return () => String(++count).padStart(26, '0')
}
