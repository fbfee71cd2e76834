// The person at the browser: see dashboard.py, which starts the fleet and this script.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const nextLine = async () => (await lines.next()).value;
const told = JSON.parse(await nextLine());
const require = createRequire(join(told.packages, "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const PATIENCE_MS = 30_000;
// Sooner than a page looks by itself: what is seen within this time was told.
const TOLD_MS = 12_000;
const DESK = { width: 1280, height: 860 };
const TELEPHONE = { width: 390, height: 844 };
const SCREENS = ["fleet", "batches", "jobs", "failures", "doubt", "review", "audit", "webhooks", "workers", "limits"];
// Chromium asks for these by itself; they are no request of a page.
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"];

const browser = await chromium.launch({ executablePath: told.chromium, args: ARGUMENTS });
const faults = [];
let lenient = false;

function check(what, truth) {
  if (!truth) throw new Error(what);
}

// A browser window whose every complaint counts.
async function open(options = {}) {
  const context = await browser.newContext({ baseURL: told.base, viewport: DESK, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on("console", (line) => {
    // A page that is missing is told as an error by the browser.
    const expected = lenient || page.url().endsWith(told.pages.missing);
    if (line.type() === "error" && !expected) faults.push(`console on ${page.url()}: ${line.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`error on ${page.url()}: ${error.message}`));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(told.base) && !url.startsWith("data:")) faults.push(`asked elsewhere: ${url}`);
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  }).catch(() => {});
  return page;
}

async function logIn(page, key) {
  await page.goto("/");
  await page.fill("#key", key);
  await page.click("button[type=submit]");
  await page.waitForURL("**/ui/fleet");
}

async function call(path, type, body) {
  const headers = { authorization: `Bearer ${told.key}`, "content-type": type };
  const answer = await fetch(told.api + path, { method: "POST", headers, body });
  const text = await answer.text();
  check(`${path}: ${text}`, answer.ok);
  return JSON.parse(text);
}

const post = async (body) => (await call("/v1/jobs", "application/json", JSON.stringify(body))).id;
const postBatch = (name, rows) =>
  call(`/v1/batches?batch=${name}`, "application/x-ndjson", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

const film = (prompt) => ({ model: "seedance-2.0", content: [{ type: "text", text: prompt }], duration: 4 });

async function scenario(name, play) {
  const started = Date.now();
  await play();
  if (faults.length > 0) throw new Error(`${name}:\n  ${faults.join("\n  ")}`);
  console.log(`dashboard: ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
}

const chief = await open();

await scenario("a key opens the door", async () => {
  await logIn(chief, told.chief);
  check("the sentence is there", await chief.locator(".limit strong").textContent());
});

await scenario("a job walks to its end without a reload", async () => {
  const id = await post(film("a kite over a harbour"));
  await chief.goto(`/ui/jobs/${id}`);
  await chief.evaluate(() => { window.sameDocument = true; });
  await chief.waitForSelector("html[data-stream=open]", { state: "attached" });
  await chief.waitForSelector(".lede .s-running, video", { timeout: TOLD_MS });
  await chief.waitForSelector("video");
  await chief.waitForSelector(".lede .s-succeeded");
  check("the document is still the same", await chief.evaluate(() => window.sameDocument));
  check("it follows nothing any more", await chief.locator("#live[data-live]").count() === 0);
  await chief.waitForFunction(() => document.documentElement.dataset.stream === undefined);
  await chief.evaluate(() => {
    const video = document.querySelector("video");
    video.muted = true;
    return video.play();
  });
  await chief.waitForFunction(() => {
    const video = document.querySelector("video");
    return video.readyState >= 2 && video.videoWidth > 0 && video.error === null;
  });
});

await scenario("a filter survives a reload", async () => {
  await chief.goto("/ui/jobs");
  await chief.keyboard.press("/");
  check("the key leads to the field", await chief.evaluate(() => document.activeElement.id) === "where");
  await chief.keyboard.type("state=succeeded batch=spring-ads");
  await chief.keyboard.press("Enter");
  await chief.waitForURL("**/ui/jobs?where=*");
  await chief.reload();
  check("the field shows it", await chief.inputValue("#where") === "state=succeeded batch=spring-ads");
});

await scenario("keys lead through rows and screens", async () => {
  await chief.goto("/ui/jobs");
  await chief.keyboard.press("j");
  await chief.keyboard.press("j");
  const href = await chief.evaluate(() => document.activeElement.getAttribute("href"));
  await chief.keyboard.press("Enter");
  await chief.waitForURL(`**${href}`);
  await chief.keyboard.press("g");
  await chief.keyboard.press("b");
  await chief.waitForURL("**/ui/batches");
  await chief.keyboard.press("Shift+?");
  check("the list of keys is shown", await chief.locator("#keys").isVisible());
  await chief.keyboard.press("Escape");
});

await scenario("many are cancelled after a count and a reason", async () => {
  await postBatch("stopped", [0, 1, 2].map((n) => ({ ...film(`the tide stops ${n}`), model: "seedance-2.0-fast" })));
  await chief.goto("/ui/jobs?where=batch%3Dstopped");
  await chief.click("text=Act on all that match");
  await chief.click("button[value=cancel]");
  check("it counts", /3\s+jobs fit/.test(await chief.locator("main").textContent()));
  const decide = chief.locator(".decide");
  check("a reason is required", await decide.locator("input[name=reason]").getAttribute("required") !== null);
  await decide.locator("input[name=reason]").fill("the campaign is off");
  await decide.locator("button[type=submit]").click();
  await chief.waitForURL("**said=begun**");
  check("it says what was begun", (await chief.locator(".notice").textContent()).includes("3 jobs"));
  await chief.waitForFunction(() => document.querySelectorAll("tbody .s-cancelled").length === 3);
});

await scenario("a batch is paused and resumed with a reason", async () => {
  await chief.goto("/ui/batches/night-harbour");
  for (const [verb, other] of [["Pause", "Resume"], ["Resume", "Pause"]]) {
    await chief.click(`summary:has-text("${verb}")`);
    const form = chief.locator("details[open] form");
    await form.locator("input[name=reason]").fill("looked at by hand");
    await form.locator("button").click();
    await chief.waitForURL("**said=*");
    await chief.waitForSelector(`summary:has-text("${other}")`);
  }
});

await scenario("everybody is offered what they may do", async () => {
  const forms = async (page, path) => {
    await page.goto(path);
    return page.locator("form[method=post]").count();
  };
  const viewer = await open();
  await logIn(viewer, told.viewer);
  for (const path of ["/ui/jobs?where=state%3Dqueued", "/ui/batches/night-harbour", "/ui/review", `/ui/${told.pages["webhook-good"]}`]) {
    check(`${path}: one form, to log out`, await forms(viewer, path) === 1);
  }
  const csrf = await viewer.locator("input[name=csrf]").first().inputValue();
  lenient = true;
  const status = await viewer.evaluate(async (csrf) => {
    const body = new URLSearchParams({ csrf, verb: "cancel", where: "", reason: "x" });
    return (await fetch("/ui/jobs/act", { method: "POST", body })).status;
  }, csrf);
  lenient = false;
  check(`403 and not ${status}`, status === 403);
  await viewer.context().close();
  const judge = await open();
  await logIn(judge, told.judge);
  check("who judges gets no other forms", await forms(judge, "/ui/jobs?where=state%3Dqueued") === 1);
  check("who judges gets a form for each", await forms(judge, "/ui/review") > 1);
  const card = judge.locator(".card", { hasText: "two actors" });
  await card.locator("input[name=reason]").fill("no consent on file");
  await card.locator("button[value=reject]").click();
  await judge.waitForURL("**said=rejected");
  await judge.context().close();
});

await scenario("the page follows the fleet again after the gateway was killed", async () => {
  await chief.goto("/ui/fleet");
  await chief.waitForSelector("html[data-stream=open]", { state: "attached" });
  lenient = true;
  console.log("restart");
  check("the gateway is back", await nextLine() === "restarted");
  await chief.waitForSelector("html[data-stream=lost]", { state: "attached" });
  await chief.waitForSelector("html[data-stream=open]", { state: "attached" });
  lenient = false;
  const before = await chief.locator("#states ~ .legend").textContent();
  await post(film("after the restart"));
  await chief.waitForFunction((before) =>
    document.querySelector("#states ~ .legend").textContent !== before, before, { timeout: TOLD_MS });
});

await scenario("reading and acting without scripts", async () => {
  const plain = await open({ javaScriptEnabled: false });
  await logIn(plain, told.chief);
  const id = await post({ ...film("the tide without a script"), model: "seedance-2.0-fast" });
  await plain.goto(`/ui/jobs/${id}`);
  check("the job is shown", (await plain.locator("main").textContent()).includes("the tide without a script"));
  const cancel = plain.locator("form[action$='/cancel']");
  await plain.click("summary:has-text('Cancel')");
  await cancel.locator("input[name=reason]").fill("without a script");
  await cancel.locator("button").click();
  await plain.waitForURL("**said=cancelled");
  check("it says what was done", await plain.locator(".notice").isVisible());
  await plain.context().close();
});

await scenario("the pages are sound, on a desk and a telephone, in light and dark", async () => {
  // Colours are the same on a telephone: there, light stands for dark as well.
  await Promise.all([look("desk", DESK, "light", true), look("telephone", TELEPHONE, "light", true)]);
  await Promise.all([look("desk", DESK, "dark", true), look("telephone", TELEPHONE, "dark", false)]);
});

async function look(name, viewport, colorScheme, whole) {
  const page = await open({ colorScheme, viewport });
  await page.goto("/ui/login");
  await sound(page, `login-${name}-${colorScheme}`, whole);
  await logIn(page, told.chief);
  const screens = SCREENS.map((screen) => [screen, screen]);
  for (const [picture, path] of [...screens, ...Object.entries(told.pages)]) {
    await page.goto(`/ui/${path}`);
    await sound(page, `${picture}-${name}-${colorScheme}`, whole);
  }
  await page.context().close();
}

// No serious finding, nothing that runs out of the window, and a picture for people.
async function sound(page, name, whole) {
  // What is loaded when it comes into view comes into view.
  await page.evaluate(() => document.querySelectorAll("img[loading=lazy]").forEach((image) => { image.loading = "eager"; }));
  await page.waitForFunction(() => [...document.images].every((image) => image.complete));
  await page.screenshot({ path: join(told.pictures, `${name}.png`), fullPage: true, caret: "initial" });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (overflow > 0) faults.push(`${name}: ${overflow} px too wide`);
  if (!whole) return;
  // axe is put in by the browser's own tools, past the page's policy, as an extension would be.
  const client = await page.context().newCDPSession(page);
  await client.send("Runtime.evaluate", { expression: axe });
  const { result } = await client.send("Runtime.evaluate", {
    expression: "axe.run({ resultTypes: ['violations'] }).then((r) => JSON.stringify(r.violations))",
    awaitPromise: true,
  });
  const grave = JSON.parse(result.value).filter((found) => ["serious", "critical"].includes(found.impact));
  for (const found of grave) {
    faults.push(`${name}: ${found.id}: ${found.nodes.map((node) => node.target.join(" ")).slice(0, 4).join("; ")}`);
  }
  await client.detach();
}

await browser.close();
// The parent keeps its end of standard input open, which alone would keep this alive.
process.stdin.destroy();
