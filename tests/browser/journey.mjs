// A person's first five minutes in Swagger UI, against the real server and in a real browser: make the first owner with the
// setup token, log in, create a free account, decide until the 21st request is denied, raise the tier's quota, and the next decision is allowed.
//
// What is asserted is what the page shows. README.md says how to run it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, '..', '..');
const BINARY = process.env.QUOTAGATE ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'debug', 'quotagate');
const SCREENSHOTS = process.env.SCREENSHOTS;
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const ARGUMENTS = [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
];
const PATIENCE_MS = 30_000;

const FREE_RPM = 20;
const RAISED_RPM = 30;
const BY_CLICKING = 2;

/** The browser that `CHROMIUM` names, or the first of the usual names in `PATH`. */
function findBrowser() {
    if (process.env.CHROMIUM) return process.env.CHROMIUM;
    const places = (process.env.PATH ?? '').split(delimiter).flatMap(folder => BROWSERS.map(name => join(folder, name)));
    const found = places.find(file => {
        try {
            accessSync(file, constants.X_OK);
            return true;
        } catch {
            return false;
        }
    });
    assert(found, `no browser: none of ${BROWSERS.join(', ')} is in PATH, and CHROMIUM names none`);
    return found;
}

/** Starts the server on a free port and an empty folder; answers with its base address and the setup token. */
async function startServer(folder) {
    const server = spawn(BINARY, ['serve', '--listen', '127.0.0.1:0', '--data', join(folder, 'data')]);
    let said = '';
    let log = '';
    server.stderr.on('data', text => { log += text; });
    const [base, token] = await new Promise((resolve, reject) => {
        server.on('error', reject);
        server.on('exit', code => reject(new Error(`the server ended with ${code}: ${log}`)));
        server.stdout.on('data', text => {
            said += text;
            const address = said.match(/is serving on (\S+)/);
            const token = said.match(/T=(qt_\w+)/);
            if (address && token) resolve([address[1], token[1]]);
        });
    });
    return { server, base, token };
}

async function stopServer(server) {
    if (server.exitCode !== null) return;
    const ended = new Promise(resolve => server.on('exit', resolve));
    server.kill('SIGTERM');
    assert.equal(await ended, 0, 'the server stops in order');
}

class Transcript {
    #lines = [];

    say(text = '') {
        this.#lines.push(text);
        console.log(text);
    }

    step(title) {
        this.say();
        this.say(`== ${title}`);
    }

    write(file) {
        writeFileSync(file, `${this.#lines.join('\n').trim()}\n`);
    }
}

/** One operation of Swagger UI, worked by its inputs and buttons. */
class Operation {
    #page;
    #panel;
    #name;

    constructor(page, tag, id) {
        this.#page = page;
        this.#panel = page.locator(`#operations-${tag}-${id}`);
        this.#name = id;
    }

    async open() {
        await this.#panel.locator('.opblock-summary').click();
        const tryIt = this.#panel.getByRole('button', { name: 'Try it out' });
        await this.#panel.getByRole('button', { name: 'Execute' }).or(tryIt).first().waitFor();
        if (await tryIt.isVisible()) await tryIt.click();
    }

    async close() {
        await this.#panel.locator('.opblock-summary').click();
    }

    async fill(parameter, value) {
        await this.#panel.locator(`tr[data-param-name="${parameter}"] input`).fill(value);
    }

    /** What the body's editor holds: the example of the document, until something is written over it. */
    async body() {
        return JSON.parse(await this.#panel.locator('textarea.body-param__text').inputValue());
    }

    async fillBody(body) {
        await this.#panel.locator('textarea.body-param__text').fill(JSON.stringify(body, null, 2));
    }

    /** Chooses one of the named examples of the body. */
    async chooseExample(name) {
        await this.#panel.locator('select.examples-select-element').first().selectOption({ label: name });
    }

    /** Clicks "Execute" and reads the answer off the page. */
    async execute() {
        const clear = this.#panel.getByRole('button', { name: 'Clear' });
        if (await clear.isVisible()) await clear.click();
        const answer = this.#panel.locator('table.live-responses-table');
        await answer.waitFor({ state: 'detached' });
        await this.#panel.getByRole('button', { name: 'Execute' }).click();
        const status = answer.locator('tbody td.response-col_status').first();
        await status.waitFor();
        const texts = await answer.locator('tbody td.response-col_description pre').allInnerTexts();
        const lines = texts[1].split('\n').map(line => line.trim().match(/^([^:]+): (.*)$/)).filter(Boolean);
        const headers = Object.fromEntries(lines.map(([, name, value]) => [name, value]));
        const [url] = await this.#panel.locator('.request-url pre').allInnerTexts();
        return { url, status: parseInt(await status.innerText(), 10), body: JSON.parse(texts[0]), headers };
    }

    async screenshot(name) {
        if (!SCREENSHOTS) return;
        mkdirSync(SCREENSHOTS, { recursive: true });
        await this.#panel.screenshot({ path: join(SCREENSHOTS, `${name}-${this.#name}.png`) });
    }
}

/** Many requests as the page's own script would send them: from the same origin. */
async function decideByScript(page, request, times, session) {
    return page.evaluate(async ([request, times, session]) => {
        const verdicts = [];
        for (let sent = 0; sent < times; sent += 1) {
            const answer = await fetch('/v1/decisions', {
                method: 'POST',
                headers: { 'content-type': 'application/json', authorization: `Bearer ${session}` },
                body: JSON.stringify(request),
            });
            verdicts.push((await answer.json()).decision);
        }
        return verdicts;
    }, [request, times, session]);
}

function limit(answer, id) {
    return answer.body.limits.find(limit => limit.id === id);
}

function show(transcript, method, { url, status, body, headers }, names = []) {
    transcript.say(`${method} ${new URL(url).pathname}`);
    transcript.say(`${status}`);
    for (const name of names) transcript.say(`${name}: ${headers[name]}`);
    transcript.say(JSON.stringify(body, null, 2));
}

/** Puts a credential into the page's "Authorize" dialogue, in place of the one that is there. */
async function authorize(page, secret) {
    await page.locator('button.btn.authorize').first().click();
    const dialogue = page.locator('.modal-ux');
    await dialogue.waitFor();
    const logout = dialogue.locator('button:text-is("Logout")');
    if (await logout.isVisible()) await logout.click();
    await dialogue.locator('input').fill(secret);
    await dialogue.locator('button.modal-btn.authorize').click();
    await dialogue.getByRole('button', { name: 'Close' }).click();
}

/** From the token in the terminal to a session: whatever is asked for before is refused. */
async function logIn(page, token, transcript) {
    transcript.step('Make the first owner with the setup token, and log in: the examples as they stand');
    const list = new Operation(page, 'accounts', 'listAccounts');
    await list.open();
    const refused = await list.execute();
    assert.deepEqual([refused.status, refused.body.code], [401, 'unauthorized']);
    transcript.say(refused.body.detail);
    await list.close();
    await authorize(page, token);
    const make = new Operation(page, 'operators', 'createOperator');
    await make.open();
    const made = await make.execute();
    assert.deepEqual([made.status, made.body.role], [201, 'owner']);
    await make.close();
    const login = new Operation(page, 'operators', 'login');
    await login.open();
    const session = await login.execute();
    assert.equal(session.status, 200);
    await login.close();
    await authorize(page, session.body.token);
    const me = new Operation(page, 'operators', 'getMe');
    await me.open();
    show(transcript, 'GET', await me.execute());
    await me.close();
    return session.body.token;
}

async function journey(page, { base, token }, transcript) {
    await page.goto(`${base}/docs/`);
    await page.locator('.opblock').first().waitFor();
    transcript.say(`Swagger UI: ${await page.locator('.info .title').first().innerText()}`.replace(/\s+/g, ' '));
    transcript.say(`operations: ${await page.locator('.opblock').count()}`);
    if (SCREENSHOTS) {
        mkdirSync(SCREENSHOTS, { recursive: true });
        await page.screenshot({ path: join(SCREENSHOTS, '0-page.png'), fullPage: true });
    }

    const session = await logIn(page, token, transcript);

    transcript.step('Create an account: the first example as it stands');
    const create = new Operation(page, 'accounts', 'createAccount');
    await create.open();
    const account = (await create.body()).id;
    const created = await create.execute();
    show(transcript, 'POST', created, ['etag']);
    await create.screenshot('1');
    assert.equal(created.status, 201);
    assert.equal(created.body.tier.effective, 'free');
    await create.close();

    transcript.step(`Decide: the first ${BY_CLICKING} by clicking, the example as it stands`);
    const decide = new Operation(page, 'decisions', 'decide');
    await decide.open();
    const request = await decide.body();
    assert.equal(request.account, account, 'the examples of the two operations go together');
    for (let asked = 1; asked <= BY_CLICKING; asked += 1) {
        const allowed = await decide.execute();
        assert.deepEqual([allowed.status, allowed.body.decision], [200, 'allow']);
        assert.equal(limit(allowed, 'rpm').used, asked);
        transcript.say(`${asked}: ${allowed.body.decision}, rpm ${JSON.stringify(limit(allowed, 'rpm'))}`);
    }

    transcript.step(`Decide: ${BY_CLICKING + 1} to ${FREE_RPM} by a script in the page`);
    const verdicts = await decideByScript(page, request, FREE_RPM - BY_CLICKING, session);
    transcript.say(verdicts.join(' '));
    assert.deepEqual(new Set(verdicts), new Set(['allow']));

    transcript.step(`Decide: number ${FREE_RPM + 1} by clicking`);
    const denied = await decide.execute();
    show(transcript, 'POST', denied);
    await decide.screenshot('2');
    assert.deepEqual([denied.status, denied.body.decision], [200, 'deny']);
    assert.deepEqual([denied.body.reason, denied.body.violated], ['quota_exceeded', ['rpm']]);
    assert(denied.body.retry_after_ms > 0 && denied.body.headers['Retry-After']);
    assert.equal(denied.body.way_out.tier, 'paid');

    transcript.step('Read the tiers, for the entity tag of the active revision');
    const tiers = new Operation(page, 'tiers', 'listTiers');
    await tiers.open();
    const listed = await tiers.execute();
    const free = listed.body.tiers.find(tier => tier.id === 'free');
    const rpm = free.quotas.find(quota => quota.group === 'text.m2' && quota.limit === 'rpm');
    transcript.say(`GET ${new URL(listed.url).pathname}\n${listed.status}\netag: ${listed.headers.etag}`);
    transcript.say(`free: ${JSON.stringify(rpm)}`);
    assert.equal(rpm.quota, FREE_RPM);
    await tiers.screenshot('3');
    await tiers.close();

    transcript.step(`Raise the quota of the free tier to ${RAISED_RPM}`);
    const edit = new Operation(page, 'tiers', 'setTierQuota');
    await edit.open();
    await edit.fill('tier', 'free');
    await edit.fill('group', 'text.m2');
    await edit.fill('limit', 'rpm');
    await edit.fill('If-Match', listed.headers.etag);
    await edit.fillBody({ quota: RAISED_RPM, reason: 'more room for newcomers' });
    const edited = await edit.execute();
    show(transcript, 'PUT', edited, ['etag']);
    await edit.screenshot('4');
    assert.equal(edited.status, 200);
    assert.equal(edited.body.revision.revision, listed.body.revision + 1);

    transcript.step('The same edit once more: its entity tag is old now');
    const stale = await edit.execute();
    show(transcript, 'PUT', stale);
    assert.deepEqual([stale.status, stale.body.code], [412, 'stale']);
    assert.equal(stale.body.current_etag, edited.headers.etag);
    await edit.close();

    transcript.step('Decide: the next one by clicking');
    const allowed = await decide.execute();
    show(transcript, 'POST', allowed);
    await decide.screenshot('5');
    assert.deepEqual([allowed.status, allowed.body.decision], [200, 'allow']);
    assert.equal(allowed.body.revision, edited.body.revision.revision);
    assert.deepEqual([limit(allowed, 'rpm').quota, limit(allowed, 'rpm').used], [RAISED_RPM, FREE_RPM + 1]);
}

const folder = mkdtempSync(join(tmpdir(), 'quotagate-browser-'));
const transcript = new Transcript();
const { server, base, token } = await startServer(folder);
let browser;
try {
    browser = await chromium.launchPersistentContext(join(folder, 'profile'), {
        executablePath: findBrowser(),
        args: ARGUMENTS,
        headless: true,
        viewport: { width: 1280, height: 1000 },
    });
    browser.setDefaultTimeout(PATIENCE_MS);
    const page = await browser.newPage();
    const strays = [];
    page.on('request', request => {
        const { protocol, origin } = new URL(request.url());
        if (protocol !== 'data:' && protocol !== 'blob:' && origin !== base) strays.push(request.url());
    });
    page.on('pageerror', error => strays.push(`error: ${error}`));
    page.on('console', message => {
        if (message.text().includes('Content Security Policy')) strays.push(`policy: ${message.text()}`);
    });

    await journey(page, { base, token }, transcript);
    await page.goto(`${base}/docs/errors`);

    assert.deepEqual(strays, [], 'the page asks nothing of anyone else, and its scripts do not fail');
    transcript.say();
    transcript.say('The page asked nothing of any other address, and its scripts raised no error.');
    transcript.write(join(HERE, 'transcript.txt'));
} finally {
    await browser?.close();
    await stopServer(server);
    rmSync(folder, { recursive: true, force: true });
}
