// The deployed daemon, of the generation that its configuration says. Strict as that: a message of the proxy has the fields
// of its type in that generation, each of its kind, and no others (common.js); else it is a problem. `node daemon.js CONFIG` where CONFIG is JSON text: {generation, resourceName, zone, proxyUrl, proxySecret,
// gatewayUrl, files: {hash: path}, and what a test wants else}.
//
// Its fault: a cancelRequestFromClient cancels its oldest job, whichever request it names. (With `ignoresCancel` not:
// what becomes of a deployed daemon at a deployed proxy, which sends that all the time, is not ours to say.)
const crypto = require('crypto')
const fs = require('fs')
const {WebSocket} = require('ws')
const {validators, problem} = require('./common')

const config = JSON.parse(process.argv[2])
const valid = validators(config.generation)
const jobs = new Map() // hash: {status, ended}
const keys = crypto.generateKeyPairSync('ed25519')
const clientId = Buffer.from(keys.publicKey.export({format: 'jwk'}).x, 'base64url').toString('hex')

const canonical = value => JSON.stringify(value, Object.keys(value).sort())

async function call(payload) {
  payload = {...payload, zone: config.zone || 'default', timestamp: Date.now()}
  const digest = crypto.createHash('sha1').update(canonical(payload)).digest()
  const signature = crypto.sign(null, digest, keys.privateKey).toString('hex')
  const answer = await fetch(config.gatewayUrl + '/api/gateway', {
    method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({payload, fromClientId: clientId, signature})
  })
  if (answer.status !== 200) throw Error(await answer.text())
  return await answer.json()
}

async function upload(hash, job) {
  const data = fs.readFileSync(config.files[hash])
  const file = {hashAlg: 'sha1', hash, size: data.length}
  Object.assign(job.status, {status: 'running', bytesUploaded: 0, timestampStarted: Date.now()})
  await new Promise(resolve => setTimeout(resolve, config.uploadAfterMsec || 0))
  if (job.isCancelled) throw Error('cancelled')
  const begun = await call({type: 'initiateFileUpload', ...file})
  if (!begun.alreadyExists) {
    const put = await fetch(begun.signedUploadUrl, {method: 'PUT', body: data})
    if (put.status !== 200) throw Error('upload failed')
    await call({type: 'finalizeFileUpload', objectKey: begun.objectKey, ...file})
  }
  Object.assign(job.status, {status: 'completed', bytesUploaded: data.length, timestampCompleted: Date.now()})
}

function start(hash) {
  const status = {status: 'queued', size: fs.statSync(config.files[hash]).size, bytesUploaded: 0, timestampRequested: Date.now()}
  const job = {status}
  job.ended = upload(hash, job).catch(error => {
    jobs.delete(hash)
    job.status = {status: 'error', error: error.message}
  })
  jobs.set(hash, job)
  return job
}

async function respond(ws, message) {
  const answer = {type: 'responseToClient', requestId: message.requestId}
  const match = message.request.uri.match(/^sha1:\/\/([0-9a-f]{40})$/)
  if (!match) return ws.send(JSON.stringify({...answer, response: {}, error: `Invalid URI: ${message.request.uri}`}))
  if (config.failsToAnswer) return ws.send(JSON.stringify({...answer, response: {}, error: 'it failed'}))
  const hash = match[1]
  let status = {status: 'not-found'}
  if (config.files[hash]) {
    const job = jobs.get(hash) || start(hash)
    const patience = config.generation === 2 ? message.request.timeoutMsec : Math.min(message.timeoutMsec, 10000)
    await Promise.race([job.ended, new Promise(resolve => setTimeout(resolve, patience))])
    status = job.status
  }
  ws.send(JSON.stringify({...answer, response: {type: 'fileUpload', status}}))
}

function dial() {
  const ws = new WebSocket(config.proxyUrl.replace(/^http/, 'ws'))
  let isAcknowledged = false
  let pings
  ws.on('open', () => {
    const hello = {type: 'initialize', resourceName: config.resourceName, proxySecret: config.proxySecret}
    ws.send(JSON.stringify(config.generation === 2 ? {...hello, zone: config.zone || 'default'} : hello))
  })
  ws.on('message', data => {
    let message
    try { message = JSON.parse(data.toString()) } catch { return ws.close() }
    if (!isAcknowledged) {
      if (message.type !== 'acknowledge') return ws.close()
      isAcknowledged = true
      console.log('acknowledged')
      if (config.generation === 2) pings = setInterval(() => ws.send('{"type":"ping"}'), config.pingMsec || 20000)
    } else if (valid.request(message) && message.requestId) {
      console.log('asked ' + JSON.stringify(message))
      respond(ws, message)
    } else if (config.generation === 1 && valid.cancel(message)) {
      const [oldest] = jobs.values()
      if (oldest && !config.ignoresCancel) oldest.isCancelled = true
    } else {
      problem('the daemon does not know', message)
    }
  })
  ws.on('error', error => console.log('error ' + error.message))
  ws.on('close', (code, reason) => {
    clearInterval(pings)
    console.log(`closed ${code} ${reason}`)
    setTimeout(dial, config.retryMsec || 1000)
  })
}

dial()
