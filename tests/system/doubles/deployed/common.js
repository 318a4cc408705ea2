// What the deployed programs' two generations have in common, written from the protocol's description: their strict
// validators, and the small things that Node.js programs share.
const isObject = x => typeof x === 'object' && x !== null && !Array.isArray(x)
const isString = x => typeof x === 'string'
const isNumber = x => typeof x === 'number'
const optional = check => Object.assign(x => x === undefined || check(x), {optional: true})
const is = value => x => x === value

// Exactly these fields, each as its check wants it.
const shape = fields => x =>
  isObject(x) && Object.keys(x).every(key => key in fields) && Object.entries(fields).every(([key, check]) => check(x[key]))

const states = ['not-found', 'queued', 'running', 'completed', 'error']
const status = shape({
  status: x => states.includes(x), size: optional(isNumber), bytesUploaded: optional(isNumber),
  timestampRequested: optional(isNumber), timestampStarted: optional(isNumber),
  timestampCompleted: optional(isNumber), error: optional(isString)
})
const answer = shape({type: is('fileUpload'), status})
const isEmpty = x => isObject(x) && Object.keys(x).length === 0

function validators(generation) {
  const zone = generation === 2 ? {zone: isString} : {}
  const timeoutMsec = generation === 2 ? {timeoutMsec: isNumber} : {}
  return {
    initialize: shape({type: is('initialize'), resourceName: isString, proxySecret: isString, ...zone}),
    request: shape({
      type: is('requestFromClient'), resourceName: isString, requestId: optional(isString), timeoutMsec: isNumber,
      request: shape({type: is('fileUpload'), uri: isString, ...timeoutMsec}), ...zone
    }),
    cancel: shape({type: is('cancelRequestFromClient'), requestId: isString}),
    response: shape({
      type: is('responseToClient'), requestId: isString, response: x => isEmpty(x) || answer(x), error: optional(isString)
    }),
    ping: x => generation === 2 && shape({type: is('ping')})(x)
  }
}

// Told to the test, which fails then.
const problem = (what, message) => console.log(`problem: ${what}: ${JSON.stringify(message)}`)

module.exports = {validators, problem}
