// Socket.IO: rooms, WebSocket only, no compression, and without the first request of each socket in memory.
import { createServer } from 'node:http'
import { Server } from 'socket.io'

const http = createServer()
const io = new Server(http, {
  transports: ['websocket'],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
})
io.engine.on('connection', (connection) => {
  connection.request = null
})

io.on('connection', (socket) => {
  socket.on('sub', (channel) => {
    socket.join(channel)
    socket.emit('ok', channel)
  })
  socket.on('pub', (channel, data) => io.to(channel).emit('msg', channel, data))
})

http.listen({ host: '127.0.0.1', port: Number(process.env.PORT), backlog: 4096 })
