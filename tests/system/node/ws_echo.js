// The other end of ws_echo in Node.js. `node ws_echo.js server` prints a free port, sends a client
// messages of many kinds, checks the echoes and closes with code 4321;
// `node ws_echo.js client URL` does the same to a server, closes with 3456 and prints "ok".
const assert = require('assert')
const {WebSocket, WebSocketServer} = require('ws')

const maxPayload = 32 * 1024 * 1024

function serve() {
  const server = new WebSocketServer({host: '127.0.0.1', port: 0, maxPayload})
  server.on('listening', () => console.log('listening ' + server.address().port))
  server.on('connection', socket => {
    const sizes = [0, 1, 125, 126, 65535, 65536, 1048576, 16777216]
    const sent = sizes.map((size, i) => ({data: Buffer.alloc(size, 'abc'), binary: i % 2 === 0}))
    let next = 0
    let pongs = 0
    const send = () => {
      if (next === sent.length) return socket.close(4321, 'enough')
      socket.ping('p' + next)
      const {data, binary} = sent[next]
      const half = data.length >> 1
      socket.send(data.subarray(0, half), {binary, fin: false})
      socket.ping('inside')
      socket.send(data.subarray(half), {binary, fin: true})
    }
    socket.on('pong', () => { pongs++ })
    socket.on('message', (data, isBinary) => {
      assert(data.equals(sent[next].data) && isBinary === sent[next].binary)
      next++
      send()
    })
    socket.on('close', code => {
      console.log(`closed ${code} after ${next} messages and ${pongs} pongs`)
      server.close()
    })
    send()
  })
}

async function ask(url) {
  const socket = new WebSocket(url, {maxPayload})
  const got = []
  let wake = () => {}
  socket.on('message', (data, isBinary) => { got.push({data, isBinary}); wake() })
  await new Promise((resolve, reject) => { socket.on('open', resolve); socket.on('error', reject) })
  assert.strictEqual(socket.extensions, '')
  for (const size of [0, 1, 125, 126, 127, 65535, 65536, 1048576, 16777216]) {
    for (const binary of [true, false]) {
      const data = Buffer.alloc(size, 'xyz\u00e4')
      socket.send(binary ? data : data.toString(), {binary})
      while (got.length === 0) await new Promise(resolve => { wake = resolve })
      const back = got.shift()
      assert.strictEqual(back.isBinary, binary)
      assert(back.data.equals(binary ? data : Buffer.from(data.toString())))
    }
  }
  const pong = new Promise(resolve => socket.on('pong', resolve))
  socket.ping('hello')
  assert.strictEqual((await pong).toString(), 'hello')
  const closed = new Promise(resolve => socket.on('close', resolve))
  socket.close(3456, 'bye')
  assert.strictEqual(await closed, 3456)
  console.log('ok')
}

if (process.argv[2] === 'server') serve()
else ask(process.argv[3]).catch(error => { console.error(error); process.exit(1) })
