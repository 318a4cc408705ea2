// The deployed resource proxy, of the generation that the first argument says. Strict as that: a message or request has the
// fields of its type in that generation, each of its kind, and no others (common.js); else it is refused, and a problem. `node proxy.js 1|2 [bare]` with PROXY_SECRET and PORT (0: any) prints the port. With `bare` it answers as the newest one does.
//
// Its faults: whatever closes a socket that named a resource takes that name out of the table, also where another socket
// serves it; a message that it does not know makes it hang up without a code; an error of a socket (text that is not
// UTF-8, a frame without a mask) ends the whole program.
const http = require('http')
const {WebSocketServer} = require('ws')
const {validators, problem} = require('./common')

const generation = Number(process.argv[2])
const isBare = process.argv[3] === 'bare'
const secret = process.env.PROXY_SECRET
const valid = validators(generation)
const resources = {} // name: {ws, zone}
const waiting = {}   // requestId: function
const maxBody = 102400

const html = (res, status, text) => {
  res.writeHead(status, {'Content-Type': 'text/html; charset=utf-8'})
  res.end(`<!DOCTYPE html>\n<html lang="en">\n<body>\n<pre>${text}</pre>\n</body>\n</html>\n`)
}
const json = (res, status, value) => {
  res.writeHead(status, {'Content-Type': 'application/json; charset=utf-8'})
  res.end(JSON.stringify(value))
}
const refuse = (res, status, message) => json(res, status, {message})

function handle(res, nameInUrl, text) {
  let body
  try { body = JSON.parse(text) } catch { return html(res, 400, 'SyntaxError') }
  if (!valid.request(body)) {
    problem('invalid request', body)
    return refuse(res, 400, 'invalid request')
  }
  const name = body.resourceName
  if (nameInUrl !== undefined && name !== nameInUrl)
    return refuse(res, 500, `Resource name mismatch: ${name} <> ${nameInUrl}`)
  const resource = resources[name]
  if (!resource) return refuse(res, 404, `resource not found: ${name}`)
  if (generation === 2 && body.zone !== resource.zone)
    return refuse(res, 500, `Zone mismatch: ${body.zone} <> ${resource.zone}`)
  if (body.requestId) return refuse(res, 400, 'requestId field not allowed')
  const requestId = Math.random().toString(36).slice(2)
  const timer = setTimeout(() => {
    delete waiting[requestId]
    refuse(res, 504, 'timeout waiting for response')
  }, body.timeoutMsec)
  waiting[requestId] = message => {
    clearTimeout(timer)
    delete waiting[requestId]
    json(res, 200, isBare ? message.response : message)
  }
  resource.ws.send(JSON.stringify({...body, requestId}))
  if (generation === 1) resource.ws.send(JSON.stringify({type: 'cancelRequestFromClient', requestId}))
}

const server = http.createServer((req, res) => {
  if (req.method === 'GET' && req.url === '/probe') return res.end('running.')
  const match = generation === 2 ? req.url.match(/^\/r\/([^/?]+)$/) : req.url === '/api' && []
  if (req.method !== 'POST' || !match) return html(res, 404, `Cannot ${req.method} ${req.url}`)
  if (!/^application\/json\b/.test(req.headers['content-type'] || '')) return refuse(res, 400, 'no JSON')
  const parts = []
  let size = 0
  req.on('data', part => { size += part.length; if (size <= maxBody) parts.push(part) })
  req.on('end', () => {
    if (size > maxBody) html(res, 413, 'PayloadTooLargeError: request entity too large')
    else handle(res, match[1], Buffer.concat(parts).toString())
  })
})

new WebSocketServer({server, perMessageDeflate: true}).on('connection', ws => {
  let name
  let isServing = false
  // No listener for 'error': one error is everybody's.
  ws.on('close', () => { if (name !== undefined) delete resources[name] })
  ws.on('message', data => {
    const message = JSON.parse(data.toString())
    if (valid.initialize(message) && !isServing) {
      console.log(`initialize ${message.resourceName}`)
      name = message.resourceName
      if (message.proxySecret !== secret || resources[name]) return ws.close()
      resources[name] = {ws, zone: message.zone}
      isServing = true
      ws.send(JSON.stringify({type: 'acknowledge'}))
    } else if (isServing && valid.response(message)) {
      if (waiting[message.requestId]) waiting[message.requestId](message)
    } else if (!(isServing && valid.ping(message))) {
      if (message.type !== 'initialize') problem('the proxy does not know', message)
      ws.close()
    }
  })
})

server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listening ' + server.address().port))
