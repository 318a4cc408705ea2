// A page of another origin, in Chromium, reads a URL of a hub: node read_in_browser.js page|worker URL CODE. CODE is the body of
// an async function of `url`, in a worker with h5wasm; what it returns is printed. An error of it is the end, with status 1.
'use strict';
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const puppeteer = require('puppeteer-core');

const WORKER = `
importScripts('/h5wasm.js');
onmessage = async event => {
    try {
        const code = new (async () => {}).constructor('url', event.data.code);
        postMessage({result: String(await code(event.data.url))});
    } catch (error) {
        postMessage({error: String(error)});
    }
};`;

async function inWorker(url, code) {
    const worker = new Worker('/worker.js');
    const answer = await new Promise((resolve, reject) => {
        worker.onmessage = event => resolve(event.data);
        worker.onerror = event => reject(new Error(event.message));
        worker.postMessage({url, code});
    });
    if (answer.error)
        throw new Error(answer.error);
    return answer.result;
}

async function inPage(url, code) {
    return String(await new (async () => {}).constructor('url', code)(url));
}

function servePages() {
    const library = path.join(__dirname, 'node_modules/h5wasm/dist/iife/h5wasm.js');
    const pages = {'/': ['text/html', '<!doctype html><title>reader</title>'],
        '/worker.js': ['text/javascript', WORKER],
        '/h5wasm.js': ['text/javascript', fs.readFileSync(library)]};
    const server = http.createServer((request, answer) => {
        const [type, body] = pages[request.url] || ['text/plain', ''];
        answer.writeHead(pages[request.url] ? 200 : 404, {'Content-Type': type});
        answer.end(body);
    });
    return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)));
}

async function main([way, url, code]) {
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'reader-'));
    const server = await servePages();
    const browser = await puppeteer.launch({executablePath: '/usr/bin/chromium', userDataDir: profile, protocolTimeout: 0,
        args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
            '--disable-component-update', '--disable-sync']});
    try {
        const page = await browser.newPage();
        await page.goto(`http://localhost:${server.address().port}/`, {timeout: 0});
        console.log(await page.evaluate(way === 'worker' ? inWorker : inPage, url, code));
    } finally {
        await browser.close();
        server.close();
        fs.rmSync(profile, {recursive: true, force: true, maxRetries: 5, retryDelay: 200});
    }
}

main(process.argv.slice(2)).catch(error => {
    console.error(String(error));
    process.exitCode = 1;
});
